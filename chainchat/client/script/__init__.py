"""The face for scripts and pipes: lines in, lines out."""
