"""What outlives a run: pending lines, keys, and what a person has chosen."""
