"""The files that tests of chain.ini read."""

from pathlib import Path

from chainchat.config import (
    ConfigError,
    load,
)

LEAST = """\
[chain]
name = lab
founding = head middle tail
[head]
[middle]
[tail]
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "chain.ini"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def error_of(path: Path) -> str | None:
    try:
        load(path)
    except ConfigError as error:
        return str(error)
    return None
