"""An adversary who reads the messages of membership, and strikes just around them.

Random faults hardly ever hit the millisecond in which a vote is on its way. It stays within what
networks and machines do: a lane stays in order until it breaks, and a process may die, or stand
still, at any moment.
"""

from collections.abc import Callable

from chainchat.chain.messages import (
    Abort,
    Decided,
    Declined,
    Message,
    Ping,
    Pong,
    Propose,
    Synced,
    Voted,
)
from chainchat.peers.lanes import CHAIN, COPY, MEMBERSHIP
from tests.simulation.mishaps import Mishaps
from tests.simulation.world import World

DECISIVE = Propose | Voted | Decided | Abort | Declined | Synced
ROUTINE = Ping | Pong
ROUTINE_SHARE = 0.02
"""How much less probable it is that a ping is hit: there are many."""


class Meddler:
    """Hits messages with a probability of its own in each run."""

    def __init__(self, world: World, mishaps: Mishaps) -> None:
        self._world = world
        self._mishaps = mishaps
        self._random = world.random
        self._probability = self._random.choice((0.03, 0.1, 0.3))
        world.network.sending.append(self._sending)
        world.network.arriving.append(self._arriving)

    def _is_hit(self, message: Message) -> bool:
        if self._world.calm or not isinstance(message, DECISIVE | ROUTINE):
            return False
        share = ROUTINE_SHARE if isinstance(message, ROUTINE) else 1.0
        return self._random.random() < self._probability * share

    def _sending(self, sender: str, to: str, message: Message) -> None:
        if self._is_hit(message):
            strike: Callable[[str, str], None] = self._random.choice(
                (self._slow, self._slow, self._hold, self._break, self._pause, self._kill)
            )
            self._note(strike, sender, to, message)
            strike(sender, to)

    def _arriving(self, sender: str, to: str, message: Message) -> None:
        if self._is_hit(message):
            strike = self._random.choice((self._kill_at_once, self._kill, self._pause))
            self._note(strike, sender, to, message)
            strike(to, sender)

    def _note(
        self, strike: Callable[[str, str], None], sender: str, to: str, message: Message
    ) -> None:
        what = strike.__name__.strip("_").replace("_", " ")
        self._world.note(f"{type(message).__name__} from {sender} to {to} is hit: {what}")

    # --- strikes: at a host, and at its way to another

    def _slow(self, position: str, other: str) -> None:
        """All, or only the bulk, or only what is said about configurations."""
        every = (CHAIN, MEMBERSHIP, COPY)
        lanes = self._random.choice((every, (CHAIN, COPY), (MEMBERSHIP,)))
        self._world.network.slow(position, other, self._random.uniform(0.1, 2.0), lanes)

    def _hold(self, position: str, other: str) -> None:
        network = self._world.network
        network.block([(position, other)])
        self._world.later(self._random.uniform(0.2, 2.0), network.unblock, [(position, other)])

    def _break(self, position: str, other: str) -> None:
        connection = self._world.network.between(position, other)
        if connection is not None:
            self._world.network.end(connection)

    def _pause(self, position: str, _: str) -> None:
        self._world.pause(self._world.hosts[position], self._random.choice((0.2, 1.2, 2.0)))

    def _kill(self, position: str, _: str) -> None:
        """When the message is sent, or handled, and whatever belongs to it is done."""
        self._world.later(self._random.choice((0.0, 0.001, 0.05)), self._kill_at_once, position, _)

    def _kill_at_once(self, position: str, _: str) -> None:
        host = self._world.hosts[position]
        if self._world.calm:
            return
        self._world.kill(host)
        self._world.later(self._random.choice((0.02, 0.3, 1.5)), self._mishaps.revive, host)
