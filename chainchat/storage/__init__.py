"""Where a node keeps its log, its checkpoints and its record: on disk, or in memory for tests."""
