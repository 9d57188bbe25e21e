"""``chainchatctl``: asks a node on this machine over its control socket."""
