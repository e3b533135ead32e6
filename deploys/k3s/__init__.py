"""k3s on a node: its files, its units, getting it there, keeping it current, taking it off again."""
