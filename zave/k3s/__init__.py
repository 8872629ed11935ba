"""k3s on machines of one's own: its releases, its tokens, its upgrades and its datastore, over SSH."""
