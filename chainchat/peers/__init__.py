"""The chain port: connections with the other nodes."""
