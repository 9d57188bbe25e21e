"""Those who talk to nodes, over real sockets, one line after another: people and programs.

They wait for what they expect, with a deadline; a failure tells what else came.
"""

import base64
import contextlib
import os
import re
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any, Self

import scramp

from chainchat.chat.refusals import Code
from chainchat.chat.scram import ITERATIONS, salted, verifier_of
from chainchat.client.engine.wire import Note, Push, parse_line, parse_message

HOST = "::1" if os.environ.get("CHAINCHAT_TEST_IPV6") else "127.0.0.1"
"""Where nodes are; pytest's option ``--ipv6`` chooses."""

DEADLINE = 60.0
"""Seconds that anything may take."""

LONGEST_LOOK = 5.0
"""Seconds that one look at a condition takes at most."""

PAUSE = 0.02
"""Seconds between two looks at a condition."""


SECURED: dict[tuple[str, int], tuple[tuple[str, int], ssl.SSLContext]] = {}
"""By the address of a port without TLS: the one with, and whom to trust there.

Who calls at such an address comes with TLS, and every account gets a password: ``--tls``.
"""

PASSWORD = "correct horse battery"
"""Of all those accounts."""

NAME_IN_USE = f"-ERR {Code.NAME_IN_USE} "

_QUESTION = re.compile(
    rb"\r\* (?:password of \S+|your (?:new )?password|the same again) [^\r\n]*: $"
)


def until(condition: Callable[[], bool], what: Callable[[], str], within: float = DEADLINE) -> None:
    """Wait until ``condition`` holds; ``what`` says what is wrong if it never does.

    When the whole machine stands still for a while, as virtual ones do, nobody had that time.
    """
    waited, last = 0.0, time.monotonic()
    while not condition():
        now = time.monotonic()
        waited, last = waited + min(now - last, LONGEST_LOOK), now
        assert waited < within, f"{what()} (within {within:g} s)"
        time.sleep(PAUSE)


def _once_free(log_in: Callable[[], str]) -> str:
    """The answer to a login: an earlier connection may still be on its way out, elsewhere."""
    pause, ends = PAUSE, time.monotonic() + DEADLINE
    while (answer := log_in()).startswith(NAME_IN_USE) and time.monotonic() < ends:
        time.sleep(pause)
        pause = min(2 * pause, 1.0)  # every refusal is counted against the address
    return answer


def family_of(host: str) -> socket.AddressFamily:
    """The kind of sockets that connect to an address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class Caller:
    """A TCP connection, read line by line.

    Attributes:
        protects: whether this is about accounts with the one ``PASSWORD``.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        within: float = DEADLINE,
        receive_buffer: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Connect.

        Args:
            within: seconds that anything may take, if not said otherwise.
            receive_buffer: how many octets the kernel may take that nobody reads; 0: its own rule.
            tls: whom to trust; None: no TLS, unless the address is ``SECURED``.
        """
        self.protects = tls is None and address in SECURED
        if self.protects:
            address, tls = SECURED[address]
        self.within = within
        self.socket = socket.socket(family_of(address[0]))
        self.socket.settimeout(within)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.connect(address)
            if tls is not None:
                self.socket = tls.wrap_socket(self.socket, server_hostname=address[0])
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard: list[str] = []
        self._buffer = b""
        self._lines: deque[str] = deque()
        self._ended = False
        self._asked = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Vanish: the other side gets an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def write(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def say(self, *lines: str) -> None:
        self.write("".join(f"{line}\r\n" for line in lines))

    def hear(self, pattern: str, within: float | None = None) -> re.Match[str]:
        """Wait for a line that matches, passing over others."""
        return self._hear(pattern, within)[1]

    def lines_to(self, pattern: str, within: float | None = None) -> list[str]:
        """All lines up to the next one that matches, with it."""
        return self._hear(pattern, within)[0]

    def end(self, within: float | None = None) -> list[str]:
        """Wait until the other side hangs up; the lines that came before that."""
        lines = []
        deadline = self._deadline(within)
        while (line := self._line(deadline)) is not None:
            lines.append(line)
        return lines

    def calm(self, seconds: float) -> None:
        """Wait until nothing has come for so long."""
        deadline = self._deadline(None)
        with contextlib.suppress(TimeoutError):
            while self._line(time.monotonic() + seconds) is not None:
                assert time.monotonic() < deadline, f"no calm; heard at last: {self.heard[-5:]}"

    def _hear(self, pattern: str, within: float | None) -> tuple[list[str], re.Match[str]]:
        deadline = self._deadline(within)
        passed: list[str] = []
        while True:
            try:
                line = self._line(deadline)
            except TimeoutError:
                raise AssertionError(f"no line matches {pattern!r}; heard {passed}") from None
            assert line is not None, f"hung up before a line matched {pattern!r}; heard {passed}"
            passed.append(line)
            if match := re.search(pattern, line):
                return passed, match

    def _deadline(self, within: float | None) -> float:
        return time.monotonic() + (self.within if within is None else within)

    def _line(self, deadline: float) -> str | None:
        """The next line; None at the end."""
        while not self._lines and not self._ended:
            self._read(deadline)
        if not self._lines:
            return None
        self.heard.append(self._lines[0])
        return self._lines.popleft()

    def _read(self, deadline: float) -> None:
        if not (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()):
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self.socket], [], [], left)
            if not ready:
                raise TimeoutError
        try:
            data = self.socket.recv(1 << 16)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        self._ended = not data
        *lines, self._buffer = (self._buffer + data).split(b"\r\n")
        self._lines += [line.decode(errors="backslashreplace") for line in lines]
        if self.protects and _QUESTION.search(self._buffer):
            self._buffer, self._asked = b"", True
            self.say(PASSWORD)


class Person(Caller):
    """Somebody in human mode; logs in if named."""

    def __init__(self, address: tuple[str, int], name: str = "", **options: Any) -> None:
        super().__init__(address, **options)
        if name:
            try:
                self.hear(r"^\* Type your name")
                self.welcome = self.log_in(name)
                if self.protects and not self._asked and self.welcome.startswith("+OK"):
                    self._protect()
            except BaseException:
                self.close()
                raise

    def _protect(self) -> None:
        """Set the password, unless there is one; what comes meanwhile is heard later."""
        seen = len(self.heard)
        self.say("/password")
        *passed, _ = self.lines_to(r"^\+OK your password is set$")
        del self.heard[seen:]
        self._lines.extendleft(reversed(passed))

    def log_in(self, name: str) -> str:
        """Type a name; the answer, once no earlier connection holds it."""
        return _once_free(lambda: self.ask(name))

    def ask(self, line: str) -> str:
        """Type a line; its answer: the ``+OK`` or ``-ERR`` line."""
        self.say(line)
        return self.hear(r"^(\+OK|-ERR) ").string

    def listed(self, line: str) -> list[str]:
        """Type a line; the lines of the list that answers it, without the mark and the days."""
        self.say(line)
        lines = self.lines_to(r"^\. ")
        items = [line.removeprefix("| ") for line in lines if line.startswith("| ")]
        return [item for item in items if not re.fullmatch(r"\d{4}-\d\d-\d\d", item)]


def let_in(address: tuple[str, int]) -> Person:
    """Somebody who is greeted, once there is a place."""
    ends = time.monotonic() + DEADLINE
    while True:
        person = Person(address)
        if person.hear(r"^(\*|-ERR)").string.startswith("*"):
            return person
        person.close()
        assert time.monotonic() < ends, "there is no place"
        time.sleep(PAUSE)


class Program(Caller):
    """A program in machine mode.

    Attributes:
        greeting: the words of the answer to ``/hello``.
    """

    def __init__(
        self, address: tuple[str, int], client: str = "test", name: str = "", **options: Any
    ) -> None:
        super().__init__(address, **options)
        self.pushes: deque[Push] = deque()
        self.notes: deque[Note] = deque()
        self._tag = 0
        self._proved = False
        try:
            self.say(f"/hello chainchat/1 client={client}")
            self.greeting = _words(self.hear(r"^\+OK @- (.*)")[1])
            if name:
                words = self.words(f"LOGIN {name}")
                self.token, self.high = words["session"], int(words["high"])
                if self.protects and not self._proved:
                    self.ask(f"SECRET {secret_words(PASSWORD)}")
        except BaseException:
            self.close()
            raise

    def ask(self, request: str) -> str:
        """Ask; the reply without the tag."""
        [reply] = self.ask_all([request])
        if self.protects and request.startswith("LOGIN ") and reply.startswith("-ERR 513"):
            self._proved = True
            if prove(self, request.split()[1], PASSWORD).startswith("+OK"):
                [reply] = self.ask_all([request])
        return reply

    def words(self, request: str) -> dict[str, str]:
        """Ask for something that is granted, a name once it is free; the words of the reply."""
        reply = _once_free(lambda: self.ask(request))
        assert reply.startswith("+OK"), reply
        return _words(reply)

    def ask_all(self, requests: list[str]) -> list[str]:
        """Ask for all of this in one go; the replies, which have to come in this order."""
        tags = [self._new_tag() for _ in requests]
        self.say(*(f"@{tag} {request}" for tag, request in zip(tags, requests, strict=True)))
        return [self._reply(tag)[-1] for tag in tags]

    def listed(self, request: str) -> list[str]:
        """Ask for a list; its items."""
        tag = self._new_tag()
        self.say(f"@{tag} {request}")
        *items, end = self._reply(tag)
        assert end == ".", end
        return [item.removeprefix("| ") for item in items]

    def since(self, request: str) -> list[Push]:
        """Ask for a SINCE; the messages."""
        return [parse_message(item.removeprefix("MSG ")) for item in self.listed(request)]

    def push(self, within: float | None = None) -> Push:
        """Wait for the next push."""
        deadline = self._deadline(within)
        while not self.pushes:
            self._take(deadline, "a push")
        return self.pushes.popleft()

    def note(self, code: str, within: float | None = None) -> Note:
        """Wait for a notice, passing over others."""
        deadline = self._deadline(within)
        while True:
            while not self.notes:
                self._take(deadline, f"NOTE {code}")
            note = self.notes.popleft()
            if note.code == code:
                return note

    def _new_tag(self) -> str:
        self._tag += 1
        return f"t{self._tag}"

    def _reply(self, tag: str) -> list[str]:
        """The lines of one reply, without the tag."""
        lines: list[str] = []
        deadline = self._deadline(None)
        while True:
            line = self._take(deadline, f"the reply to @{tag}")
            if line is None:
                continue
            words = line.split(" ")
            at = 2 if words[0] == "-ERR" else 1
            assert words[at] == f"@{tag}", f"{line!r} is not the reply to @{tag}"
            del words[at]
            lines.append(" ".join(words))
            if words[0] != "|":
                return lines

    def _take(self, deadline: float, awaited: str) -> str | None:
        """Take a line; None if it was a push or a notice."""
        try:
            line = self._line(deadline)
        except TimeoutError:
            line = None
        assert line is not None, f"no {awaited}; heard at last: {self.heard[-5:]}"
        match parse_line(line):
            case Push() as push:
                self.pushes.append(push)
                return None
            case Note() as note:
                self.notes.append(note)
                return None
        return line


def prove(program: Program, name: str, secret: str) -> str:
    """Prove a password; the answer to PROVE."""
    client = scramp.ScramClient(["SCRAM-SHA-256"], name, secret)
    reply = program.ask(f"AUTH {name} SCRAM-SHA-256 :{client.get_client_first()}")
    client.set_server_first(reply.removeprefix("+OK challenge :"))
    reply = program.ask(f"PROVE :{client.get_client_final()}")
    if reply.startswith("+OK :"):
        client.set_server_final(reply.removeprefix("+OK :"))
    return reply


@cache
def secret_words(secret: str) -> str:
    """The arguments of a SECRET that sets this password."""
    salt = b"0123456789abcdef"
    verifier = verifier_of(salted(secret, salt, ITERATIONS), salt, ITERATIONS)
    keys = (verifier.salt, verifier.stored, verifier.server)
    s, stored, server = (base64.b64encode(octets).decode() for octets in keys)
    return f"i={ITERATIONS} s={s} stored={stored} server={server}"


def _words(text: str) -> dict[str, str]:
    pairs = [word.partition("=") for word in text.split()]
    return {key: value for key, equals, value in pairs if equals}
