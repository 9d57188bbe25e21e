"""Runs with a crowd: many clients with sessions, a backlog, and work that takes time.

In most, nothing goes wrong but what clients do, and nobody may be taken for dead. In others a node
dies, and all its clients come to the others at once; in others all kinds of things go wrong, and
what must hold is what always must.
"""

from collections.abc import Callable
from itertools import pairwise

from chainchat.chain.limits import ProtocolLimits
from chainchat.chain.record import Record
from chainchat.node.budget import CheckpointPace
from chainchat.node.limits import NodeLimits
from chainchat.node.pending import PendingLimits
from tests.simulation.checks import Checks, require
from tests.simulation.clients import Client, Records
from tests.simulation.configurations import ConfigurationChecks
from tests.simulation.faults import Faults
from tests.simulation.guests import SENT_AT_ONCE, Guest, House
from tests.simulation.hosts import Host
from tests.simulation.mishaps import Mishaps
from tests.simulation.scenario import QUIET, Summary, calm_down
from tests.simulation.world import TracedNode, World
from tests.taking_part import takes_part

BACKLOG = 300
"""Messages that those who were away have missed."""

AWAY = 48
"""How many were away."""

ASKED = 40
"""How many messages they ask for."""

TROUBLE = 4.0
"""Seconds from when they come back to when nobody says anything more."""

CALM = 600.0
"""Seconds after that in which everybody has to have everything."""

SLOWNESS = 3.0
"""So many times slower than the others are some of the machines."""

SAID_AT_ONCE = 4
"""What bounds a piece of work, or the work that is not sliced, is as much smaller as prices are
higher, as are the limits and the pace of each node, see ``run_crowd``.
"""


class Crowd:
    """Who comes to a chain of three, and what they do there."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.records = Records()
        self._newest: int | None = None
        """The newest epoch that there may be, if nothing else is wrong."""
        world.on_record.append(self._recorded)
        self.house = House(world, self.records, said_at_once=SAID_AT_ONCE)
        self.clients = [
            Client(world, name, self.records, window=4, person=False) for name in ("ann", "bea")
        ]
        self._random = world.random
        self.writers = [Guest(self.house, f"writer{n}", person=False) for n in range(2)]
        self.away = [Guest(self.house, f"away{n}", person=n % 3 == 0) for n in range(AWAY)]
        self.talkers = [Guest(self.house, f"talker{n}", person=False) for n in range(3)]

    @property
    def epoch(self) -> int:
        return self.world.newest_configuration().epoch

    def expects(self, changes: int) -> None:
        """From now on the configuration changes so often at most: whatever clients do."""
        self._newest = self.epoch + changes

    def _recorded(self, host: Host, before: Record | None, after: Record) -> None:
        configuration = after.configuration
        text = f"nothing else is wrong, and {host.position} has {configuration}"
        fact = self._newest is None or configuration.epoch <= self._newest
        require(self.world, fact, text)

    # --- before

    def gather(self) -> None:
        """The chain is founded, all have been there once, and most have missed a lot since."""
        self._until(lambda: self._whole, 3.0, "three that nothing happened to are no chain yet")
        for guest in self.house.guests:
            self.world.later(self._random.uniform(0.0, 0.5), guest.come)
        everybody = self.house.guests
        self._until(lambda: all(g.logged_in for g in everybody), 20.0, "not all can log in")
        for guest in self.away:
            guest.go_away()
        for writer in self.writers:
            self._write(writer, BACKLOG // len(self.writers))
        self._until(self._all_is_written, 20.0, "the backlog is not confirmed")

    def _write(self, writer: Guest, left: int) -> None:
        """As fast as it is acknowledged."""
        if left and not writer.unanswered:
            writer.says(min(left, SENT_AT_ONCE))
            left -= min(left, SENT_AT_ONCE)
        if left:
            self.world.later(0.02, self._write, writer, left)

    def _all_is_written(self) -> bool:
        last = f"-{BACKLOG // len(self.writers)}"
        return all(writer.name + last in self.records.acknowledged for writer in self.writers)

    @property
    def _whole(self) -> bool:
        nodes = [host.node for host in self.world.hosts.values()]
        return all(node is not None and takes_part(node) for node in nodes)

    def _until(self, fact: Callable[[], bool], within: float, otherwise: str) -> None:
        end = self.world.clock.now + within
        while not fact():
            require(self.world, self.world.clock.now < end, otherwise)
            self.world.run(self.world.clock.now + 0.05)

    # --- what they do

    def come_back(self, position: str = "") -> None:
        position = position or self._random.choice(self.world.positions)
        for guest in self.away:
            self.world.later(self._random.uniform(0.0, 0.1), guest.come, position)

    def lose_their_node(self) -> None:
        """All are at one node and have everything; it dies, and some know nothing any more."""
        self.come_back()
        self._until(lambda: all(g.logged_in for g in self.away), 120.0, "not all can log in")
        hosts = {guest.host for guest in self.away if guest.host is not None}
        host = self._random.choice(sorted(hosts, key=lambda host: host.position))
        for guest in self.away[::2]:
            guest.forget()
        self.world.kill(host)
        self.world.later(TROUBLE, self.world.start, host)

    def flood(self) -> None:
        """Some say as much as they can at the head; those who were away come to the tail."""
        for number in range(4):
            guest = Guest(self.house, f"flooder{number}", person=number == 0)
            guest.come("head")
            self._flood(guest)
        self.come_back("tail")

    def _flood(self, guest: Guest) -> None:
        if self.world.calm:
            return
        if guest.logged_in and len(guest.unanswered) < SENT_AT_ONCE:
            guest.says(SENT_AT_ONCE)
        # A person's lines that wait are no more than what its pace lets through until calm.
        self.world.later(0.3 if guest.person else 0.02, self._flood, guest)

    def ask(self) -> None:
        self.come_back()
        for guest in self.away:
            self.world.later(1.0 + self._random.random(), self._ask, guest)

    def _ask(self, guest: Guest) -> None:
        if not guest.logged_in:
            self.world.later(0.2, self._ask, guest)
        elif guest.person:
            guest.asks(f"last {ASKED}", "list .*a.*", "who")
        else:
            newest = self.records.newest_told
            guest.asks(f"SINCE {max(0, newest - ASKED)}", "LIST .*a.*", "WHO")

    def talk(self) -> None:
        """Some ordinary users, who go on all the time, and read what is new."""
        for talker in self.talkers:
            self._talk(talker)

    def _talk(self, talker: Guest) -> None:
        if not self.world.calm:
            talker.says(1)
            if not talker.asked:
                talker.asks(f"SINCE {max(0, self.records.newest_told - 1)}")
            self.world.later(self._random.expovariate(5.0), self._talk, talker)

    # --- what must hold

    def settled(self) -> bool:
        """True if everybody has everything."""
        node = self.world.hosts[self.world.newest_configuration().head].node
        if node is None:
            return False
        for guest in self.house.guests:
            account = node.state.account_named(guest.name)
            if account is None or not guest.logged_in or guest.unanswered or guest.asked:
                return False
            newest = node.history.previous(account.number, node.state.applied + 1)
            pushed = guest.sessions[-1][-1:] or [account.seen]
            if pushed[0] < newest and not guest.person:
                return False
            if guest.person and pushed[0] < newest and account.seen < newest:
                return False
        return True

    def check(self, shown: dict[str, int]) -> None:
        """Each session was pushed all that there was for it, in order, once."""
        of_sender: dict[int, str] = {id_: text.rsplit("-", 1)[0] for text, id_ in shown.items()}
        for guest in self.house.guests:
            pushable = [id_ for id_ in sorted(of_sender) if of_sender[id_] != guest.name]
            after = dict(pairwise(pushable))
            for pushed in guest.sessions:
                for one, other in pairwise(pushed):
                    text = f"{guest.name} was pushed {other} after {one}"
                    require(self.world, after.get(one) == other, text)


KINDS = (Crowd.come_back, Crowd.lose_their_node, Crowd.flood, Crowd.ask)
"""What a crowd does, by the seed."""

WITH_FAULTS = 5
"""In one of so many runs all kinds of things go wrong as well."""


def run_crowd(seed: int, *, trace: Callable[[str], None] | None = None) -> Summary:
    """Run one seed with a crowd.

    Raises:
        InvariantError: a promise was broken.
    """
    positions = ("head", "middle", "tail")
    world = World(
        seed,
        positions,
        node_class=TracedNode,
        trace=trace,
        priced=True,
        limits=NodeLimits(
            protocol=ProtocolLimits(apply_octets=1_000),
            pending=PendingLimits(requests=200, share=4, most=400),
            pace=CheckpointPace((10_000, 100)[seed // 4 % 2], records_at_once=4),
        ),
    )
    crowd = Crowd(world)
    checks = Checks(world, crowd.records, [*crowd.clients, *crowd.house.guests])
    ConfigurationChecks(world, checks, watch_votes=True)
    kind = KINDS[seed % len(KINDS)]
    for host in world.hosts.values():
        slow = host.position == "tail" if kind is Crowd.flood else world.random.random() < 0.5
        host.slowness = SLOWNESS if slow else 1.0
        world.later(world.random.random() / 2, world.start, host)
    crowd.gather()
    world.note(f"the crowd: {kind.__name__}")
    faults = seed % WITH_FAULTS == WITH_FAULTS - 1
    if not faults:  # who died is left out, and comes back
        crowd.expects(2 if kind is Crowd.lose_their_node else 0)
    crowd.talk()
    kind(crowd)
    if faults:
        Faults(world, Mishaps(world, checks))
    world.run(world.clock.now + TROUBLE)
    calm_down(world)
    _wait_until_settled(world, crowd, checks)
    checks.at_end()
    crowd.check(checks.shown)
    records = crowd.records
    return Summary(crowd.epoch, len(records.acknowledged), len(records.reads), world.events)


def _wait_until_settled(world: World, crowd: Crowd, checks: Checks) -> None:
    """Until everybody has everything, and read marks have moved."""
    end, quiet = world.clock.now + CALM, 0.0
    while quiet < QUIET or not checks.settled():
        require(world, world.clock.now < end, "somebody does not have everything yet")
        world.run(world.clock.now + QUIET / 4)
        quiet = quiet + QUIET / 4 if crowd.settled() else 0.0
