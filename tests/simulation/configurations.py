"""What must hold of configurations and votes, on every disk and at any moment."""

from chainchat.chain.configuration import Configuration
from chainchat.chain.messages import Abort, Message, Vote
from chainchat.chain.record import Record
from chainchat.node.node import Node
from tests.simulation.checks import Checks, require
from tests.simulation.hosts import Host
from tests.simulation.world import World
from tests.taking_part import takes_part


class ConfigurationChecks:
    """Watches what a world's nodes write of membership, and who takes part."""

    def __init__(self, world: World, checks: Checks, *, watch_votes: bool) -> None:
        """Begin to watch.

        Args:
            watch_votes: a forgotten vote is a failure by itself, though it does no harm yet.
        """
        self._world = world
        self._checks = checks
        self._watch_votes = watch_votes
        self._decided: dict[int, Configuration] = {}
        self._aborted: set[tuple[str, Vote]] = set()
        self._changed = False
        world.on_record.append(self._recorded)
        world.network.arriving.append(self._arriving)
        world.after_step.append(self._after_step)

    def _require(self, fact: bool, otherwise: str) -> None:
        require(self._world, fact, otherwise)

    def _recorded(self, host: Host, before: Record | None, after: Record) -> None:
        self._changed = True
        self._one_configuration(host, after.configuration)
        if before is not None and before.id == after.id:
            older = after.configuration.epoch < before.configuration.epoch
            self._require(not older, f"{host.position} went back to {after.configuration}")
            if self._watch_votes:
                self._one_vote(host, before, after)

    def _one_configuration(self, host: Host, configuration: Configuration) -> None:
        """An epoch has one configuration, on all disks there ever were."""
        if not configuration.members:
            return
        first = self._decided.setdefault(configuration.epoch, configuration)
        self._require(
            first == configuration,
            f"{host.position} has {_named(configuration)}, but {_named(first)} was decided",
        )

    def _one_vote(self, host: Host, before: Record, after: Record) -> None:
        """A vote stays, over restarts, until its epoch is decided or its proposer gives up.

        At the founding, also until the disk of its proposer is gone.
        """
        held, now = before.vote, after.vote
        if held in (None, now) or before.configuration.epoch < after.configuration.epoch:
            return
        assert held is not None
        raised = (
            now is not None and now.proposer.id == held.proposer.id and now.ballot > held.ballot
        )
        given_up = (host.position, held) in self._aborted
        proposer = self._world.hosts[held.proposer.position].disk.record
        gone = proposer is None or proposer.id != held.proposer.id
        released = gone and not before.configuration.members
        self._require(
            raised or given_up or released,
            f"{host.position} forgot its vote for {_named(held.configuration)}",
        )

    def _arriving(self, sender: str, to: str, message: Message) -> None:
        if isinstance(message, Abort):
            self._aborted.add((to, message.vote))

    def _after_step(self) -> None:
        if self._changed:
            self._changed = False
            nodes = [host.node for host in self._world.machines if host.node is not None]
            at_work = [node for node in nodes if takes_part(node)]
            self._one_chain([(node.me.position, node.configuration) for node in at_work])
            self._everything(at_work)

    def _everything(self, at_work: list[Node]) -> None:
        """Whoever is at work in the newest configuration has all that was ever confirmed.

        From its first moment on: it may be the only one left in the next.
        """
        for node in at_work:
            if node.configuration.epoch == max(self._decided):
                whole = self._checks.keeps_everything(self._world.machine(node.me.host))
                text = f"{node.me.position} is at work in {_named(node.configuration)}"
                self._require(whole, f"{text}, and lacks entries")

    def _one_chain(self, at_work: list[tuple[str, Configuration]]) -> None:
        """No two configurations can confirm anything at the same time.

        One that can has all its members at work in it, whether or not they reach each other just
        now.
        """
        able: list[Configuration] = []
        for _, configuration in at_work:
            everybody = all((p, configuration) in at_work for p in configuration.positions)
            if everybody and configuration not in able:
                able.append(configuration)
        chains = " and ".join(map(_named, able))
        self._require(len(able) <= 1, f"two chains can confirm: {chains}")


def _named(configuration: Configuration) -> str:
    lives = ", ".join(f"{m.position} {m.origin}" for m in configuration.members)
    return f"epoch {configuration.epoch} of {lives}"
