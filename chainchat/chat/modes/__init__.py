"""How a client is spoken with: ``human`` for people on telnet or nc, ``machine`` for programs."""
