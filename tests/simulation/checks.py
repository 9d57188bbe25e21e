"""What must hold of the log, after every step and at the end."""

from bisect import bisect_right
from collections.abc import Sequence

from chainchat.chain.entries import Entry
from chainchat.chain.membership.clocks import MOST_AHEAD
from chainchat.chat import commands
from chainchat.chat.modes.mode import ChatMessage
from chainchat.node.node import Node
from tests.simulation.clients import READ_MESSAGES, Client, Read, Records
from tests.simulation.hosts import Host
from tests.simulation.world import World
from tests.taking_part import takes_part

DRIFTED = 2_000
"""Milliseconds that a head's own clock may have drifted since it heard the others' last."""


class InvariantError(AssertionError):
    """The product broke a promise."""


def require(world: World, fact: bool, otherwise: str) -> None:
    if not fact:
        raise InvariantError(f"at {world.clock.now:.4f} s: {otherwise}")


class Checks:
    """Watches a world."""

    def __init__(self, world: World, records: Records, clients: Sequence[Client]) -> None:
        self._world = world
        self._clients = clients
        self._records = records
        self._committed: list[Entry] = []
        """By sequence number: what was applied."""
        world.on_applied.append(self._applied)
        world.on_cut.append(self._cut)
        world.on_numbered.append(self._numbered)
        world.after_step.append(self._prefix)
        records.on_acknowledged.append(self._acknowledged)

    def _require(self, fact: bool, otherwise: str) -> None:
        require(self._world, fact, otherwise)

    # --- while it runs

    def _applied(self, node: Node, entries: Sequence[Entry]) -> None:
        """What one node applies is on its disk, and what every node applies, in the same order."""
        disk = self._world.machine(node.me.host).disk
        written = entries[-1].seq <= disk.last.seq
        self._require(written, f"{node.me.position} applied what is not on its disk")
        on_disk = list(disk.entries([entry.seq for entry in entries]))
        for entry, kept in zip(entries, on_disk, strict=True):
            if entry.seq > len(self._committed):
                self._committed += [entry] * entry.span
            same = self._committed[entry.seq - 1] == entry == kept
            self._require(same, f"{node.me.position} applied another entry {entry.seq}: {entry}")

    def _numbered(self, node: Node, entries: Sequence[Entry]) -> None:
        """An entry's time is never back, nor far ahead of what most members' clocks ever said."""
        hosts = [self._world.hosts[position] for position in node.configuration.positions]
        clocks = sorted(self._world.wall(host, host.wall_most) for host in hosts)
        last = node._storage.last.seq
        before = node._storage.read(last - 1, last, 1)[0].time if last else 0
        most = clocks[-(len(clocks) // 2) - 1] + MOST_AHEAD + DRIFTED
        for entry in entries:
            in_time = before <= entry.time <= max(before, most)
            text = f"{node.me.position} gives {entry.id} a time {(entry.time - most) / 1000:.0f} s"
            self._require(in_time, f"{text} too far ahead, or back")
            before = entry.time

    def _cut(self, host: Host, entries: Sequence[Entry]) -> None:
        """What leaves a log was never confirmed to anybody."""
        for entry in entries:
            confirmed = self._committed[entry.seq - 1 : entry.seq] == [entry]
            self._require(not confirmed, f"{host.position} cuts {entry}, which was confirmed")

    def keeps_everything(self, host: Host) -> bool:
        """True if the disk of ``host`` has all that was ever applied anywhere."""
        if not self._committed:
            return True
        newest = self._committed[-1]
        return host.disk.id_of(newest.seq) == newest.id

    def _prefix(self) -> None:
        """In a configuration, a successor's log is a prefix of its predecessor's."""
        if not self._world.written:
            return
        self._world.written = False
        hosts = self._world.hosts
        for host in hosts.values():
            node = host.node
            if node is None or not takes_part(node):
                continue
            successor = node.configuration.successor(node.me.position)
            other = hosts[successor].node if successor else None
            if other is None or not takes_part(other) or other.configuration != node.configuration:
                continue
            last = hosts[successor].disk.last
            self._require(
                host.disk.lacks or host.disk.id_of(last.seq) == last,
                f"{successor}'s log, ending with {last}, is no prefix of {node.me.position}'s",
            )

    def _acknowledged(self, text: str, seq: int, node: Node) -> None:
        """At the moment of its acknowledgement a message is on every member's disk.

        Or it was, and the disk has lost it since.
        """
        for position in node.configuration.positions:
            disk = self._world.hosts[position].disk
            if disk.lacks:
                continue
            held = seq <= disk.last.seq and _text(next(disk.entries([seq])), seq) == text
            self._require(held, f"{text!r} was acknowledged as {seq}, but {position} lacks it")

    # --- at the end

    def settled(self) -> bool:
        """True if nothing is left to be done, as far as can be seen from outside."""
        members = self._world.newest_configuration()
        nodes = [self._world.hosts[position].node for position in members.positions]
        whole = len(nodes) == len(self._world.founding)
        everybody = all(client.logged_in for client in self._clients)
        return (
            whole
            and everybody
            and all(
                node is not None
                and takes_part(node)
                and node.configuration == members
                and node.pending == 0
                and node.state.applied == self._world.hosts[members.head].disk.last.seq
                for node in nodes
            )
        )

    def at_end(self) -> None:
        """Everything acknowledged is there, once, everywhere; reads were linearizable."""
        newest = self._world.newest_configuration()
        whole = len(newest.members) == len(self._world.founding)
        self._require(whole, f"the chain is not whole: {newest}")
        nodes = [self._world.hosts[position].node for position in newest.positions]
        for position, node in zip(newest.positions, nodes, strict=True):
            serves = node is not None and takes_part(node)
            why = "dead" if node is None else node.readiness.reason
            self._require(serves, f"{position} does not serve again: {why}")
            stuck = f"{node.pending} requests at {position} were never answered"
            self._require(node.pending == 0, stuck)
        for client in self._clients:
            self._require(client.logged_in, f"{client.name} cannot log in")
        first = nodes[0]
        for node in nodes[1:]:
            same = node.state.image() == first.state.image()
            ends = f"{node.state.applied} and {first.state.applied}"
            self._require(same, f"{node.me.position} and {first.me.position} differ, at {ends}")
        for node in nodes:
            self._few_programs(node)
        self._messages(first)
        for name, mark in self._records.marks.items():
            account = first.state.account_named(name)
            kept = account is not None and account.seen >= mark
            self._require(kept, f"the read mark {mark} of {name} is lost")
        self._linearizable()

    def _few_programs(self, node: Node) -> None:
        """However many client IDs an account has used, few are remembered."""
        bounds = node.state._bounds
        for programs in node.state._programs._of_account.values():
            recent, known = len(programs.recent), len(programs.recent | programs.known)
            few = recent <= bounds.programs and known <= bounds.known_programs
            self._require(few, f"{node.me.position} remembers {known} programs of an account")

    def _messages(self, node: Node) -> None:
        shown = everything_shown(node)
        self.shown = {message.text: message.id for message in shown}
        self._require(len(self.shown) == len(shown), "a message is there twice")
        for text, seq in self._records.acknowledged.items():
            self._require(self.shown.get(text) == seq, f"{text!r}, acknowledged as {seq}, is lost")
        for text in self.shown:
            self._require(text in self._records.sent, f"{text!r} was never sent")
        self._senders_order(list(self.shown))

    def _senders_order(self, texts: list[str]) -> None:
        newest: dict[str, int] = {}
        for text in texts:
            sender, number = text.rsplit("-", 1)
            self._require(newest.get(sender, 0) < int(number), f"{text!r} is out of order")
            newest[sender] = int(number)

    def _linearizable(self) -> None:
        """There is one order of all sends and reads that explains what everybody was told."""
        ids = sorted(self.shown.values())
        for text, id_ in self.shown.items():
            self._require(*sent_in_time(text, id_, self._records.sent[text]))
        for read in self._records.reads:
            self._require(*read_in_time(read, ids))


def everything_shown(node: Node) -> list[ChatMessage]:
    """All broadcasts that a node has, oldest first."""
    shown = list(node.history.oldest(-5, 0, 1_000))
    while shown and len(shown) % 1_000 == 0:
        more = list(node.history.oldest(-5, shown[-1].id, 1_000))
        if not more:
            break
        shown += more
    return shown


def sent_in_time(text: str, id_: int, told_before: int) -> tuple[bool, str]:
    """True if a message came after all that anybody had been told of when it was first sent.

    If not, also how it is wrong. With ``read_in_time``, this is linearizability: let sends take
    effect in the order of their ids, and each read just after the newest that it shows.
    """
    return id_ > told_before, f"{text!r} became {id_}, but was sent when {told_before} was known"


def read_in_time(read: Read, ids: Sequence[int]) -> tuple[bool, str]:
    """True if a read showed the newest messages as of some moment while it went on.

    If not, also how it is wrong. ``ids``: of all messages, in order.
    """
    newest = read.shown[-1] if read.shown else 0
    if newest < read.told_before:
        return False, f"a read{read.about} missed {read.told_before}"
    until = bisect_right(ids, newest)
    expected = list(ids[max(0, until - READ_MESSAGES) : until])
    return read.shown == expected, f"a read{read.about} showed {read.shown} instead of {expected}"


def _text(entry: Entry, seq: int) -> str | None:
    command = commands.decode(entry.command)
    if not isinstance(command, commands.Say):
        return None
    return command.sayings[seq - entry.first].text
