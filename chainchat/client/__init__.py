"""The bundled client: an engine without I/O, an asyncio connection that runs it, and two faces.

``engine`` says what a correct client does; ``connection`` gives it a socket and a clock;
``terminal`` and ``pipe`` are what a person or a script sees. Programs may use the engine under any
event loop.
"""
