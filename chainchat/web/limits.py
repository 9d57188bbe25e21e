"""How much strangers get of the web port."""

MOST_CONNECTIONS = 64
"""Those of watchers among them."""

MOST_WATCHERS = 48
"""So many may watch: the rest is for health checks and metrics."""

IDLE_SECONDS = 10
"""How long a connection may take for its request."""

LIFE_SECONDS = 30.0
"""How long it may take in all, until it has read the answer; but whoever watches may stay."""

HEADER_OCTETS = 8_192
"""Octets of a request line and all headers."""

MOST_HEADERS = 64

FILES = MOST_CONNECTIONS + 6
"""Open files: the connections, those that give way in one turn, the port and its epoll."""

SECONDS_APART = 1.0
"""Between two renderings of the same: whoever asks in between gets the last one."""
