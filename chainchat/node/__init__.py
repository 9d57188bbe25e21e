"""A node at work, without sockets: turns, and effects carried out."""
