"""The client's engine with a script: the node that the test plays, and time."""

from random import Random

from chainchat.client.engine import events, wire
from chainchat.client.engine.engine import Engine
from chainchat.client.engine.events import MessageArrived
from chainchat.client.engine.memory import Memory

TOKEN = "t" * 22
NODES = [("a", 1), ("b", 2), ("c", 3)]


class InOrder(Random):
    """Draws the first of those that are left, so that tests know which node comes next."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return 0


class Script:
    """An engine, its clock, and the node that the test plays."""

    def __init__(self, *, nodes: list[wire.Address] = NODES, **options: bool | Memory) -> None:
        self.engine = Engine("alice", "c7f3", nodes, InOrder(1), **options)
        self.now = 1000.0
        self.engine.start(self.now)

    def connect(self) -> None:
        self.engine.connected(self.now)

    def reaches(self, node: str) -> None:
        """Connect, and be greeted."""
        self.connect()
        self.says(f"+OK @- node={node} max-line=1024 nodes=a:1")

    def says(self, *lines: str) -> None:
        self.engine.received("".join(f"{line}\r\n" for line in lines).encode(), self.now)

    def written(self) -> list[str]:
        return self.engine.take_bytes().decode().splitlines()

    def happened(self) -> list[events.Event]:
        taken = self.engine.take_events()
        self.engine.seen()
        return taken

    def log_in(self) -> None:
        """Connect and log in; forget what was written and what happened."""
        self.connect()
        self.says("+OK @- node=tail max-line=1024 nodes=a:1,b:2,c:3")
        self.says(f"+OK @login session={TOKEN} high=1000")
        assert self.engine.online
        self.written()
        self.happened()

    def breaks(self) -> list[events.Event]:
        self.engine.lost(self.now)
        return self.happened()

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.1
            self.engine.tick(self.now)


def push(number: int, previous: int, text: str = "hi", sender: str = "bob", to: str = "*") -> str:
    return f"MSG {number} {previous} 2026-11-22T11:03:07.120Z {sender} {to} :{text}"


def arrived(number: int, text: str = "hi") -> MessageArrived:
    return MessageArrived(number, "2026-11-22T11:03:07.120Z", "bob", "*", text)
