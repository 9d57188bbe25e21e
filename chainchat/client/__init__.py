"""The bundled client: an engine without I/O, an asyncio connection that runs it, and two faces.

``engine`` is a correct client; ``connection`` gives it a socket and a clock; ``terminal`` and
``pipe`` are its faces for people and scripts. Programs may use the engine in any event loop.
"""
