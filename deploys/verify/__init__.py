"""The wave *verify*: that the cluster is what was ordered, by what it says of itself and by what answers."""
