"""Programs that try to find out whether the chain is one: they repeat themselves, and read.

They talk to each node by itself, over plain sockets, and keep what they were told for the
``chronicle``.
"""

import re
import threading
import time
from collections.abc import Sequence
from random import Random

from chronicle import EVERYBODY, Message, Read, Send
from cluster import Node
from talking import DEADLINE, Person, Program

PATIENCE = 3.0
"""Seconds after which an answer is not waited for any more."""

PAUSE = 0.15
"""Seconds between two acts, on average."""

LAST = 20
"""Messages that a person asks for."""


class Talker(threading.Thread):
    """Visits nodes until it is told to stop.

    Attributes:
        acts: how many had an answer.
    """

    def __init__(self, name: str, nodes: Sequence[Node], seed: int) -> None:
        super().__init__(daemon=True)
        self.name = name
        self.acts = 0
        self._nodes = nodes
        self._random = Random(seed)
        self._stopping = threading.Event()
        self._error: Exception | None = None

    def run(self) -> None:
        """Visit one node after another."""
        while not self._stopping.is_set():
            try:
                self.visit(self._random.choice(self._nodes))
            except (AssertionError, OSError):  # refused, cut off, or without an answer
                pass
            except Exception as error:
                self._error = error
                return
            self.pause()

    def visit(self, node: Node) -> None:
        """Talk to a node; raises AssertionError or OSError when it does not answer."""
        raise NotImplementedError

    def pause(self) -> bool:
        """Wait for a moment; whether to go on."""
        return not self._stopping.wait(self._random.uniform(0.0, 2 * PAUSE))

    def complain(self) -> None:
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End it."""
        self._stopping.set()
        self.join(2 * DEADLINE)
        assert not self.is_alive(), f"{self.name} does not end"
        self.complain()


class Repeater(Talker):
    """Says texts at one node after another, and says them again elsewhere.

    Attributes:
        sends: whatever it sent, each time that it did.
    """

    def __init__(self, name: str, nodes: Sequence[Node], seed: int) -> None:
        super().__init__(name, nodes, seed)
        self.sends: list[Send] = []
        self._told: list[int] = []
        self._untold: list[int] = []

    def visit(self, node: Node) -> None:
        """Say again what had an answer and what had none, then something new."""
        with Program(node.address, "again", f"{self.name} quiet", within=PATIENCE) as program:
            newest = self._told[-50:]
            again = sorted(self._random.sample(newest, min(len(newest), 2)))
            for number in (*again, *self._untold):
                self._say(program, node, number)
            for _ in range(self._random.randint(1, 4)):
                number = len(self._told) + len(self._untold) + 1
                self._untold.append(number)
                self._say(program, node, number)
                if not self.pause():
                    break
            if self._random.random() < 0.3:
                program.reset()
            elif self._random.random() < 0.5:
                program.ask("LOGOUT")

    def _say(self, program: Program, node: Node, number: int) -> None:
        text = f"{self.name} {number}"
        began = time.monotonic()
        asked = Send(self.name, "again", number, text, node.position, began)
        place = len(self.sends)
        self.sends.append(asked)
        reply = program.ask(f"SEND {number} {EVERYBODY} :{text}")
        answer, refused = None, ""
        if found := re.match(r"\+OK id=(\d+)", reply):
            answer = int(found[1])
            if number in self._untold:
                self._untold.remove(number)
                self._told.append(number)
        elif reply.startswith("-ERR 5"):
            refused = reply
        self.sends[place] = Send(
            self.name,
            "again",
            number,
            text,
            node.position,
            began,
            time.monotonic() if answer or refused else None,
            answer,
            refused,
        )
        assert answer, reply
        self.acts += 1


class Reader(Talker):
    """Reads at one node, as a program and as a person."""

    def __init__(self, name: str, node: Node, seed: int) -> None:
        super().__init__(name, [node], seed)
        self.reads: list[Read] = []
        self._newest = 0

    def visit(self, node: Node) -> None:
        """Read for as long as it answers, or for a while."""
        if self._random.random() < 0.3:
            with Person(node.address, f"{self.name}-person", within=PATIENCE) as person:
                for _ in range(10):
                    self._last(person, node)
                    if not self.pause():
                        return
                person.ask("/logout")
            return
        with Program(node.address, "reader", f"{self.name} quiet", within=PATIENCE) as program:
            while self.pause():
                self._since(program, node)

    def _since(self, program: Program, node: Node) -> None:
        after = max(0, self._newest - self._random.randint(0, 30))
        began = time.monotonic()
        pushes = program.since(f"SINCE {after}")
        shown = [push.message for push in pushes if push.message.to == EVERYBODY]
        self._note(node, began, after, [Message(m.id, m.sender, m.text) for m in shown])

    def _last(self, person: Person, node: Node) -> None:
        began = time.monotonic()
        lines = person.listed(f"/last {LAST}")
        found = [re.match(r"#(\d+) \S+ ([^ :]+): (.*)$", line) for line in lines]
        shown = [Message(int(m[1]), m[2], m[3]) for m in found if m is not None]
        assert len(shown) == len([line for line in lines if line.startswith("#")]), lines
        self._note(node, began, shown[0].id - 1 if len(shown) == LAST else 0, shown)

    def _note(self, node: Node, began: float, after: int, shown: Sequence[Message]) -> None:
        read = Read(self.name, node.position, began, time.monotonic(), after, tuple(shown))
        self.reads.append(read)
        self._newest = max(self._newest, read.newest)
        self.acts += 1
