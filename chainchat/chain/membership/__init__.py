"""How one configuration follows another (paper, section 3)."""
