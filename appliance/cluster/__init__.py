"""The cluster: what the nodes are told to become, the run that makes them so, and what is kept of it."""
