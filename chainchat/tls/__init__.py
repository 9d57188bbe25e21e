"""TLS, between the nodes and for clients."""
