"""Messages as AMP boxes, made and found in one go.

Every box that carries a message begins in one of a few ways, and AMP itself says how. AMP's own
parser and serializer work string by string, which was a fifth of what a lone message costs a node.
"""

import re

from twisted.protocols import amp

from chainchat.chain.messages import KINDS

BODY = b"body"
"""The one argument: the encoded message."""

LENGTH_OCTETS = 2
"""Of a value's length, before it."""

END = b"\0\0"
"""After the last value of a box."""


def _beginning(kind: str) -> bytes:
    """How AMP begins a box of this kind: all up to the length of the body."""
    empty: bytes = amp.AmpBox({amp.COMMAND: kind.encode(), BODY: b""}).serialize()
    return empty[: -LENGTH_OCTETS - len(END)]


_BEGINNINGS = {kind: _beginning(kind) for kind in KINDS}
_KINDS = {beginning: kind for kind, beginning in _BEGINNINGS.items()}
_BEGUN = re.compile(b"(%s)(..)" % b"|".join(map(re.escape, _KINDS)), re.DOTALL)


def boxed(kind: str, body: bytes) -> bytes:
    """A box with one message, as AMP would make it.

    Raises:
        OverflowError: the body is longer than a value of AMP may be.
    """
    length = len(body).to_bytes(LENGTH_OCTETS)
    return b"".join((_BEGINNINGS[kind], length, body, END))


def leading_messages(data: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """Kinds and bodies of the messages whose whole boxes ``data`` begins with, and the rest of it.

    The rest begins with a box that is not whole yet, that is none of a message, or no box at all.
    """
    messages = []
    start = 0
    while begun := _BEGUN.match(data, start):
        body = begun.end()
        end = body + int.from_bytes(begun[2])
        if data[end : end + len(END)] != END:
            break
        messages.append((_KINDS[begun[1]], data[body:end]))
        start = end + len(END)
    return messages, data[start:]
