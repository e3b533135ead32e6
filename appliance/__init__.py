"""The crate's side: the store, the registry, the daemon and the commands that keep them."""
