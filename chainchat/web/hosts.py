"""Whose name a browser may use for a node: a defence against DNS rebinding.

A page from anywhere may send a browser to a name of its own, and then let that name lead to
127.0.0.1. Such a request names a host that is not this node's.
"""

import re
from collections.abc import Collection
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from chainchat.config import NodeSettings

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/@]+)(:[0-9]{1,5})?")
"""The header ``Host`` of a request (RFC 9110, section 7.2)."""


def names_of(own: NodeSettings) -> frozenset[str]:
    page = urlsplit(own.web_url).hostname or ""
    return frozenset(filter(None, ("localhost", own.web_host.lower(), own.host.lower(), page)))


def is_ours(host: str | None, names: Collection[str], address: str) -> bool:
    """True if a request is meant for this node.

    Args:
        host: as the request has it. Only ancient programs leave it out.
        address: of this side of the connection.
    """
    if host is None:
        return True
    found = HOST.fullmatch(host)
    if found is None:
        return False
    name = found[1].strip("[]").lower()
    if name in names:
        return True
    with suppress(ValueError):
        literal = ip_address(name)
        return literal.is_loopback or literal == ip_address(address)
    return False
