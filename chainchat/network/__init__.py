"""What every socket of a node needs."""
