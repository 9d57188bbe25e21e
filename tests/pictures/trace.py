"""What a story's trace says, line by line."""

import re
from dataclasses import dataclass

from tests.simulation.script import Script

MESSAGE = re.compile(r"(\w+) → (\w+)  (\w+) ?(.*)")
NOTE = re.compile(r"(?:copy of )?(\w+):? (.*)")


@dataclass(frozen=True)
class Said:
    """One message.

    Attributes:
        at: when it was sent, seconds.
        held: whether it did not arrive before the network healed.
    """

    at: float
    sender: str
    to: str
    kind: str
    content: str
    held: bool


@dataclass(frozen=True)
class Noted:
    """What happened at one node."""

    at: float
    node: str
    text: str


@dataclass(frozen=True)
class Told:
    """A command of the story."""

    text: str


def events(name: str) -> list[Said | Noted | Told]:
    """What happens in a story, as its file has it; a test sees to it that this is so."""
    found: list[Said | Noted | Told] = []
    for line in Script.load(name).lines:
        if line.command:
            found.append(Told(line.command))
        for traced in line.trace:
            time, _, text = traced.strip().partition("  ")
            message = MESSAGE.fullmatch(text)
            if message is not None:
                sender, to, kind, content = message.groups()
                held = content.endswith("(held back)")
                content = content.removesuffix("(held back)").strip()
                found.append(Said(float(time), sender, to, kind, content, held))
            else:
                note = NOTE.fullmatch(text)
                assert note is not None, text
                found.append(Noted(float(time), note[1], note[2]))
    return found
