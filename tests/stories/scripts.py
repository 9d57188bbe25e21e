"""The stories of this folder: their files, what they tell now, and how the two differ."""

import difflib

from tests.simulation.script import FOLDER, TRACE, Script
from tests.stories.runner import play

NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.txt")))


def told(name: str) -> str:
    return (FOLDER / f"{name}.txt").read_text("utf-8")


def retold(name: str) -> str:
    lines = play(Script.load(name))
    texts = (text for line in lines for text in (line.text, *(TRACE + t for t in line.trace)))
    return "".join(f"{text.rstrip()}\n" for text in texts)


def difference(name: str) -> str:
    """Between the file and what the story tells now; empty if they are the same."""
    old, new = told(name).splitlines(True), retold(name).splitlines(True)
    return "".join(difflib.unified_diff(old, new, f"{name}.txt", "what it tells now"))


def renew(name: str) -> None:
    (FOLDER / f"{name}.txt").write_text(retold(name), "utf-8")
