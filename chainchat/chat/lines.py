"""From octets to clean lines, in bounded memory.

Three steps, which know nothing of each other::

    data, answer = telnet_filter.feed(received)   # cut anywhere; send the answer back
    line_splitter.add(data)
    for line in line_splitter.cut():              # bytes, or TOO_LONG
        text = clean(line)                        # str, or RefusedError
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Final, Literal, cast

from chainchat.chat.refusals import Code, RefusedError

# RFC 854: IAC begins a command. WILL, WONT, DO and DONT have one more octet, the option. SB begins
# a subnegotiation, until IAC SE. Other commands have no further octets.
IAC = b"\xff"
_DONT = b"\xfe"
_DO = b"\xfd"
_WONT = b"\xfc"
_WILL = b"\xfb"
_SB = b"\xfa"
_SE = b"\xf0"
_ECHO = b"\x01"  # RFC 857

# Each option is refused. This also answers Ctrl-C: telnet sends IP and DO TIMING-MARK, and shows
# nothing until it has WONT TIMING-MARK. WONT and DONT are not answered, or they could go back and
# forth for ever. While a password is typed, DO ECHO is the answer to our offer (RFC 1143).
_ANSWERS = {_WILL: _DONT, _DO: _WONT, _WONT: None, _DONT: None}


class TelnetFilter:
    """Removes and answers the telnet commands of one connection.

    ``conceals``: the client does not show what is typed, because we asked.
    """

    __slots__ = ("_held", "_in_subnegotiation", "_offered", "conceals")  # there can be thousands

    def __init__(self) -> None:
        self._held = b""  # the beginning of a command: at most two octets
        self._in_subnegotiation = False
        self._offered = self.conceals = False

    def conceal(self) -> bytes:
        offered, self._offered = self._offered, True
        return b"" if offered else IAC + _WILL + _ECHO

    def reveal(self) -> bytes:
        conceals, self._offered, self.conceals = self.conceals, False, False
        return IAC + _WONT + _ECHO if conceals else b""

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take octets; return them without commands, and the answers to the commands."""
        if IAC not in data and not self._held and not self._in_subnegotiation:
            return data, b""
        data = self._held + data
        self._held = b""
        kept: list[bytes] = []
        answers: list[bytes] = []
        position = 0
        while (start := data.find(IAC, position)) >= 0:
            if not self._in_subnegotiation:
                kept.append(data[position:start])
            command = data[start + 1 : start + 2]
            end = start + (3 if command in _ANSWERS and not self._in_subnegotiation else 2)
            if len(data) < end:
                self._held = data[start:]
                return b"".join(kept), b"".join(answers)
            position = end
            if self._in_subnegotiation:
                self._in_subnegotiation = command != _SE
            elif command == _SB:
                self._in_subnegotiation = True
            elif command == IAC:  # doubled: an octet of data
                kept.append(IAC)
            elif self._offered and command in (_DO, _DONT) and data[end - 1 : end] == _ECHO:
                self.conceals = command == _DO
            elif answer := _ANSWERS.get(command):
                answers.append(IAC + answer + data[end - 1 : end])
        if not self._in_subnegotiation:
            kept.append(data[position:])
        return b"".join(kept), b"".join(answers)


class TooLong(Enum):
    """The type of TOO_LONG."""

    TOO_LONG = "too long"


TOO_LONG: Final = TooLong.TOO_LONG
"""What stands for a line over the limit."""

Line = bytes | TooLong


_LONE_CR = re.compile(rb"\r(?!\n)")


class LineSplitter:
    """Cuts what one connection receives into lines, which end in LF, CR LF or CR NUL.

    Where people type, a CR alone ends a line too, and a NUL is nothing: some terminals send no LF,
    and some clients send NULs to stay connected.

    Attributes:
        complete: lines not cut yet, each with its LF.
        limit: most octets of a line, without its ending.
    """

    __slots__ = ("_begun", "_dropping", "_held", "complete", "limit")  # there can be thousands

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.complete = b""
        # The line whose end has not come, up to limit + 1 octets.
        self._begun = b""
        self._held = b""  # a CR that may begin an ending; an LF after a CR that was one
        self._dropping = False  # until the end of a line whose beginning was dropped

    def __bool__(self) -> bool:
        return bool(self.complete)

    def add(self, data: bytes, *, typed: bool = False) -> None:
        if typed and not self._is_hello(data):
            data = self._typed(data)
        else:
            data = self._held + data
            self._held = b"\r" if data.endswith(b"\r") else b""
            data = data.removesuffix(b"\r")
            if b"\0" in data:
                data = data.replace(b"\r\0", b"\r\n")
        if self._dropping:
            _, ending, data = data.partition(b"\n")
            self._dropping = not ending
        end = data.rfind(b"\n") + 1
        if end:
            self.complete += self._begun + data[:end]
            self._begun = b""
        self._begun += data[end:][: self.limit + 1 - len(self._begun)]

    def _is_hello(self, data: bytes) -> bool:
        return (self.complete or self._begun or data)[:6].lower() == b"/hello"

    def _typed(self, data: bytes) -> bytes:
        if self._held and data:
            data = data[data[0] in b"\n\0" :]
            self._held = b""
        if b"\0" in data:
            data = data.replace(b"\r\0", b"\r\n").replace(b"\0", b"")
        if b"\r" in data:
            if data.endswith(b"\r"):
                self._held = b"\n"
            data = _LONE_CR.sub(b"\n", data)
        return data

    def drop(self) -> bool:
        """Drop all that has come, and the rest of a begun line; return whether there were lines."""
        self._dropping = self._dropping or self._begun != b"" or self._held == b"\r"
        lines, self.complete, self._begun = self.complete, b"", b""
        return lines != b""

    def cut(self, most: int = -1) -> list[bytes | Literal[TooLong.TOO_LONG]]:
        """Cut off the next lines, at most ``most`` (-1: all), without endings."""
        # `split` does the work for every octet at C's speed. (`replace` takes three times as long
        # for CR LF.)
        ends_with_cr = b"\r" in self.complete
        *lines, self.complete = self.complete.split(b"\n", most)
        if ends_with_cr:
            lines = [line.removesuffix(b"\r") for line in lines]
        if max(map(len, lines), default=0) <= self.limit:  # nearly always
            return [*lines]
        return [line if len(line) <= self.limit else TOO_LONG for line in lines]


_ERASING = re.compile(rb"[\x08\x7f\x15]")


def typed(line: bytes) -> bytes:
    """Return what Backspace and Ctrl-U leave of a line sent key by key (busybox's telnet)."""
    if not _ERASING.search(line):
        return line
    left = bytearray()
    for key in line:
        if key == ord("\x15"):
            left.clear()
        elif key in b"\x08\x7f":
            while left and left[-1] & 0xC0 == 0x80:
                left.pop()
            del left[-1:]
        else:
            left.append(key)
    return bytes(left)


# C0 and C1 controls and DEL move another's cursor, or worse; U+2028 and U+2029 could begin a line
# that looks like the server's; bidirectional controls, the deprecated ones after them (U+206A to
# U+206F) and annotations make text look like other text.
_FORBIDDEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb]"
)


_PLAIN = bytes(range(0x20, 0x7F))

_PLAIN_AND_ENDINGS = _PLAIN + b"\n"


def clean(line: bytes) -> str:
    """Return a line's text, safe to show on any terminal; tabs become spaces.

    Raises:
        RefusedError: 503, it is not UTF-8; 504, it holds a control character.
    """
    if not line.translate(None, _PLAIN):  # nearly every line
        return line.decode("ascii")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise RefusedError(
            Code.NOT_UTF8, "that line is not UTF-8: set your terminal to UTF-8, or use plain ASCII"
        ) from None
    text = text.replace("\t", " ")
    if found := _FORBIDDEN.search(text):
        raise RefusedError(
            Code.CONTROL_CHARACTER,
            f"that line holds the control character U+{ord(found[0]):04X} (arrow keys and Backspace"
            " can leave one): type it again without",
        )
    return text


def clean_together(lines: Sequence[Line]) -> str | None:
    """Return the lines, joined by line feeds, if all are printable ASCII."""
    try:
        together = b"\n".join(cast("Sequence[bytes]", lines))
    except TypeError:  # one is TOO_LONG: quicker found so than looked for
        return None
    return None if together.translate(None, _PLAIN_AND_ENDINGS) else together.decode("ascii")


_HTTP = re.compile(r"[^ ]+ [^ ]+ HTTP/[0-9]|host:", re.IGNORECASE)


def is_http(line: str) -> bool:
    """Return whether a line is a request line or a Host header.

    Ask before the login: a web page can make a browser send lines of chat in a request's *body*.
    """
    return _HTTP.match(line) is not None
