"""The bundled client: ``engine`` without I/O, ``connection`` for its socket and clock, two faces.

The faces are ``terminal`` for people and ``pipe`` for scripts. Programs may use the engine in any
event loop.
"""
