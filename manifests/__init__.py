"""What the cluster is given: Kubernetes manifests and values, by profile, and the one loader of profiles."""
