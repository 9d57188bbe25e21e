"""How much strangers get of the web port."""

MOST_CONNECTIONS = 64
"""Those of watchers among them."""

MOST_WATCHERS = 48
"""The rest is for health checks and metrics."""

IDLE_SECONDS = 10
"""For a request to come."""

LIFE_SECONDS = 30.0
"""For all of a connection; but whoever watches may stay."""

HEADER_OCTETS = 8_192
"""Of a request line and all headers."""

MOST_HEADERS = 64

FILES = MOST_CONNECTIONS + 6
"""For connections, those that give way in one turn, the port and its epoll."""

SECONDS_APART = 1.0
"""Between two renderings: whoever asks in between gets the last."""
