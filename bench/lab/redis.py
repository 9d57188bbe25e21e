"""Redis: a primary and two replicas that sync each append, and publish/subscribe."""

from collections import deque
from collections.abc import Sequence

from lab.connections import PATIENCE, Greeting, connected, hear
from lab.peers import ROOM, LineWriter, Listener, Peer, addresses, until
from lab.processes import ServerError

PLAIN = ("--bind", "127.0.0.1", "--save", "")

DURABLE = (
    *("--appendonly", "yes"),
    *("--appendfsync", "always"),
    *("--auto-aof-rewrite-percentage", "0"),
    *("--repl-diskless-sync-delay", "0"),
)


def command(*words: bytes) -> bytes:
    """A command as bytes."""
    parts = [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%s" % (len(parts), b"".join(parts))


GREETING = Greeting(command(b"PING"), b"+PONG", b"-")


class PubSub(Peer):
    """One server; nothing is kept."""

    name = "Redis pub/sub"
    program = package = "redis-server"

    def begin(self) -> None:
        """Start it."""
        (self._address,) = addresses(1)
        port = self._address[1]
        self.start("server", *PLAIN, "--port", str(port), "--dir", str(self.folder))
        self.wait_for_port(port)

    def writers(self, count: int, text: bytes) -> Sequence[LineWriter]:
        """Publishers, who are told how many heard it."""
        request = command(b"PUBLISH", ROOM, text)
        return [
            LineWriter(self._address, GREETING, request, lines=1, last=b":") for _ in range(count)
        ]

    def receivers(self, count: int) -> Sequence[Listener]:
        """Subscribers."""
        subscribe = Greeting(command(b"SUBSCRIBE", ROOM), b"\r\n:1\r\n", b"-")
        return [Listener(self._address, subscribe) for _ in range(count)]

    idlers = receivers


class Replicated(Peer):
    """A primary and two replicas; a message is an entry of a stream and a WAIT for both."""

    name = "Redis, WAIT 2"
    program = package = "redis-server"

    def begin(self) -> None:
        """Start them, and wait for the replicas."""
        self._addresses = addresses(3)
        host, port = self._addresses[0]
        for i, (_, own_port) in enumerate(self._addresses):
            name = f"replica{i}" if i else "primary"
            follow = ("--replicaof", f"{host} {port}") if i else ()
            where = ("--port", str(own_port), "--dir", str(self.new_folder(name)))
            self.start(name, *PLAIN, *DURABLE, *where, *follow)
            self.wait_for_port(own_port)
        until(self._in_step, lambda: "the replicas do not follow", PATIENCE)

    def _in_step(self) -> bool:
        """True if everybody has everything, and nobody still rewrites a file."""
        for address in self._addresses:
            with connected(address) as connection:
                connection.sendall(command(b"INFO"))
                text = hear(connection, b"# Keyspace")
            if b"aof_rewrite_in_progress:0" not in text or b"master_link_status:down" in text:
                return False
            if address == self._addresses[0] and text.count(b"state=online") < 2:
                return False
        return True

    def writers(self, count: int, text: bytes) -> Sequence[LineWriter]:
        """Connections to the primary: the id of the entry, with its length, and who has it."""
        request = command(b"XADD", ROOM, b"*", b"text", text) + command(b"WAIT", b"2", b"0")
        return [
            LineWriter(self._addresses[0], GREETING, request, lines=3, last=b":2")
            for _ in range(count)
        ]


class Windows(Replicated):
    """The same, with one WAIT for all messages that are in flight on a connection."""

    name = "Redis, a WAIT per window"

    def writers(self, count: int, text: bytes) -> Sequence["WindowWriter"]:
        """Connections to the primary."""
        return [WindowWriter(self._addresses[0], text) for _ in range(count)]


class WindowWriter:
    """Writes a window of messages, waits for it, and counts all of them at once."""

    greeting = GREETING

    def __init__(self, address: tuple[str, int], text: bytes) -> None:
        self.address = address
        self._request = command(b"XADD", ROOM, b"*", b"text", text)
        self._windows: deque[int] = deque()
        self._rest = b""

    def requests(self, count: int) -> bytes:
        """A window of so many, and the WAIT."""
        self._windows.append(count)
        return self._request * count + command(b"WAIT", b"2", b"0")

    def acknowledged(self, data: bytes) -> int:
        """Each answer to a WAIT acknowledges its window."""
        heard = self._rest + data
        whole = heard[: heard.rfind(b"\n") + 1]
        self._rest = heard[len(whole) :]
        if whole.startswith(b"-") or b"\n-" in whole:
            raise ServerError(f"refused: {heard[-500:]!r}")
        waits = whole.count(b"\n:2\r") + whole.startswith(b":2\r")
        if waits != whole.count(b"\n:") + whole.startswith(b":"):
            raise ServerError(f"not on both replicas: {heard[-500:]!r}")
        return sum(self._windows.popleft() for _ in range(waits))
