"""A deterministic simulator: the product's own classes, a virtual clock, and seeded faults.

``python -m tests.simulation SEED`` replays one seed and prints what happened.
"""
