"""The wave that gives a cluster its profiles."""
