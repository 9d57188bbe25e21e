"""A deterministic simulator: the product's own classes under a virtual clock, a seeded network and faults.

``python -m tests.simulation SEED`` replays one seed and prints what happened.
"""
