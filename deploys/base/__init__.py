"""The second wave: what a node needs before a cluster comes, every bit of it noted so that `reset` can undo it."""
