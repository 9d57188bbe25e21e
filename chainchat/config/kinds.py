"""The kinds of values in chain.ini."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from chainchat.config.networks import read_networks
from chainchat.config.settings import LogFormat, NewAccounts, Plaintext

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

MOST_POSITIONS = 3
LEAST_KEPT = 10_000_000
"""Octets: a smaller ``keep`` would hardly hold a checkpoint."""
UNITS = {"": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
NO_POSITIONS = ("chain", "clients", "limits", "accounts", "storage", "tls", "log")
"""Names of the other sections, which no position may have."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How a value is read, and what an error says is allowed."""

    read: Callable[[str], T]
    allowed: str


def _matching(pattern: str, allowed: str) -> Kind[str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text) or not text.isprintable():
            raise ValueError(text)
        return text

    return Kind(read, allowed)


def _whole(least: int, most: int) -> Kind[int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(text)
        return int(text)

    return Kind(read, f"a whole number from {least} to {most}")


def _seconds(least: float, most: float) -> Kind[float]:
    def read(text: str) -> float:
        plain = re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", text)  # not nan, not inf, not 1e9
        if not plain or not least <= float(text) <= most:
            raise ValueError(text)
        return float(text)

    return Kind(read, f"a number of seconds from {least:g} to {most:g}")


def _founding(text: str) -> tuple[str, ...]:
    positions = tuple(text.split())
    if not 1 <= len(positions) <= MOST_POSITIONS or len(set(positions)) < len(positions):
        raise ValueError(text)
    return tuple(POSITION.read(position) for position in positions)


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"


def _one_of(choices: type[E]) -> Kind[E]:
    *first, last = [choice.value for choice in choices]
    return Kind(choices, f"{', '.join(first)} or {last}")


def _octets(text: str) -> int:
    size = re.fullmatch(r"([0-9]{1,9}) *(|kB|MB|GB)", text)
    if size is None:
        raise ValueError(text)
    return int(size[1]) * UNITS[size[2]]


def _keep(text: str) -> tuple[int, int]:
    """Return days and octets; 0 for what the text does not name."""
    days = octets = 0
    for part in text.split(","):
        age = re.fullmatch(r" *([1-9][0-9]{0,4}) *days? *", part)
        if age and not days:
            days = int(age[1])
        elif not age and not octets and _octets(part.strip()) >= LEAST_KEPT:
            octets = _octets(part.strip())
        else:
            raise ValueError(text)
    return days, octets


def _host(text: str) -> str:
    if not re.fullmatch(r"[^\s,]+", text) or not text.isprintable():
        raise ValueError(text)
    return text[1:-1] if text[0] == "[" and text[-1] == "]" else text


def _port_or_none(text: str) -> int:
    return 0 if text == "none" else PORT.read(text)


_A_POSITION = (
    "1 to 32 lowercase letters, digits or '-', and not "
    f"{', '.join(map(repr, NO_POSITIONS[:-1]))} or {NO_POSITIONS[-1]!r}"
)

CLUSTER_NAME = _matching(r"[A-Za-z0-9._-]{1,32}", "1 to 32 letters, digits, '-', '_' or '.'")
POSITION = _matching(rf"(?!({'|'.join(NO_POSITIONS)})$)[a-z0-9-]{{1,32}}", _A_POSITION)
FOUNDING = Kind(
    _founding,
    f"one to three different positions, as chains of one to three work; each {_A_POSITION}",
)
SUSPECT_AFTER = _seconds(0.1, 60)
REJOIN_PAUSE = _seconds(0, 600)
YES_OR_NO = Kind(_yes_or_no, "yes or no")
MAX_LINE = _whole(64, 16_384)
MAX_CONNECTIONS = _whole(1, 1_000_000)
PER_ADDRESS = _whole(1, 1_000_000)
RATE = _whole(0, 1_000_000)
MOST_ACCOUNTS = _whole(1, 1_000_000)
SEND_BURST = _whole(1, 1_000_000)
NEW_ACCOUNTS = _one_of(NewAccounts)
PLAINTEXT = _one_of(Plaintext)
LOG_FORMAT = _one_of(LogFormat)
HOST = Kind(_host, "a host name or address, without spaces or commas")
PORT = _whole(1, 65_535)
PORT_OR_NONE = Kind(_port_or_none, f"{PORT.allowed}, or none")
URL = _matching(
    r"https?://[^\s/?#@]+(/[^\s?#]*)?",
    "where people find the page, as in https://chat.example.org/head/",
)
FILE = _matching(r".+", "the path of a file; %p in it stands for the position")
FOLDER = _matching(r".+", "the path of a folder")
NETWORKS = Kind(
    read_networks, "addresses and networks between spaces, as in 127.0.0.0/8 10.1.2.3 ::1"
)
KEEP = Kind(_keep, "an age, a size of 10 MB or more, or both, as in 90 days, 10 GB")
OCTETS = Kind(_octets, "a size as in 0 (off), 4096 (octets), 64 kB, 100 MB or 2 GB")


def is_position(text: str) -> bool:
    try:
        POSITION.read(text)
    except ValueError:
        return False
    return True
