"""The log, checkpoints and record of a node: on disk, or in memory for tests."""
