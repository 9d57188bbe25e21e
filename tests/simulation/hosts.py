"""One machine of a world: its disk, its clock, and what its node sees of the network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from chainchat.chain.entries import Entry
from chainchat.chain.log import DivergenceError
from chainchat.chain.messages import Message
from chainchat.chain.record import Record
from chainchat.node.node import Node
from tests.simulation import work
from tests.simulation.clock import HostClock
from tests.simulation.disk import Disk

if TYPE_CHECKING:
    from tests.simulation.world import World


class Killed(BaseException):
    """Thrown where a process dies, with its machine; nothing in a node may catch it."""


@dataclass(eq=False)
class Host:
    """One machine: a disk, a clock, and perhaps a living node.

    Attributes:
        position: what its process says that it is.
        name: its own, and its address: the position, but for a machine with a copied disk.
        life: counts the nodes that have lived here.
        disks: counts the disks that were new here.
        slowness: what its work costs, in multiples of the usual prices.
        wall_offset: of its wall clock, milliseconds.
        wall_most: the largest that it ever had.
        paused: it does nothing for now.
        busy: that is because it is still at work on what it did last.
        kept: what is to run when it is not paused any more.
        dying: probability that the process dies at the next crash point.
        stalling: seconds for which it is to stand still in its next write.
        newest_disk: its own, while a backup stands in its place.
    """

    position: str
    name: str
    clock: HostClock
    disk: Disk = field(init=False)
    node: Node | None = None
    life: int = 0
    disks: int = 1
    slowness: float = 1.0
    wall_offset: int = 0
    wall_most: int = 0
    paused: bool = False
    busy: bool = False
    pauses: int = 0
    kept: list[Callable[[], Any]] = field(default_factory=list)
    dying: float = 0.0
    stalling: float = 0.0
    newest_disk: Disk | None = None


class Port:
    """What one node sees of the network."""

    def __init__(self, world: "World", host: Host) -> None:
        self._world = world
        self._host = host

    def send(self, to: str, message: Message) -> None:
        """Send over the connection that there is; without one it is lost."""
        name, network = self._host.name, self._world.network
        self._world.crash_point(self._host, "before a send")
        connection = network.link(name, to)
        if connection is not None:
            self._world.work(self._host, work.price(message))
            other = connection.other(name)
            send = partial(network.transmit, connection, name, other, message)
            self._world.outward(self._host, send)

    def distrust(self, position: str, reason: str) -> None:
        """Here nobody sends what no node sends: what looks like it is a bug."""
        raise DivergenceError(f"{self._host.name} distrusts {position}: {reason}")


class Machine:
    """What a disk sees of its host; see ``disk.Machine``."""

    def __init__(self, world: "World", host: Host) -> None:
        self._world = world
        self._host = host

    def before_write(self, what: str) -> None:
        self._world.crash_point(self._host, f"before a {what}")

    def after_write(self, what: str) -> None:
        self._world.written = True
        self._world.crash_point(self._host, f"after a {what} write")
        seconds, self._host.stalling = self._host.stalling, 0.0
        if seconds:
            self._world.note(f"{self._host.position}: a {what} write takes long")
            self._world.pause(self._host, seconds)

    def stands_still(self) -> bool:
        return self._host.paused

    def when_it_goes_on(self, call: Callable[[], Any]) -> None:
        self._world.outward(self._host, call)

    def loses_power(self) -> bool:
        return self._world.random.random() < 0.5

    def wrote(self, before: Record | None, after: Record) -> None:
        for told in self._world.on_record:
            told(self._host, before, after)

    def cuts(self, entries: Sequence[Entry]) -> None:
        for told in self._world.on_cut:
            told(self._host, entries)

    def begins_later(self, how: str) -> None:
        for told in self._world.on_beginning:
            told(self._host, how)
