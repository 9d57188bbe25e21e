"""The client killed between any two steps, with lines that are pending: each is said once.

The client dies before or after any statement to its file, any write to the server and any read of
an answer; what it had not committed to the file is lost with it.
"""

from pathlib import Path
from random import Random

import pytest
from fake_room import Connection, Room

from chainchat.client.engine.engine import Engine
from chainchat.client.engine.events import ConnectTo, Disconnect
from chainchat.client.engine.wire import Address
from chainchat.client.kept.kept_memory import KeptMemory

LINES = 6
LONGEST = 400
"""Steps of a whole run are fewer: some 90."""


class KilledError(Exception):
    """The client is dead."""


class Fate:
    """Kills the client at one step."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        """One more step; perhaps the last."""
        self.left -= 1
        if self.left < 0:
            raise KilledError


class MortalMemory(KeptMemory):
    """A memory during whose every statement the client may die."""

    def __init__(self, path: Path, fate: Fate) -> None:
        self.fate = Fate(LONGEST)
        super().__init__(path)
        self.fate = fate

    def _try(self, statement: str, *values: str | int | None) -> bool:
        self.fate.step()
        done = super()._try(statement, *values)
        self.fate.step()
        return done

    def die(self) -> None:
        """What is not committed is lost."""
        self._file.close()


class Life:
    """One run of the client, at a room that outlives it."""

    def __init__(self, room: Room, path: Path, fate: Fate) -> None:
        self.room, self.fate = room, fate
        self.memory = MortalMemory(path, fate)
        self.connection: Connection | None = None
        self.now = 0.0
        self.engine: Engine

    def turn(self) -> None:
        """Give everything its turn: clock, events, octets out, octets in."""
        self.now += 0.1
        self.engine.tick(self.now)
        taken = self.engine.take_events()
        self.engine.seen()
        for event in taken:
            match event:
                case ConnectTo():
                    self.connection = Connection(self.room)
                    self.engine.connected(self.now)
                case Disconnect():
                    self.hang_up()
        data = self.engine.take_bytes()
        self.fate.step()
        if self.connection is None:
            return
        self.connection.feed(data)
        self.fate.step()
        out = bytes(self.connection.out)
        self.connection.out.clear()
        self.engine.received(out, self.now)
        self.fate.step()

    def hang_up(self) -> None:
        """The connection ends."""
        if self.connection:
            self.connection.close()
            self.connection = None

    def talk(self, lines: list[str], taken: list[str], random: Random) -> None:
        """Say the lines, some in one turn; ``taken`` are those of which the screen could tell."""
        self.engine = Engine("alice", "c7f3", [Address("a", 1)], Random(7), memory=self.memory)
        self.engine.start(self.now)
        while lines or self.engine.pending or not self.engine.online:
            typed = [lines.pop(0) for _ in range(min(len(lines), random.randrange(3)))]
            for line in typed:
                self.engine.send(line)
            self.turn()
            taken += typed
            self.room.holding = random.random() < 0.3
            if not self.room.holding:
                self.room.release()


@pytest.mark.parametrize("killed_after", range(0, 96, 8))
def test_however_soon_it_is_killed_each_line_is_said_once(
    tmp_path: Path, seed: int, killed_after: int
) -> None:
    random = Random(f"{seed} {killed_after}")
    room, path = Room(), tmp_path / "alice.sqlite"
    taken: list[str] = []
    for life in range(4):
        fate = Fate(killed_after + random.randrange(8) if life < 3 else LONGEST)
        run = Life(room, path, fate)
        try:
            run.talk([f"life {life}, line {n}" for n in range(LINES)], taken, random)
        except KilledError:
            pass
        finally:
            run.hang_up()
            run.memory.die()
    said = [message.text for message in room.messages]
    everything = [f"life {life}, line {n}" for life in range(4) for n in range(LINES)]
    assert said == [line for line in everything if line in said]
    assert [line for line in taken if line not in said] == []
