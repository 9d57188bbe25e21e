"""What must hold, after every step and at the end."""

from chainchat.chain.messages import Entry
from chainchat.chat import commands
from chainchat.server.node import Node
from tests.simulation.clients import Records
from tests.simulation.world import World


class InvariantError(AssertionError):
    """The product broke a promise."""


class Checks:
    """Watches a world."""

    def __init__(self, world: World, records: Records) -> None:
        self._world = world
        self._records = records
        self._committed: list[Entry] = []
        self._checked: dict[tuple[str, int], int] = {}
        self._logs: list[tuple[int, int]] = []
        world.after_step.append(self.after_step)
        records.on_acknowledged.append(self._acknowledged)

    def require(self, fact: bool, otherwise: str) -> None:
        if not fact:
            raise InvariantError(f"at {self._world.clock.now:.4f} s: {otherwise}")

    # --- after every step

    def after_step(self) -> None:
        for host in self._world.hosts.values():
            if host.node is not None:
                self._agreement(host.node, host.life)
        self._prefix()

    def _agreement(self, node: Node, life: int) -> None:
        """What one node has applied is what every node applies, in the same order."""
        key = (node.me.position, life)
        done = self._checked.get(key)
        if done is None:
            checkpoint = self._world.hosts[node.me.position].disk.newest_checkpoint()
            done = checkpoint.seq if checkpoint else 0
        applied = node.state.applied
        if applied == done:
            return
        for seq in range(done + 1, applied + 1):
            [entry] = self._world.hosts[node.me.position].disk.entries([seq])
            if seq <= len(self._committed):
                same = self._committed[seq - 1] == entry
                self.require(same, f"{node.me.position} applied another entry {seq}: {entry}")
            else:
                self._committed.append(entry)
        self._checked[key] = applied

    def _prefix(self) -> None:
        """In a configuration, a successor's log is a prefix of its predecessor's."""
        hosts = self._world.hosts
        logs = [(host.life, host.disk.last.seq) for host in hosts.values()]
        if logs == self._logs:
            return
        self._logs = logs
        for host in hosts.values():
            node = host.node
            if node is None or not node.taking_part:
                continue
            successor = node.configuration.successor(node.me.position)
            if successor is None or hosts[successor].node is None:
                continue
            other = hosts[successor].node
            if not other.taking_part or other.configuration != node.configuration:
                continue
            last = hosts[successor].disk.last
            self.require(
                host.disk.epoch_of(last.seq) == last.epoch,
                f"{successor}'s log, ending with {last}, is no prefix of {node.me.position}'s",
            )

    def _acknowledged(self, text: str, seq: int, node: Node) -> None:
        """At the moment of its acknowledgement a message is on every member's disk."""
        for position in node.configuration.positions:
            disk = self._world.hosts[position].disk
            held = seq <= disk.last.seq and _text(disk.entries([seq])[0]) == text
            self.require(held, f"{text!r} was acknowledged as {seq}, but {position} lacks it")

    # --- at the end

    def at_end(self) -> None:
        """Everything acknowledged is there, once, everywhere; reads were linearizable."""
        newest = self._world.newest_configuration()
        self.require(
            len(newest.members) == len(self._world.founding), f"the chain is not whole: {newest}"
        )
        nodes = [self._world.hosts[position].node for position in newest.positions]
        for node in nodes:
            self.require(
                node is not None and node.taking_part,
                f"not serving again: {node and node.standing}",
            )
            stuck = f"{node.pending} requests at {node.me.position} were never answered"
            self.require(node.pending == 0, stuck)
        first = nodes[0]
        for node in nodes[1:]:
            same = node.state.image() == first.state.image()
            ends = f"{node.state.applied} and {first.state.applied}"
            self.require(same, f"{node.me.position} and {first.me.position} differ, at {ends}")
        self._messages(first)
        for name, newest in self._records.marks.items():
            account = first.state.account_named(name)
            kept = account is not None and account.seen >= newest
            self.require(kept, f"the read mark {newest} of {name} is lost")
        self._reads()

    def _messages(self, node: Node) -> None:
        shown = node.history.oldest(-5, 0, 1_000)
        while shown and len(shown) % 1_000 == 0:
            more = node.history.oldest(-5, shown[-1].id, 1_000)
            if not more:
                break
            shown += more
        self.shown = {message.text: message.id for message in shown}
        self.require(len(self.shown) == len(shown), "a message is there twice")
        for text, seq in self._records.acknowledged.items():
            self.require(self.shown.get(text) == seq, f"{text!r}, acknowledged as {seq}, is lost")
        for text in self.shown:
            self.require(text in self._records.sent, f"{text!r} was never sent")
        self._senders_order(list(self.shown))

    def _senders_order(self, texts: list[str]) -> None:
        newest: dict[str, int] = {}
        for text in texts:
            sender, number = text.rsplit("-", 1)
            self.require(newest.get(sender, 0) < int(number), f"{text!r} is out of order")
            newest[sender] = int(number)

    def _reads(self) -> None:
        """A read shows the newest that was acknowledged before it began, and has no hole."""
        order = sorted(self.shown.values())
        place = {seq: index for index, seq in enumerate(order)}
        for read in self._records.reads:
            newest = read.shown[-1] if read.shown else 0
            self.require(newest >= read.newest_before, f"a read missed {read.newest_before}")
            if read.shown:
                first = place.get(read.shown[0], 0)
                whole = order[first : first + len(read.shown)] == read.shown
                self.require(whole, f"a read showed a hole, or what is not there: {read.shown}")


def _text(entry: Entry) -> str | None:
    command = commands.decode(entry.command)
    return command.text if isinstance(command, commands.Say) else None
