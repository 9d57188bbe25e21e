"""Stories as text: the commands of a story, and how a stage plays them.

``docs/testing.md``, "Write a story", tells of both. A story is a file of ``tests/stories``:
comments, commands, and, behind four spaces, the trace that each command has to give when nothing
else happens. The simulator plays the same commands as the opening of many runs, and lets the seed
decide what they leave open: a time (``0.1..0.4``), an order (``any order``), a branch (``either``,
``or``, ``end``). The commands are those of the handlers below.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from chainchat.chain.messages import KINDS
from tests.simulation.stage import Adopts, Awaited, Fact, GoOn, Plot, Sends, Stage, Votes

FOLDER = Path(__file__).parents[1] / "stories"
TRACE = "    "
"""What a line of the trace begins with."""

Handler = Callable[["Play", re.Match[str]], Plot | None]
HANDLERS: list[tuple[re.Pattern[str], Handler]] = []


class StoryError(Exception):
    """A story that nobody can play; the text says which line of which file, and why."""


@dataclass(frozen=True)
class Line:
    """One line of a story: a command, with the trace below it.

    Attributes:
        text: as it stands in the file; a comment or an empty line does nothing.
        trace: what it has to give.
    """

    text: str
    trace: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What is to be done; empty for a comment."""
        return "" if self.text.startswith("#") else self.text.strip()


@dataclass(frozen=True)
class Script:
    """A story as text.

    Attributes:
        name: of its file, without the suffix.
    """

    name: str
    lines: tuple[Line, ...]

    @classmethod
    def load(cls, name: str) -> "Script":
        return cls.parse(name, (FOLDER / f"{name}.txt").read_text("utf-8"))

    @classmethod
    def parse(cls, name: str, text: str) -> "Script":
        """The story that a text tells."""
        lines: list[tuple[str, list[str]]] = []
        for line in text.splitlines():
            if line.startswith(TRACE) and lines:
                lines[-1][1].append(line.removeprefix(TRACE))
            else:
                lines.append((line, []))
        return cls(name, tuple(Line(text, tuple(trace)) for text, trace in lines))

    @property
    def commands(self) -> tuple[str, ...]:
        return tuple(line.command for line in self.lines if line.command)

    @property
    def spares(self) -> tuple[str, ...]:
        return tuple(self.commands[0].partition(" with ")[2].split())

    @property
    def at_once(self) -> bool:
        return self.commands[0].startswith("found ")

    @property
    def founding(self) -> tuple[str, ...]:
        return tuple(self.commands[0].partition(" with ")[0].split()[1:])

    @property
    def refusals(self) -> str:
        """``prove``, ``may prove nothing`` or ``prove nothing``: what a refused connection is."""
        said = [c for c in self.commands if c.startswith("refusals ")]
        return said[0].removeprefix("refusals ") if said else "prove"

    def __call__(self, stage: Stage) -> Plot:
        return Play(self, stage).run()


@dataclass
class Play:
    """One performance of a story.

    Attributes:
        cast: a position by the name that the story gives it.
        moments: what ``remember`` has noted, true time.
        ended: something that was awaited did not come.
        epoch: what ``remember the epoch`` has noted.
    """

    script: Script
    stage: Stage
    cast: dict[str, str] = field(default_factory=dict)
    moments: dict[str, float] = field(default_factory=dict)
    ended: bool = False
    epoch: int = 0

    def __post_init__(self) -> None:
        names = (*("head", "middle", "tail"), *self.script.spares)
        self.cast = dict(zip(names, (*self.stage.members, *self.stage.spares), strict=False))

    def run(self) -> Plot:
        """All commands, one after another."""
        for number in chosen(self.script, self.stage.random.randrange):
            self.stage.begins(number)
            steps = self._do(self.script.lines[number].command, number)
            if steps is not None:
                yield from steps
            if self.ended:
                return

    def _do(self, command: str, number: int) -> Plot | None:
        for pattern, handler in HANDLERS:
            match = pattern.fullmatch(command)
            if match is not None:
                return handler(self, match)
        raise StoryError(f"{self.script.name}.txt:{number + 1}: nobody knows what it is: {command}")

    def who(self, names: str) -> list[str]:
        return [self.cast[name] for name in names.split()]

    def time(self, text: str) -> float:
        """Seconds: as they stand there, or between two bounds."""
        least, _, most = text.partition("..")
        return self.stage.moment(float(least), float(most)) if most else float(least)


def chosen(script: Script, choose: Callable[[int], int]) -> Iterator[int]:
    """The indexes of the lines to be played: of each ``either``, one branch."""
    commands = [line.command for line in script.lines]
    return _chosen(commands, 0, len(commands), choose)


def _chosen(
    commands: Sequence[str], at: int, end: int, choose: Callable[[int], int]
) -> Iterator[int]:
    while at < end:
        if commands[at] == "either":
            marks = _branches(commands, at)
            branch = choose(len(marks) - 1)
            yield from _chosen(commands, marks[branch] + 1, marks[branch + 1], choose)
            at = marks[-1]
        elif commands[at]:
            yield at
        at += 1


def _branches(commands: Sequence[str], at: int) -> list[int]:
    """Where the branches of this ``either`` begin, and where the last of them ends."""
    marks, depth = [at], 0
    for here in range(at + 1, len(commands)):
        depth += (commands[here] == "either") - (commands[here] == "end")
        if depth < 0 or (depth == 0 and commands[here] == "or"):
            marks.append(here)
        if depth < 0:
            break
    return marks


def command(pattern: str) -> Callable[[Handler], Handler]:
    """Register what carries out the commands that match."""

    def register(handler: Handler) -> Handler:
        text = pattern.replace("TIME", r"([\d.]+)").replace("NAMES", r"([a-z]+(?: [a-z]+)*)")
        HANDLERS.append((re.compile(text.replace("NAME", r"([a-z]+)")), handler))
        return handler

    return register


# --- what a story waits for


def _awaited(play: Play, what: str, within: str | None) -> Awaited:
    for pattern, make in AWAITED:
        match = pattern.fullmatch(what)
        if match is not None:
            awaited = make(play, *match.groups())
            return partial(awaited, within=float(within))() if within else awaited()
    raise StoryError(f"{play.script.name}: nobody knows how to wait for: {what}")


def _sends(play: Play, sender: str, kind: str, to: str) -> Callable[..., Awaited]:
    return partial(Sends, play.cast[sender], KINDS[kind], play.cast[to])


def _votes(play: Play, voters: str) -> Callable[..., Awaited]:
    return partial(Votes, play.stage.random.choice(play.who(voters.replace(" or ", " "))))


def _adopts(play: Play, adopter: str) -> Callable[..., Awaited]:
    return partial(Adopts, play.cast[adopter])


def _go_on(play: Play, these: str, without: str | None) -> Callable[..., Awaited]:
    return partial(GoOn, tuple(play.who(these)), tuple(play.who(without or "")), within=2.0)


def _answered(play: Play, person: str) -> Callable[..., Awaited]:
    return partial(Fact, partial(play.stage.is_answered, person))


AWAITED: Sequence[tuple[re.Pattern[str], Callable[..., Callable[..., Awaited]]]] = (
    (re.compile(r"(\w+) sends (\w+) to (\w+)"), _sends),
    (re.compile(r"(\w+(?: or \w+)?) votes"), _votes),
    (re.compile(r"(\w+) adopts"), _adopts),
    (re.compile(r"(\w+) is answered"), _answered),
    (re.compile(r"([\w ]+?) goe?s? on(?: without ([\w ]+))?"), _go_on),
)


@command(r"wait ([\d.]+)")
def _wait(play: Play, match: re.Match[str]) -> Plot:
    yield play.time(match[1])


@command(r"remember TIME as NAME")
def _remember(play: Play, match: re.Match[str]) -> None:
    play.moments[match[2]] = play.stage.now + play.time(match[1])


@command(r"wait until (?:TIME (before|after) )?NAME")
def _wait_until(play: Play, match: re.Match[str]) -> Plot:
    seconds = play.time(match[1] or "0") * (-1 if match[2] == "before" else 1)
    yield max(0.0, play.moments[match[3]] + seconds - play.stage.now)


@command(r"run until serving")
def _run_until_serving(play: Play, _: re.Match[str]) -> Plot:
    return _until_serving(play)


def _until_serving(play: Play) -> Plot:
    came = yield Fact(play.stage.is_serving, within=5.0)
    play.stage.require(came, f"{play.script.name}: they do not serve")


# --- who is there


@command(r"found NAMES")
def _found(play: Play, _: re.Match[str]) -> None:
    play.stage.found()


@command(r"chain NAMES")
def _chain(play: Play, _: re.Match[str]) -> Plot:
    play.stage.found()
    yield from _until_serving(play)
    yield from play.stage.until_it_begins()


@command(r"refusals (may prove nothing|prove nothing)")
def _refusals(_: Play, __: re.Match[str]) -> None:
    """It is about the whole run; see ``Script.refusals``."""


@command(r"any order NAMES")
def _any_order(play: Play, match: re.Match[str]) -> None:
    names = match[1].split()
    played = play.who(match[1])
    play.cast |= zip(names, play.stage.random.sample(played, len(played)), strict=True)


@command(r"any one NAMES")
def _any_one(play: Play, match: re.Match[str]) -> None:
    """Any of them plays the first; the others play the other members, in their order."""
    first = match[1].split()[0]
    chosen_one = play.stage.random.choice(play.who(match[1]))
    names = [name for name in ("head", "middle", "tail") if name != first]
    others = [position for position in play.stage.members if position != chosen_one]
    play.cast |= {first: chosen_one, **dict(zip(names, others, strict=True))}


@command(r"end if there is a spare")
def _end_if_spare(play: Play, _: re.Match[str]) -> None:
    play.ended = bool(play.stage.spares)


@command(r"remember the epoch")
def _remember_epoch(play: Play, _: re.Match[str]) -> None:
    play.epoch = play.stage.epoch


@command(r"expect the same epoch")
def _expect_epoch(play: Play, _: re.Match[str]) -> None:
    play.stage.require(play.stage.epoch == play.epoch, f"{play.script.name}: another epoch")


@command(r"show")
def _show(play: Play, _: re.Match[str]) -> None:
    play.stage.show()


@command(r"say NAME (?:at NAME: )?(.*)")
def _say(play: Play, match: re.Match[str]) -> None:
    person, at, text = match.groups()
    play.stage.say(person, text, play.cast[at] if at else "")


@command(r"read NAME at NAME")
def _read(play: Play, match: re.Match[str]) -> None:
    play.stage.read(match[1], play.cast[match[2]])


@command(r"(await|expect|wait for) (.*?)(?: within TIME)?")
def _await(play: Play, match: re.Match[str]) -> Plot:
    """``await``: else the story ends. ``expect``: else it fails. ``wait for``: it goes on."""
    verb, what, within = match.groups()
    came = yield _awaited(play, what, within)
    if not came:
        play.stage.require(verb != "expect", f"{play.script.name}: not in time: {what}")
        play.stage.say_that(f"{what}: not in time")
        play.ended = verb == "await"


# --- what happens to the network


@command(r"cut NAMES")
def _cut(play: Play, match: re.Match[str]) -> None:
    one, *others = play.who(match[1])
    for other in others:
        play.stage.cut(one, other)


@command(r"mend NAMES")
def _mend(play: Play, match: re.Match[str]) -> None:
    one, *others = play.who(match[1])
    for other in others:
        play.stage.mend(one, other)


@command(r"heal")
def _heal(play: Play, _: re.Match[str]) -> None:
    play.stage.heal()


@command(r"(hold|let) NAME -> NAME")
def _hold(play: Play, match: re.Match[str]) -> None:
    do = play.stage.hold if match[1] == "hold" else play.stage.let
    do(play.cast[match[2]], play.cast[match[3]])


@command(r"part NAME NAME")
def _part(play: Play, match: re.Match[str]) -> None:
    play.stage.part(*play.who(f"{match[1]} {match[2]}"))


@command(r"wall before NAME against NAME")
def _wall(play: Play, match: re.Match[str]) -> None:
    play.stage.wall(play.cast[match[2]], play.cast[match[1]])


@command(r"stranger at NAME says it is NAME")
def _forge(play: Play, match: re.Match[str]) -> None:
    play.stage.forge(play.cast[match[1]], play.cast[match[2]])


# --- what happens to processes and machines


@command(r"kill copy of NAME")
def _kill_copy(play: Play, match: re.Match[str]) -> None:
    play.stage.kill_copy(f"copy of {play.cast[match[1]]}")


@command(r"kill NAMES")
def _kill(play: Play, match: re.Match[str]) -> None:
    play.stage.kill(*play.who(match[1]))


@command(r"start copy of NAME at NAMES")
def _start_copy(play: Play, match: re.Match[str]) -> None:
    play.stage.start_copy(f"copy of {play.cast[match[1]]}", *play.who(match[2]))


@command(r"start NAMES")
def _start(play: Play, match: re.Match[str]) -> None:
    play.stage.start(*play.who(match[1]))


@command(r"force NAME alone")
def _force(play: Play, match: re.Match[str]) -> None:
    play.stage.force_alone(play.cast[match[1]])


@command(r"pause NAME for TIME")
def _pause(play: Play, match: re.Match[str]) -> None:
    play.stage.pause(play.cast[match[1]], play.time(match[2]))


@command(r"pause NAME until (?:TIME after )?NAME")
def _pause_until(play: Play, match: re.Match[str]) -> None:
    until = play.moments[match[3]] + play.time(match[2] or "0")
    play.stage.pause(play.cast[match[1]], until - play.stage.now)


@command(r"freeze NAME for TIME( unawares)?")
def _freeze(play: Play, match: re.Match[str]) -> None:
    play.stage.freeze(play.cast[match[1]], play.time(match[2]), wall=match[3] is not None)


# --- what happens to disks


@command(r"(back up|lie|restore|set back|replace disk|copy disk)(?: of)? NAMES")
def _disks(play: Play, match: re.Match[str]) -> None:
    stage = play.stage
    acts: dict[str, Callable[[str], object]] = {
        "back up": stage.back_up,
        "lie": stage.lie,
        "restore": stage.restore,
        "set back": stage.set_back,
        "replace disk": stage.replace_disk,
        "copy disk": stage.copy,
    }
    for position in play.who(match[2]):
        acts[match[1]](position)
