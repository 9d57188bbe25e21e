"""All pictures by the names of their files."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.pictures import chain, layers, marks, sequence
from tests.pictures.sequence import Scene

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"

TERMINAL = "terminal.svg"
"""The recording. No two are the same, so that it is made again only when it is asked for."""

SCENES = {
    "splice.svg": Scene(
        "splice", "The middle dies, and is taken out", "say alice at head: did you see that?"
    ),
    "join.svg": Scene(
        "join", "The middle comes back, copies, and joins as the tail", "start middle"
    ),
    "resume.svg": Scene(
        "resume",
        "The power fails everywhere, and all come back",
        "say alice at head: who turned off the light?",
    ),
    "last-of-three.svg": Scene("last-of-three", "Two die, and the last goes on alone", "kill head"),
}

PICTURES: dict[str, Callable[[], str]] = {
    "chain.svg": chain.draw,
    "marks.svg": marks.draw,
    "layers.svg": layers.draw,
    **{name: partial(sequence.draw, scene) for name, scene in SCENES.items()},
}
"""What draws each of the others."""
