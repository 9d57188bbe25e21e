"""AMP's wire format, a whole read of the socket at a time.

A box is a run of keys and values, each behind its length in two octets; an empty key ends it.
Nearly every box is a *frame*: a command named like the message, with the one argument
``body`` and no answer. AMP's own reader takes eight times as long for one.

Source: the documentation of ``twisted.protocols.amp``.
"""

from collections.abc import Iterator
from struct import Struct

from twisted.protocols.amp import COMMAND, AmpBox

from chainchat.chain.messages import KINDS

BODY = b"body"

LONGEST_KEY = 255

MOST_OCTETS = 262_144
"""Octets of a box: no node sends more."""

MOST_PAIRS = 16
"""Pairs of a box: a Hello has five, and each takes as long as a frame."""

END = b"\0\0"

Frame = tuple[str, bytes]

_LENGTH = Struct("!H")


def _beginning(kind: str) -> bytes:
    strings = (COMMAND, kind.encode(), BODY)
    return b"".join(_LENGTH.pack(len(string)) + string for string in strings)


_BEGINNINGS = {kind: _beginning(kind) for kind in KINDS}
_KINDS = {beginning: kind for kind, beginning in _BEGINNINGS.items()}
_NAME_LENGTH = _LENGTH.size + len(COMMAND) + 1
"""Offset in a frame of the second octet of the name's length."""
_NAMELESS = len(_beginning("")) + _LENGTH.size
"""Octets of a frame before its body, without the name."""


class NotAMPError(Exception):
    """Octets that are no box, or a box without an end."""


def boxed(kind: str, body: bytes) -> bytes:
    """Return a message's frame.

    Raises:
        struct.error: the body exceeds AMP's 65,535 octets.
    """
    return b"".join((_BEGINNINGS[kind], _LENGTH.pack(len(body)), body, END))


class BoxReader:
    """Finds boxes in a connection's octets, however divided."""

    def __init__(self) -> None:
        self._rest = b""
        self._box = AmpBox()
        self._octets = 0

    def read(self, data: bytes) -> Iterator[Frame | AmpBox]:
        """Yield each box that ends in ``data``; who stops before the last must not read on."""
        if self._rest:
            data = self._rest + data
        start, octets = 0, len(data)
        while start < octets:
            if not self._box and octets - start >= _NAMELESS:
                body = start + _NAMELESS + data[start + _NAME_LENGTH]
                kind = _KINDS.get(data[start : body - 2])
                if kind is not None and body <= octets:
                    end = body + (data[body - 2] << 8) + data[body - 1]
                    if data[end : end + 2] == END:
                        yield kind, data[body:end]
                        start = end + 2
                        continue
            after = self._read_pair(data, start)
            if after == start:
                break
            if after == start + 2:
                box, self._box, self._octets = self._box, AmpBox(), 0
                yield box
            start = after
        self._rest = data[start:]

    def _read_pair(self, data: bytes, start: int) -> int:
        """Return where the next pair begins; ``start`` if this one is cut off."""
        key = start + _LENGTH.size
        if key > len(data):
            return start
        value = _end_of_string(data, start)
        if value > key + LONGEST_KEY:
            raise NotAMPError("does not speak AMP")
        if value == key:
            return value
        if value + _LENGTH.size > len(data):
            return start
        after = _end_of_string(data, value)
        if after > len(data):
            return start
        self._octets += after - start
        if self._octets > MOST_OCTETS:
            raise NotAMPError("sent a box without an end")
        if len(self._box) >= MOST_PAIRS:
            raise NotAMPError("sent a box of too many pairs")
        self._box[data[key:value]] = data[value + _LENGTH.size : after]
        return after


def _end_of_string(data: bytes, start: int) -> int:
    length: int = _LENGTH.unpack_from(data, start)[0]
    return start + _LENGTH.size + length
