"""Other servers, started for a comparison with ports and data of their own, and stopped again."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from ports import free_ports  # from tests/end_to_end
from talking import HOST, until  # from tests/end_to_end

from lab.connections import PATIENCE, Greeting, Visitor, connected
from lab.processes import Server, ServerError
from lab.writing import Writer

ROOM = b"room"
"""What is written to, whatever a system calls it: a stream, a channel, a subject."""


class System(Protocol):
    """Servers that run, in whatever way clients see them."""

    @property
    def pids(self) -> Mapping[str, int]:
        """The processes."""

    def writers(self, count: int, text: bytes) -> Sequence[Writer]:
        """Connections that say this."""


class Room(System, Protocol):
    """Servers that pass on what is said."""

    def receivers(self, count: int) -> Sequence[Visitor]:
        """Connections that are told."""

    def idlers(self, count: int) -> Sequence[Visitor]:
        """Connections that do nothing but be there, logged in."""


class Peer:
    """Servers of one kind, from ``with`` on.

    Attributes:
        name: of the system, for the table.
        program: what has to be installed.
    """

    name: str
    program: str
    package: str

    def __init__(self, folder: Path) -> None:
        """The folder is an empty one."""
        self.folder = folder
        self._servers: dict[str, Server] = {}

    @classmethod
    def installed(cls) -> str | None:
        """Where the program is, if it is on this machine."""
        return shutil.which(cls.program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")

    def __enter__(self) -> Self:
        try:
            self.begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.stop()

    def begin(self) -> None:
        """Start the servers, and wait until they serve."""
        raise NotImplementedError

    @property
    def pids(self) -> dict[str, int]:
        """The processes, by name."""
        return {name: server.pid for name, server in self._servers.items()}

    def start(self, name: str, *arguments: str) -> None:
        """Start one server; ``wait_for_port`` waits for it."""
        program = self.installed()
        assert program is not None, f"{self.program} is not installed"
        log = self.folder / f"{name}.log"
        self._servers[name] = Server([program, *arguments], log, cwd=self.folder)

    def wait_for_port(self, port: int) -> None:
        """Wait until somebody listens."""

        def listens() -> bool:
            for server in self._servers.values():
                server.must_run()
            try:
                connected((HOST, port)).close()
            except OSError:
                return False
            return True

        until(listens, lambda: f"{self.name} does not listen at {port}", PATIENCE)

    def new_folder(self, name: str) -> Path:
        """For one server's data."""
        folder = self.folder / name
        folder.mkdir()
        return folder


@dataclass(frozen=True)
class Listener:
    """A visitor who says nothing after the greeting."""

    address: tuple[str, int]
    greeting: Greeting


class LineWriter:
    """A writer whose requests are all alike, and each answered with so many lines."""

    def __init__(
        self,
        address: tuple[str, int],
        greeting: Greeting,
        request: bytes,
        *,
        lines: int,
        last: bytes = b"",
        refusal: bytes = b"\n-",
    ) -> None:
        """Prepare.

        Args:
            greeting: what comes first.
            request: what is said each time.
            lines: line ends of an answer; 0: whatever comes is ignored.
            last: how the last line of an answer begins.
            refusal: what is in the answers only if something is wrong.
        """
        self.address = address
        self.greeting = greeting
        self._request = request
        self._lines = lines
        self._last = last
        self._refusal = refusal
        self._heard = 0
        self._rest = b"\n"

    def requests(self, count: int) -> bytes:
        """The same, so many times."""
        return self._request * count

    def acknowledged(self, data: bytes) -> int:
        """Count the lines; look at the last one, if it ends an answer."""
        if not self._lines:
            return 0
        before = self._heard // self._lines
        self._heard += data.count(b"\n")
        heard = self._rest + data
        whole = heard[: heard.rfind(b"\n")]
        self._rest = heard[len(whole) :]
        if self._refusal in heard:
            raise ServerError(f"refused: {heard[-500:]!r}")
        if self._heard % self._lines == 0 and self._last not in whole[whole.rfind(b"\n") :]:
            raise ServerError(f"{self._last!r} was expected, not {heard[-500:]!r}")
        return self._heard // self._lines - before


def addresses(count: int) -> list[tuple[str, int]]:
    """That nobody listens at."""
    return [(HOST, port) for port in free_ports(count)]
