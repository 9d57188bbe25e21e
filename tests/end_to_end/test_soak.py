"""Trouble of every kind with real processes, and whether what came of it was one chain.

See ``docs/testing.md``, "Soak". The ``chronicle`` judges what everybody was told, and every disk.
"""

import contextlib
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from chronicle import Adopted
from cluster import Cluster, Node
from faulty_disks import FaultyDisk
from libraries import NoCompilerError, make_library, preload
from load import Load, chronicle, histories
from networks import Networks, NotPermittedError
from schedule import CLOCKS, KINDS, POWER, Schedule
from stage import WHOLE_WITHIN, Stage
from stopped_clocks import StoppedClock
from talkers import Reader, Repeater
from talking import until

NewCluster = Callable[..., Cluster]
Say = Callable[[str], None]

FOUNDERS = ("head", "middle", "tail")
SPARES = ("spare",)
POSITIONS = (*FOUNDERS, *SPARES)

ROUND = 2.0
"""Minutes that a chain lives; then its disks are looked at, and the next one begins."""

SHORTEST = 30.0
"""Seconds for which it is worth to begin another one."""

SAID = 20
"""Texts that have to be acknowledged between two blows."""

PROGRAMS = 4
PAUSE = 0.2
"""Seconds that a program waits after each answer."""


@pytest.fixture
def networks() -> Iterator[Networks | None]:
    """A machine for every node, and one for a copy; None where that cannot be had."""
    try:
        made = Networks((*POSITIONS, "copy"))
    except (FileNotFoundError, NotPermittedError):
        yield None
        return
    with made:
        yield made


@pytest.fixture
def libraries(tmp_path: Path) -> dict[str, Path]:
    """What makes disks fail and clocks stand still; nothing where that cannot be had."""
    with contextlib.suppress(NoCompilerError):
        names = ("faulty_disk", "stopped_clock")
        return {name: make_library(name, tmp_path) for name in names}
    return {}


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Tells whoever waits what goes on."""

    def said(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", end="")

    return said


class Round:
    """One chain, and all who talk to it."""

    def __init__(
        self,
        seed: int,
        new_cluster: NewCluster,
        networks: Networks | None,
        libraries: Mapping[str, Path],
        say: Say,
    ) -> None:
        """Start the chain; ``close`` ends those who talk."""
        self.blows = 0
        self._seed = seed
        self._say = say
        unable = () if libraries else (*POWER, *CLOCKS)
        schedule = Schedule(seed, POSITIONS, [kind for kind in KINDS if kind not in unable])
        self._schedule = schedule
        self._cluster = new_cluster(
            FOUNDERS,
            spares=SPARES,
            suspect_after=schedule.suspect_after,
            chain=f"refusal-is-death = {'yes' if schedule.refusal_is_death else 'no'}",
            cabled=networks is None,
            networks=networks,
        )
        nodes = list(self._cluster.nodes.values())
        folder = self._cluster.folder / "faults"
        folder.mkdir()
        disks, clocks = {}, {}
        for node in nodes if libraries else ():
            disks[node.position] = FaultyDisk(node, libraries["faulty_disk"], folder)
            clocks[node.position] = StoppedClock(folder / f"clock of {node.position}")
            preload(node, libraries["stopped_clock"], **clocks[node.position].environment)
        medium = networks or self._cluster.cables
        assert medium is not None
        self._stage = Stage(self._cluster, medium, disks, clocks, self._watch)
        say(f"seed {seed}: {schedule}, in {self._cluster.folder}")
        self._cluster.start()
        self._load = Load(nodes, PROGRAMS, pause=PAUSE)
        self._repeaters = [Repeater(f"again{i}", nodes, seed + i) for i in range(2)]
        self._readers = [
            Reader(f"reader-{node}", node, seed + i) for i, node in enumerate(nodes, 10)
        ]
        self._load.__enter__()
        for talker in self._talkers:
            talker.start()

    @property
    def _talkers(self) -> list[Repeater | Reader]:
        return [*self._repeaters, *self._readers]

    @property
    def acknowledged(self) -> int:
        """How many SENDs were, repeated ones not counted."""
        told = {send.text for each in self._repeaters for send in each.sends if send.id}
        return self._load.acknowledged + len(told)

    @property
    def reads(self) -> int:
        return sum(len(reader.reads) for reader in self._readers)

    def play(self, ends: float) -> None:
        """Let things go wrong until then; monotonic seconds."""
        begun = time.monotonic()
        while time.monotonic() < ends or not self.blows:
            self._load.wait_for(SAID)
            blow = self._schedule.next()
            self.blows += 1
            faults = ", ".join(map(str, blow))
            self._say(f"seed {self._seed}, {time.monotonic() - begun:.0f} s: {faults}")
            self._stage.play(blow)

    def settle(self) -> None:
        """All programs have their answers; all nodes, one after another, have everything."""
        before = {talker: talker.acts for talker in self._talkers}
        serving = self._cluster.wait_until_whole()
        active = [t for t in self._talkers if t not in self._readers]
        active += [reader for reader in self._readers if reader.name[7:] in serving]
        until(
            lambda: all(talker.acts > before[talker] for talker in active),
            lambda: f"no answers: {[t.name for t in active if t.acts == before[t]]}",
        )
        for talker in self._talkers:
            talker.stop()
        for record in self._load.finish(WHOLE_WITHIN):
            assert record.answers == len(record.sends), f"{record.name} was not answered"
        if len(self._cluster.running) > len(FOUNDERS):
            members = self._cluster.wait_until_whole(WHOLE_WITHIN)
            self._cluster[members[-1]].stop()  # and the one that waits gets in
            self._cluster.wait_until_whole(WHOLE_WITHIN)
        self._cluster.stop()

    def judge(self) -> None:
        """It was one chain."""
        nodes = [node for node in self._cluster.nodes.values() if node.process]
        told = chronicle(self._load.records, histories(nodes))
        for repeater in self._repeaters:
            told.sends += repeater.sends
        for reader in self._readers:
            told.reads += reader.reads
        told.adopted = [each for node in nodes for each in adopted(node)]
        found = told.violations()
        found += [line for record in self._load.records for line in record.complaints]
        assert not found, "\n".join([f"seed {self._seed}:", *found])

    def close(self) -> None:
        """Let nobody go on."""
        self._load.abandon()
        for copy in self._stage.copied:
            copy.kill()
        for talker in self._talkers:
            talker.stop()

    def _watch(self) -> None:
        for talker in self._talkers:
            talker.complain()


def adopted(node: Node) -> Iterator[Adopted]:
    """What a node has said of the configurations, in all its lives."""
    said = r"(?:serving in|is followed by) epoch (\d+) \(([^)]*)\)"
    for epoch, members in re.findall(said, node.log_text()):
        yield Adopted(node.position, int(epoch), members)


def test_it_is_one_chain_whatever_happens(
    new_cluster: NewCluster,
    networks: Networks | None,
    libraries: dict[str, Path],
    pytestconfig: pytest.Config,
    say: Say,
) -> None:
    minutes = pytestconfig.getoption("--soak")
    if not minutes:
        pytest.skip("--soak 0")
    if networks is None:
        say("no network namespaces: what nodes say to each other goes through proxies")
    if not libraries:
        say(f"no C compiler, and so without: {', '.join((*POWER, *CLOCKS))}")
    seed = pytestconfig.getoption("--soak-seed")
    if seed is None:
        seed = random.randrange(1 << 32)
    ends = time.monotonic() + 60 * minutes
    while True:
        this = Round(seed, new_cluster, networks, libraries, say)
        try:
            this.play(min(ends, time.monotonic() + 60 * ROUND))
            this.settle()
        finally:
            this.close()
        this.judge()
        say(
            f"seed {seed}: {this.blows} blows, {this.acknowledged} acknowledged, "
            f"{this.reads} reads: one chain"
        )
        if time.monotonic() > ends - SHORTEST:
            break
        seed += 1
