"""A node as a service of the operating system: checked, put together, started and stopped."""
