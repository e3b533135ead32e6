"""The wave that judges a cluster."""
