"""The control socket: how whoever owns a node's data gives it orders, by ``chainchatctl``."""
