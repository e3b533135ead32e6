"""The wave *cluster*: what the profiles give the cluster, put on the first server for k3s to apply, and waited for."""
