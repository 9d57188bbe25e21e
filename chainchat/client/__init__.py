"""The bundled client.

``engine``, without I/O; ``connection``, its socket and clock; ``model``, what a person sees;
``screen`` for people and ``script`` for pipes; ``kept``, what outlives a run.
"""
