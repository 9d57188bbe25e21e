"""Plays a story where nothing is left to chance, and gives its trace."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from msgspec import msgpack
from msgspec.structs import replace

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.effects import Effect, Sync, Write
from chainchat.chain.entries import Entry
from chainchat.chain.messages import Message, Newest, Ping, Pong
from chainchat.chain.record import Record, forced_alone
from chainchat.chat import commands
from chainchat.chat.commands import TO_EVERYBODY
from chainchat.chat.outcomes import Accepted, Result
from chainchat.chat.queries import Page, Recent
from chainchat.node.node import Node
from tests.simulation.checks import Checks
from tests.simulation.clients import Records
from tests.simulation.configurations import ConfigurationChecks
from tests.simulation.hosts import Host
from tests.simulation.mishaps import Mishaps
from tests.simulation.script import Line, Script
from tests.simulation.stage import Plot, Stage
from tests.simulation.world import TracedNode, World
from tests.stories.words import chain, entries_of, shortened, words
from tests.taking_part import takes_part

FORCED_EPOCH = 1_000
"""Where a node begins that an operator forces to go on alone. The product takes a later one."""

CHAIN_AFTER = 0.5
"""When a story begins that takes a chain for granted, seconds."""

LONGEST = 60.0
"""When a story has to be over, seconds."""


class Even(Random):
    """Nothing is left to chance: always the middle, the first, the order that there is."""

    def random(self) -> float:
        return 0.5

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2

    def expovariate(self, lambd: float = 1.0) -> float:
        return 1 / lambd

    def choice(self, seq: Any) -> Any:
        return seq[0]

    def sample(self, population: Any, k: int, *, counts: Any = None) -> list[Any]:
        del counts
        return list(population)[:k]

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        del step
        return 0 if stop is None else start

    def randint(self, a: int, b: int) -> int:
        del b
        return a


class StoryWorld(World):
    """A world of even chances, whose notes are the story's trace."""

    def __init__(self, script: Script, tell: Callable[[str], None]) -> None:
        """A world for one story; ``tell`` takes what happens."""
        self._tell = tell
        super().__init__(
            0,
            script.founding,
            script.spares,
            node_class=StoryNode,
            refusal_is_death=script.refusals != "prove nothing",
            chance=Even(),
        )
        self.network.sending.append(self._sending)
        self.on_record.append(self._recorded)

    def note(self, text: str) -> None:
        said = shortened(text)
        if said:
            self._tell(said)

    def _step(self, host: Host) -> int:
        """The next life that there was not yet: a backup's come again."""
        record, step = host.disk.record, 1
        while record is not None and (record.id, record.incarnation + step) in self._lives:
            step += 1
        return step

    def _sending(self, sender: str, to: str, message: Message) -> None:
        if not isinstance(message, Ping | Pong):
            held = "  (held back)" if (sender, to) in self.network.blocked else ""
            self.note(f"{sender} → {to}  {words(message)}{held}")

    def _recorded(self, host: Host, before: Record | None, record: Record) -> None:
        if record.vote is not None and (before is None or before.vote != record.vote):
            vote = record.vote
            self.note(
                f"{host.name} writes its vote for {chain(vote.configuration)} "
                f"(by {vote.proposer.position})"
            )


class StoryNode(TracedNode):
    """A node that tells whom it is linked with."""

    def linked(
        self, position: str, member: Member, its: Newest | None = None, *, older: bool = False
    ) -> None:
        epoch = its.epoch if its is not None else 0
        self.world.note(f"{position} → {self.me.host}  HELLO life {member.origin}, epoch {epoch}")
        super().linked(position, member, its, older=older)

    def _perform(self, effect: Effect) -> None:
        super()._perform(effect)
        if isinstance(effect, Write):
            self.world.note(f"{self.me.host} writes {entries_of(effect.entries)}")
        if isinstance(effect, Sync):
            self.world.note(f"{self.me.host} syncs {self._engine.last}")

    def _apply(self, entries: Sequence[Entry]) -> None:
        self.world.note(f"{self.me.host} applies {entries_of(entries)}")
        super()._apply(entries)


class Person:
    """Somebody who talks, at one node."""

    def __init__(self, name: str, node: Node, note: Callable[[str], None]) -> None:
        """Log in as ``name`` at ``node``; ``note`` takes what the person is told."""
        self.node = node
        self.name = name
        self.waiting = 1
        self._note = note
        self._account = 0
        self._session = f"{node.me.origin}.{name}"
        self._later: list[str] = []
        login = commands.Login(self._session, name, "", b"")
        node.submit(login, self._logged_in)

    def _logged_in(self, results: Sequence[Result]) -> None:
        [result] = results
        account = self.node.state.account_of(self._session)
        self.waiting -= 1
        if not isinstance(result, Accepted) or account is None:
            self._note(f"{self.name} is refused: {result}")
            return
        self._account = account.number
        self._note(f"{self.node.me.host} lets {self.name} in")
        later, self._later = self._later, []
        for text in later:
            self.say(text)

    def say(self, text: str) -> None:
        """Say it, when the login is done."""
        if not self._account:
            self._later.append(text)
            return
        self.waiting += 1
        saying = commands.Saying(text, TO_EVERYBODY, "*")
        say = commands.Say(self._session, self._account, self.name, "", (saying,))
        self.node.submit(say, self._said)

    def _said(self, results: Sequence[Result]) -> None:
        [result] = results
        self.waiting -= 1
        said = f"+OK {result.id}" if isinstance(result, Accepted) else f"-ERR {result}"
        self._note(f"{self.node.me.host} tells {self.name}: {said}")

    def read(self) -> None:
        self.waiting += 1
        self.node.ask(Recent(self._account, 5), self._shown)

    def _shown(self, page: Page) -> None:
        self.waiting -= 1
        texts = ", ".join(f'{message.id} "{message.text}"' for message in page.messages)
        self._note(f"{self.node.me.host} shows {self.name}: {texts or 'nothing'}")


class TextStage(Stage):
    """Plays one story by itself, and keeps its trace by lines of the story."""

    def __init__(self, script: Script) -> None:
        """Set it up."""
        self.trace: dict[int, list[str]] = {}
        self._line = 0
        self._began = 0.0
        self._ended = False
        self._people: dict[str, Person] = {}
        self.world = world = StoryWorld(script, self._tell)
        self._script = script
        records = Records()
        checks = Checks(world, records, ())
        ConfigurationChecks(world, checks, watch_votes=True)
        mishaps = Mishaps(world, checks)
        super().__init__(world, mishaps, script, at_once=True)

    def _tell(self, text: str) -> None:
        self._ended = self._ended or text == "the story ends"
        if not self._ended:
            told = self.trace.setdefault(self._line, [])
            told.append(f"{self.world.clock.now - self._began:7.3f}  {text}")

    def _begin(self, members: tuple[str, ...]) -> None:
        super()._begin(members)
        self.trace.clear()

    def play(self) -> tuple[Line, ...]:
        """The lines of the story, with the traces that they gave."""
        while self.over is None:
            self.world.run(self.world.clock.now + 0.1)
            self.require(self.now < LONGEST, f"{self._script.name} does not end")
        return tuple(
            Line(line.text, tuple(self.trace.get(number, ())))
            for number, line in enumerate(self._script.lines)
        )

    # --- what is told here

    def begins(self, line: int) -> None:
        self._line = line

    def until_it_begins(self) -> Plot:
        """Until each has heard the others more than once. The time of the trace begins here."""
        yield CHAIN_AFTER - self.now
        self._began = self.now
        self.trace.clear()

    def found(self) -> None:
        for position in self.world.founding:
            self.world.start(self.world.hosts[position])

    def is_serving(self) -> bool:
        nodes = [host.node for host in self.world.hosts.values() if host.node is not None]
        return bool(nodes) and all(node.readiness.serving for node in nodes)

    def start(self, *positions: str) -> None:
        for position in positions:
            self.world.start(self.world.hosts[position])

    def _person(self, name: str, at: str) -> Person:
        person = self._people.get(name)
        if person is None or (at and person.node.me.host != at):
            node = self.world.machine(at or "head").node
            assert node is not None, f"{at} does not run"
            person = self._people[name] = Person(name, node, self.world.note)
        return person

    def say(self, person: str, text: str, at: str) -> None:
        self._person(person, at).say(text)

    def read(self, person: str, at: str) -> None:
        self._person(person, at).read()

    def is_answered(self, person: str) -> bool:
        return not self._people[person].waiting

    def force_alone(self, position: str) -> None:
        host = self.world.hosts[position]
        record = host.disk.record
        assert record is not None
        fenced = [other for other in record.configuration.positions if other != position]
        member = record.configuration.member(position)
        assert member is not None
        member = replace(member, incarnation=record.incarnation + 1)
        forced = forced_alone(record, member, FORCED_EPOCH, fenced, identity=1)
        host.disk.write_membership(msgpack.encode(forced))
        self.world.start(host)

    def show(self) -> None:
        for host in self.world.machines:
            self.world.note(f"{host.name}: {_held(host)}")


def _held(host: Host) -> str:
    record = host.disk.record
    newest = chain(record.configuration if record else Configuration())
    node = host.node
    if node is None:
        return f"off; {newest}; synced {host.disk.last.seq}"
    role = node.configuration.role(node.me.position)
    does = role.value if role is not None and takes_part(node) else node.readiness.reason
    synced, committed, applied = marks(node)
    return f"{does}; {newest}; synced {synced}, committed {committed}, applied {applied}"


def marks(node: Node) -> tuple[int, int, int]:
    """Up to where its log is on its disk, known to be committed, and applied."""
    replica = node._engine.replica
    return replica.synced, replica.committed, replica.applied


def play(script: Script) -> tuple[Line, ...]:
    return TextStage(script).play()
