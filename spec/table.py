"""Which states of processes there are: each is kept once, with what every input leads to."""

from collections import deque
from copy import copy
from types import FunctionType, MethodType
from typing import Any

from msgspec import Struct

from spec.process import SUSPECT_AFTER, Facts, HarmError, Process

IGNORED = frozenset(
    (
        *("_nonce", "_pings", "_first_ping", "nonce", "clocks", "_wall", "_new_identity", "now"),
        *("_timing", "_complaints", "_compared", "_departures", "_patience", "_declines"),
        *(
            "_not_yet",
            "_doubts",
            "_clock_told",
            "_lives",
            "_lives_of",
            "confirms",
            "last",
            "answers",
            "voted",
        ),
    )
)
"""Attributes in which two states may differ and count as one: figures, texts, what is noted twice,
and of the newest answer of each (``Presence``) what nobody asks for later."""


class Table:
    """All states of processes that were met, by their numbers."""

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.facts: list[Facts] = []
        self._numbers: dict[Any, int] = {}
        self._steps: dict[Any, tuple[int, tuple[Any, ...]] | HarmError] = {}

    def number(self, process: Process) -> int:
        """The number of a process's state."""
        key = _name(process, process.now, set())
        if key not in self._numbers:
            self._numbers[key] = len(self.processes)
            self.processes.append(process)
            self.facts.append(process.facts())
        return self._numbers[key]

    def step(self, number: int, *what: Any) -> tuple[int, tuple[Any, ...]]:
        """The state after an input (see ``Process.run``), and what it says to the world."""
        key = (number, *what)
        if key not in self._steps:
            process = _clone(self.processes[number], {})
            try:
                said = process.run(*what)
                self._steps[key] = self.number(process), said
            except HarmError as harm:
                self._steps[key] = harm
        result = self._steps[key]
        if isinstance(result, HarmError):
            raise result
        return result


def _has_attributes(value: Any) -> bool:
    """True if this is an object that changes, and is told from others by who it is."""
    itself: Any = object.__hash__
    plain = type(value).__hash__ is itself and hasattr(value, "__dict__")
    return plain and not isinstance(value, FunctionType)


def _clone(value: Any, known: dict[int, Any]) -> Any:
    """A copy of an object; what cannot change is shared."""
    kind: Any = type(value)
    if kind is dict:
        return {key: _clone(one, known) for key, one in value.items()}
    if kind in (set, list, deque):
        return kind(value)
    if isinstance(value, Struct):
        return value if kind.__struct_config__.frozen else copy(value)
    if kind is MethodType:
        return MethodType(value.__func__, _clone(value.__self__, known))
    if not _has_attributes(value):
        return value
    if id(value) not in known:
        new = known[id(value)] = kind.__new__(kind)
        new.__dict__.update({name: _clone(one, known) for name, one in vars(value).items()})
    return known[id(value)]


def _name(value: Any, now: float, known: set[int]) -> Any:
    """What tells a state from others: of a moment, whether it is past; not what is ``IGNORED``."""
    kind = type(value)
    if kind is float:
        return "to come" if value > now else "new" if now - value < SUSPECT_AFTER else "old"
    if kind is dict:
        return frozenset((key, _name(one, now, known)) for key, one in value.items())
    if kind is tuple:
        return tuple(_name(one, now, known) for one in value)
    if kind is set:
        return frozenset(value)
    if isinstance(value, Struct):
        if kind.__struct_config__.frozen and kind.__name__ not in ("Sealing", "Pong"):
            return value
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
    elif _has_attributes(value):
        if id(value) in known:
            return None
        known.add(id(value))
        fields = ((name, one) for name, one in vars(value).items())
    else:
        return None if kind in (FunctionType, MethodType) else value
    return tuple((name, _name(one, now, known)) for name, one in fields if name not in IGNORED)
