"""How much strangers get of the web port."""

MOST_CONNECTIONS = 64
"""Connections, those of watchers among them."""

MOST_WATCHERS = 48
"""The rest is for health checks and metrics."""

IDLE_SECONDS = 10
"""How long a connection may be silent before its request."""

LIFE_SECONDS = 30.0
"""How long a connection may last, except a watcher's."""

HEADER_OCTETS = 8_192

MOST_HEADERS = 64

FILES = MOST_CONNECTIONS + 6
"""Files for connections, those that give way in one turn, the port and its epoll."""

SECONDS_APART = 1.0
"""Between two renderings; a request in between gets the last one."""
