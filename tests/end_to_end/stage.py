"""Does to a running chain what a ``Schedule`` says, and brings everything back.

Each kind of fault is a generator: it does something, yields the seconds to wait, and so on, until
all that it did is over. ``Stage.play`` runs those of a blow side by side.
"""

import contextlib
import heapq
import itertools
import shutil
import socket
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path

from cables import Cables
from cluster import Cluster, Node, copy_data
from copies import copy_of
from faulty_disks import FaultyDisk
from networks import Networks, Way
from schedule import IS_PAUSED, LEFT_BEHIND, LOSES_ALL_TIME, LOSES_TIME, Blow, Fault
from stopped_clocks import StoppedClock
from talking import DEADLINE

LOOK = 0.2
"""Seconds between two looks at something that is waited for while faults go on."""

LOOKS = 25
"""After so many it is not waited for any more."""

ALONE_FOR = 1.5
"""Seconds that one has to itself: enough to go on, and to confirm something."""

WHOLE_WITHIN = 60.0
"""Seconds that a chain of which nobody is missing, on a busy machine, may take to find together."""

ALARM = "ALARM: "

Steps = Generator[float, None, None]


class Wires:
    """What nodes say to each other, of which several faults at once may lose something."""

    def __init__(self, medium: Networks | Cables) -> None:
        self._medium = medium
        self._lost: Counter[Way] = Counter()

    def lose(self, ways: Iterable[Way]) -> None:
        """Lose what is sent these ways."""
        for way in ways:
            self._lost[way] += 1
            if self._lost[way] == 1:
                self._medium.lose(way)

    def carry(self, ways: Iterable[Way]) -> None:
        """Undo one ``lose``."""
        for way in ways:
            self._lost[way] -= 1
            if not self._lost[way]:
                self._medium.carry(way)


class Stage:
    """A cluster to which things happen.

    Attributes:
        copied: the servers with copied disks that there have been.
    """

    def __init__(
        self,
        cluster: Cluster,
        medium: Networks | Cables,
        disks: Mapping[str, FaultyDisk],
        clocks: Mapping[str, StoppedClock],
        watch: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            cluster: of nodes that run, or are spares.
            medium: what their words go through.
            disks: theirs; none where disks cannot fail.
            clocks: theirs; none where clocks cannot stand still.
            watch: called while time goes by; raises what has gone wrong elsewhere.
        """
        self.copied: list[Node] = []
        self._cluster = cluster
        self._networks = medium if isinstance(medium, Networks) else None
        self._wires = Wires(medium)
        self._disks = disks
        self._clocks = clocks
        self._watch = watch
        self._ended: set[str] = set()
        """Those that a fault has ended, and will start again."""
        self._failing: set[str] = set()
        """Those that may end because their disks fail."""
        self._alarms_expected = False
        self._heard: Counter[str] = Counter()
        self._acts: dict[str, Callable[[Fault], Steps]] = {
            "kill": self._kill,
            "stop": self._stop,
            "pause": self._pause,
            "silence": self._lose,
            "mute": self._lose,
            "deafen": self._lose,
            "part": self._lose,
            "part one way": self._lose,
            "shatter": self._lose,
            "lose power": self._lose_power,
            "slow disk": self._slow_disk,
            "failing disk": self._failing_disk,
            "stop the clock": self._stop_clock,
            "set the clock": self._set_clock,
            "another disk": self._another_disk,
            "older disk": self._older_disk,
            "copied disk": self._copied_disk,
            "older disk at a restart": self._older_disk_at_a_restart,
            LEFT_BEHIND: self._left_behind,
            "spare": self._spare,
        }

    def play(self, blow: Blow) -> None:
        """Let all of this happen, until it is over and the chain is whole again."""
        begun = time.monotonic()
        due = [(fault.at, i, self._acts[fault.kind](fault)) for i, fault in enumerate(blow)]
        heapq.heapify(due)
        while due:
            at, i, steps = heapq.heappop(due)
            while (left := begun + at - time.monotonic()) > 0:
                time.sleep(min(left, LOOK))
                self._look()
            with contextlib.suppress(StopIteration):
                pause = next(steps)
                heapq.heappush(due, (time.monotonic() - begun + pause, i, steps))
        try:
            self._cluster.wait_until_whole(WHOLE_WITHIN)
        finally:
            self._look()
            self._look_for_alarms()  # which may say why it is not whole

    def _look(self) -> None:
        """Nobody has ended but those who had a reason."""
        self._watch()
        for position, node in self._cluster.nodes.items():
            if node.process is not None and not node.running:
                why = f"{node} has ended by itself with status {node.wait()}"
                assert position in self._ended | self._failing, why

    def _look_for_alarms(self) -> None:
        """Nobody has said that something impossible is going on, unless a fault is meant to be."""
        for position, node in self._cluster.nodes.items():
            lines = [line for line in node.log_text().splitlines() if ALARM in line]
            new, self._heard[position] = lines[self._heard[position] :], len(lines)
            assert not new or self._alarms_expected, f"{node} says, without a reason: {new[0]}"

    # --- processes

    def _end(
        self, positions: Iterable[str], end: Callable[[Node], object] = Node.kill
    ) -> list[str]:
        """End those of these that run, and keep them ended until ``_start``; which they are."""
        ended = [position for position in positions if self._cluster[position].running]
        self._ended.update(ended)
        for position in ended:
            node = self._cluster[position]
            node.resume()  # or it would not stop
            end(node)
        return ended

    def _start(self, positions: Iterable[str]) -> None:
        for position in positions:
            if not self._cluster[position].running:
                self._cluster[position].data.mkdir(exist_ok=True)  # a disk, before any life
                self._cluster[position].start()
            self._ended.discard(position)

    def _kill(self, fault: Fault) -> Steps:
        ended = self._end(fault.who)
        yield fault.lasts
        self._start(ended)

    def _stop(self, fault: Fault) -> Steps:
        ended = self._end(fault.who, Node.stop)
        yield fault.lasts
        self._start(ended)

    def _pause(self, fault: Fault) -> Steps:
        """It stands still; its clocks go on."""
        [node] = map(self._cluster.__getitem__, fault.who)
        node.pause()
        yield fault.lasts
        node.resume()

    def _left_behind(self, fault: Fault) -> Steps:
        """The others go on without it, confirm something, and end; it may not go on by itself.

        What it knew of them looks fresh if it forgets how old that is, or if its clock stood still.
        """
        [position] = fault.who
        node, begun = self._cluster[position], time.monotonic()
        ways = self._ways(Fault("silence", fault.who, 0.0, 0.0))
        ended: list[str] = []
        self._wires.lose(ways)  # first, or its sockets would keep what the others decide
        if fault.amount >= IS_PAUSED:
            node.pause()
        if node.running and (yield from self._left_out(fault.who)):
            yield fault.lasts
            ended = self._end(other for other in self._cluster.nodes if other != position)
            for _ in range(2 * LOOKS):
                if not self._still_speak(ended, position):
                    break
                yield LOOK
        if fault.amount >= LOSES_TIME:
            stood = time.monotonic() - begun
            self._clocks[position].stood_still(stood, wall=fault.amount >= LOSES_ALL_TIME)
        self._wires.carry(ways)
        node.resume()
        yield ALONE_FOR
        self._start(ended)

    def _still_speak(self, ended: Iterable[str], to: str) -> bool:
        """True if the kernels of dead processes would still say to it what those decided."""
        if self._networks is None:
            return False
        return any(self._networks.has_unsent(position, to) for position in ended)

    def _spare(self, fault: Fault) -> Steps:
        """The spares start; each is a member as soon as there is room."""
        self._start(self._cluster.nodes)
        yield fault.lasts

    # --- the network

    def _lose(self, fault: Fault) -> Steps:
        """Packets are lost, all the time or again and again."""
        ways = self._ways(fault)
        end = time.monotonic() + fault.lasts
        for turn in itertools.count():
            change = self._wires.carry if turn % 2 else self._wires.lose
            change(ways)
            left = end - time.monotonic()
            yield max(0.0, min(left, fault.amount or left))
            if time.monotonic() >= end:
                break
        if change == self._wires.lose:
            self._wires.carry(ways)

    def _ways(self, fault: Fault) -> list[Way]:
        all_ways = list(itertools.permutations(self._cluster.nodes, 2))
        match fault.kind, fault.who:
            case "silence", [one]:
                return [way for way in all_ways if one in way]
            case "mute", [one]:
                return [way for way in all_ways if one == way[0]]
            case "deafen", [one]:
                return [way for way in all_ways if one == way[1]]
            case "part", [one, other]:
                return [(one, other), (other, one)]
            case "part one way", [one, other]:
                return [(one, other)]
        return all_ways

    # --- disks that fail, clocks that stand still or are set

    def _lose_power(self, fault: Fault) -> Steps:
        """What was not synced is gone with the process."""
        ended = self._end(fault.who, lambda node: self._disks[node.position].loses_power())
        yield fault.lasts
        self._start(ended)

    def _slow_disk(self, fault: Fault) -> Steps:
        [disk] = map(self._disks.__getitem__, fault.who)
        disk.is_slow(int(fault.amount))
        yield fault.lasts
        disk.is_well()

    def _failing_disk(self, fault: Fault) -> Steps:
        """Its syncs fail, so it has to end; what they were to write is lost with its power."""
        [position] = fault.who
        if self._cluster[position].process is None:
            return
        disk = self._disks[position]
        self._failing.add(position)
        disk.fails()
        yield fault.lasts
        self._end([position])
        if fault.amount:
            disk.loses_power()
        disk.is_well()
        self._start([position])
        self._failing.discard(position)

    def _stop_clock(self, fault: Fault) -> Steps:
        """It stands still as a virtual machine: the clock of its timeouts does not go on."""
        [position] = fault.who
        node = self._cluster[position]
        if not node.running:
            return
        process, begun = node.process, time.monotonic()
        node.pause()
        yield fault.lasts
        if node.running and node.process is process:
            stood = time.monotonic() - begun
            self._clocks[position].stood_still(stood, wall=bool(fault.amount))
            node.resume()

    def _set_clock(self, fault: Fault) -> Steps:
        [clock] = map(self._clocks.__getitem__, fault.who)
        clock.is_set(fault.amount)
        yield fault.lasts
        clock.is_set(0.0)

    # --- other disks

    def _another_disk(self, fault: Fault) -> Steps:
        """It comes back with an empty disk, when the others go on without it."""
        [position] = fault.who
        ended = self._end(fault.who)
        if (yield from self._left_out(ended)):
            self._changes_disk(position)
        yield fault.lasts
        self._start(ended)

    def _older_disk(self, fault: Fault) -> Steps:
        """It comes back with a disk from before, when the others go on without it."""
        [position] = fault.who
        node = self._cluster[position]
        if not node.running:
            return
        self._end(fault.who)
        older = self._copy_of(node, "older")
        self._start(fault.who)
        yield fault.lasts
        self._end(fault.who)
        if (yield from self._left_out(fault.who)):
            self._alarms_expected = True
            self._changes_disk(position, older)
        before = len(node.log_text())
        self._start(fault.who)
        if (yield from self._is_refused(node, before)):
            self._end(fault.who)  # as an operator would who has nothing newer
            if (yield from self._left_out(fault.who)):
                self._changes_disk(position)
            self._start(fault.who)

    def _older_disk_at_a_restart(self, fault: Fault) -> Steps:
        """All end, and one of the members comes back with a disk from before."""
        [position] = fault.who
        if position not in self._cluster.wait_until_whole(WHOLE_WITHIN):
            return
        node = self._cluster[position]
        self._end(fault.who)
        older = self._copy_of(node, "older")
        self._start(fault.who)
        yield fault.lasts
        if len(self._cluster.wait_until_whole(WHOLE_WITHIN)) == 1:
            return
        everybody = self._end(self._cluster.nodes)
        newest = self._copy_of(node, "newest")
        self._alarms_expected = True
        self._changes_disk(position, older)
        before = len(node.log_text())
        self._start(everybody)
        if (yield from self._is_refused(node, before)):
            self._end(fault.who)
            self._changes_disk(position, newest)
            self._start(fault.who)

    def _is_refused(self, node: Node, before: int) -> Generator[float, None, bool]:
        """Wait until a node's log says ALARM behind ``before``, or it serves; whether it says so.

        On a busy machine it may take long to start.
        """
        end = time.monotonic() + WHOLE_WITHIN
        while time.monotonic() < end:
            if ALARM in node.log_text()[before:]:
                return True
            if node.chain() is not None:
                return False
            yield LOOK
        return False

    def _copied_disk(self, fault: Fault) -> Steps:
        """A copy of a member's disk runs in another server for a while: nobody takes it for it."""
        [position] = fault.who
        node = self._cluster[position]
        if not node.running:
            return
        self._end(fault.who)
        folder = self._folder("copy")
        host = self._networks.hosts["copy"] if self._networks else ""
        copy = copy_of(self._cluster, position, folder, host)
        if self._networks:
            copy.launcher = self._networks.launcher("copy")
        self._start(fault.who)
        for _ in range(LOOKS):
            if node.chain() is not None and _listens(node):
                break
            yield LOOK
        else:
            return
        self._alarms_expected = True
        self.copied.append(copy)
        copy.start()
        yield fault.lasts
        serves = copy.chain() is not None or "serving in" in copy.log_text()
        copy.kill()
        assert not serves, f"the copy of {position} serves: {copy.last_words()}"

    def _left_out(self, positions: Iterable[str]) -> Generator[float, None, bool]:
        """Wait for a while until the others go on without these; whether they do."""
        for _ in range(LOOKS):
            if all(map(self._is_left_out, positions)):
                return True
            yield LOOK
        return False

    def _is_left_out(self, position: str) -> bool:
        """True if all members of the newest chain of the others say that it is none of them."""
        others = [node for node in self._cluster.others(position) if node.running]
        words = {node.position: node.chain() for node in others}
        seen = {p: each for p, each in words.items() if each is not None}
        if not seen:
            return False
        newest = max(seen.values(), key=lambda each: int(each["epoch"]))
        members = newest["members"].split(",")
        agree = [member in seen and seen[member]["epoch"] == newest["epoch"] for member in members]
        return position not in members and all(agree)

    def _changes_disk(self, position: str, files: Path | None = None) -> None:
        """Put another disk into a node that does not run."""
        if position in self._disks:
            self._disks[position].is_another(files)
            return
        data = self._cluster[position].data
        shutil.rmtree(data)
        data.mkdir()
        if files is not None:
            copy_data(files, data)

    def _copy_of(self, node: Node, name: str) -> Path:
        return copy_data(node.data, self._folder(name) / "data")

    def _folder(self, name: str) -> Path:
        numbers = itertools.count(1)
        folder = next(
            path
            for number in numbers
            if not (path := self._cluster.folder / f"{name}-{number}").exists()
        )
        folder.mkdir()
        return folder


def _listens(node: Node) -> bool:
    """True if its chain port takes connections."""
    try:
        socket.create_connection((node.host, node.chain_port), DEADLINE).close()
    except OSError:
        return False
    return True
