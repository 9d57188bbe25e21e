"""The client port: connections with people and programs."""
