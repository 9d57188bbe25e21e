"""Nodes whose disks have failed: what they say, and what is left of their data."""

import contextlib
import copy
import itertools
import re
import threading
from pathlib import Path

from cluster import Node, copy_data
from load import Record, check, histories
from talking import DEADLINE, Program, until


def fails(node: Node, complaint: str) -> None:
    """Wait until a node has ended because of its disk, and has said so in one critical line."""
    assert node.wait(DEADLINE) == 1
    critical = [line for line in node.log_text().splitlines() if "#critical]" in line]
    path = re.escape(f"{node}: {node.data}/chainchat.sqlite")
    assert re.search(rf"\] {path}: ({complaint}); this node stops$", critical[-1]), critical


def is_refused(node: Node, complaint: str) -> None:
    """Start a node that cannot use its data: it ends at once, and one line says why."""
    before = len(node.log_text())
    node.start()
    assert node.wait(DEADLINE) == 1
    # Behind a time, if there was a log already.
    said = re.findall(r"(?:^|#error\] )chainchat: (.+)$", node.log_text()[before:], re.MULTILINE)
    assert said == [complaint], (said, node.log_text()[before:][-1500:])


def copied(node: Node, folder: Path) -> Node:
    """A stand-in for a node that does not run, with a copy of its data: to be read."""
    twin = copy.copy(node)
    twin.data = folder
    copy_data(node.data, folder)
    return twin


class Witness(threading.Thread):
    """Somebody who talks to one node alone, until its end: each answer is this node's own word.

    Attributes:
        record: what was said and acknowledged.
    """

    def __init__(self, node: Node) -> None:
        super().__init__(daemon=True)
        self.record = Record("witness")
        self._node = node
        self.start()
        until(lambda: bool(self.record.answers), lambda: f"{node} does not answer")

    def run(self) -> None:
        """Say one text after another."""
        with (
            contextlib.suppress(AssertionError, OSError),  # the end
            Program(self._node.address, "test", "witness") as program,
        ):
            for number in itertools.count(1):
                self.record.say(text := f"witness {number}")
                words = program.words(f"SEND {number} * :{text}")
                self.record.told(text, int(words["id"]))

    def was_told_the_truth(self, folder: Path) -> None:
        """Hold what the node, which is dead, has acknowledged against what is on its disk."""
        self.join(DEADLINE)
        check([self.record], histories([copied(self._node, folder)]))
