"""The first wave: what each node is, and whether a cluster can be made of it. Nothing is changed on any."""
