"""A node as a service: checked, put together, started, stopped."""
