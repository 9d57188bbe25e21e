"""What outlives a run: pending lines, keys, and a person's choices."""
