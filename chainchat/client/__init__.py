"""The bundled client.

``engine``, without I/O, fits any event loop; ``connection`` is its socket and clock; ``model``,
what a person sees; ``screen`` for people and ``script`` for pipes; ``kept``, what outlives a run.
"""
