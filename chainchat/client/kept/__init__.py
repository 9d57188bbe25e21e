"""What outlives a run: lines that are pending, keys, and what a person has chosen."""
