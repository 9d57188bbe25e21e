"""The bundled client.

``engine``, without I/O, which programs may use in any event loop; ``connection``, its socket and
clock; ``model``, what a person sees; two faces, ``screen`` for people and ``script`` for pipes; and
``kept``, what outlives a run.
"""
