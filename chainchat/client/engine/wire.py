"""Machine mode, as in ``docs/protocol.md``: a node's lines parsed, and a client's written."""

import re
from typing import NamedTuple

from msgspec import Struct

from chainchat.client.engine.events import MessageArrived

LONGEST_LINE = 64 * 1024
"""Octets; no chainchat sends a longer line."""

LONGEST_NUMBER = 19
"""Digits; Python refuses to parse very long numbers."""

LARGEST_NUMBER = (1 << 63) - 1
"""No chainchat counts further, nor do SQLite and JSON."""

TLS_SCHEME = "tls://"


class Address(NamedTuple):
    """Where a node takes connections, with ``tls`` or without."""

    host: str
    port: int
    tls: bool = False


# What chainchat refuses with 504, and surrogates, which are not characters at all.
_UNSENDABLE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]"
)


class ProtocolError(Exception):
    """The server does not speak machine mode."""


class UnsendableError(ValueError):
    """A request cannot be sent; ``code`` is that of the refusal it would get."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


# --- what a node says ----------------------------------------------------------------


class Push(Struct, frozen=True):
    """``MSG id prev time from to :text``."""

    previous: int
    message: MessageArrived


class Done(Struct, frozen=True):
    """``+OK @tag …``."""

    tag: str
    rest: str


class Refusal(Struct, frozen=True):
    """``-ERR nnn @tag …``; ``-`` if the line had no tag."""

    tag: str
    code: int
    text: str


class Item(Struct, frozen=True):
    """``| @tag …``: one line of a list."""

    tag: str
    text: str


class End(Struct, frozen=True):
    """``. @tag``: the end of a list."""

    tag: str


class Note(Struct, frozen=True):
    """``NOTE code key=value … :text``."""

    code: str
    words: dict[str, str]
    text: str


ServerLine = Push | Done | Refusal | Item | End | Note


class LineReader:
    """Cuts bytes into lines, a whole chunk at once, for speed."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes, without their endings.

        Raises:
            ProtocolError: a line does not end.
        """
        whole, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._keep(data)
            return []
        self._rest += whole
        text = self._rest.decode(errors="replace")
        self._rest.clear()
        self._keep(rest)
        return text.replace("\r", "").split("\n")

    def _keep(self, data: bytes) -> None:
        self._rest += data  # in place: the octets of a long line are not copied again and again
        if len(self._rest) > LONGEST_LINE:
            raise ProtocolError("the server sent an endless line")


def parse_line(line: str) -> ServerLine | None:
    """Parse one line of a node; None if a program may ignore it.

    Raises:
        ProtocolError: the protocol has no such line.
    """
    mark, _, rest = line.partition(" ")
    try:
        match mark:
            case "MSG":
                return parse_message(rest)
            case "+OK":
                tag, _, rest = rest.partition(" ")
                return Done(_tag(tag), rest)
            case "-ERR":
                return _refusal(rest)
            case "|":
                tag, _, rest = rest.partition(" ")
                return Item(_tag(tag), rest)
            case ".":
                return End(_tag(rest.partition(" ")[0]))
            case "NOTE":
                head, _, text = rest.partition(" :")
                code, _, words = head.partition(" ")
                return Note(code, key_values(words), text)
            case "*" | "":
                return None  # the greeting, for people
    except ValueError:
        pass
    raise ProtocolError(f"the server does not speak chainchat/1: {line[:60]!r}")


def parse_message(rest: str) -> Push:
    """Parse ``id prev time from to :text``.

    Raises:
        ValueError: it has another form.
        ProtocolError: an id is no number.
    """
    number, previous, time, sender, to, text = rest.split(" ", 5)
    if not text.startswith(":"):
        raise ValueError(rest)
    message = MessageArrived(whole_number(number), time, sender, to, text[1:])
    return Push(whole_number(previous), message)


def _tag(word: str) -> str:
    if not word.startswith("@"):
        raise ValueError(word)
    return word[1:]


def _refusal(rest: str) -> Refusal:
    code, _, text = rest.partition(" ")
    if text.startswith("@"):
        tag, _, text = text.partition(" ")
        return Refusal(tag[1:], whole_number(code), text)
    return Refusal("-", whole_number(code), text)  # said before the switch to machine mode


def key_values(words: str) -> dict[str, str]:
    pairs = [word.partition("=") for word in words.split()]
    return {key: value for key, equals, value in pairs if equals}


def whole_number(word: str) -> int:
    """Parse a number of a node.

    Raises:
        ProtocolError: it is none.
    """
    if word.isascii() and word.isdigit() and len(word) <= LONGEST_NUMBER:
        number = int(word)
        if number <= LARGEST_NUMBER:
            return number
    raise ProtocolError(f"the server wrote {word[:60]!r} for a number")


# --- what a client says --------------------------------------------------------------


def hello_line(client: str, *, notices: bool) -> str:
    return f"/hello chainchat/1 client={client}{' notices=on' if notices else ''}\n"


def request_line(tag: str, verb: str, *arguments: str | int) -> str:
    return " ".join([f"@{tag}", verb, *map(str, arguments)]) + "\n"


def send_line(tag: int, number: int, to: str, text: str) -> str:
    return f"@{tag} SEND {number} {to} :{text}\n"


def octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def checked(text: str) -> str:
    """Return ``text`` if it may stand in a request.

    Raises:
        UnsendableError: 503, it is not text; 504, it holds a control character.
    """
    # isprintable() is quick and stricter than the protocol: most texts end here.
    if not text.isprintable() and (found := _UNSENDABLE.search(text)):
        if found[0] >= "\ud800":  # how Python keeps bytes that are not UTF-8
            raise UnsendableError(503, "that is not UTF-8")
        raise UnsendableError(504, f"U+{ord(found[0]):04X} is a control character")
    return text


def harmless(text: str) -> str:
    """Replace characters that could play tricks on a terminal."""
    if text.isprintable():
        return text
    return _UNSENDABLE.sub("\ufffd", text.replace("\t", " "))


# --- addresses -----------------------------------------------------------------------


def parse_address(text: str, *, tls: bool = False) -> Address:
    """Parse ``host:port``, ``[::1]:port`` or ``tls://host:port``; ``tls``: with TLS in any case.

    Raises:
        ValueError: it is no address.
    """
    tls = tls or text.strip().startswith(TLS_SCHEME)
    host, _, port = text.strip().removeprefix(TLS_SCHEME).rpartition(":")
    if ":" in host and not (host[0] == "[" and host[-1] == "]"):
        raise ValueError(f"{text!r} is not HOST:PORT, like 127.0.0.1:7001 or [::1]:7001")
    host = host.removeprefix("[").removesuffix("]") if host.isprintable() else ""
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not HOST:PORT, like 127.0.0.1:7001")
    return Address(host, int(port), tls)


def parse_nodes(text: str, *, tls: bool) -> list[Address]:
    """The addresses in ``nodes=``; ``tls``: the node was reached with TLS."""
    addresses = []
    for word in text.split(","):
        try:
            addresses.append(parse_address(word, tls=tls))
        except ValueError:
            continue  # a newer server may say more than we know
    return addresses
