"""The client without I/O: what it says to the servers, and what it makes of their answers."""
