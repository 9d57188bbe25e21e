"""How long a test waits for what has to come."""

DEADLINE = 120.0
"""Seconds, on a machine that has much else to do. Only what never comes costs them."""
