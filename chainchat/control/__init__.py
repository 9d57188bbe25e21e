"""The control socket: orders from whoever owns a node's data."""
