"""The lines that were typed, kept for the next run; never a password."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import FileHistory

from chainchat.client.kept.kept_keys import state_folder

OCTETS_PER_LINE = 100
"""Octets of a line in a file that is not yet trimmed."""


class History(FileHistory):
    """A file that only its owner can read; one that cannot be used is no error.

    Args:
        secret: tells if a text is a password, or holds one.
    """

    def __init__(self, secret: Callable[[str], bool], most: int) -> None:
        self._secret = secret
        path = state_folder() / "history"
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            _trim(path, most)
        super().__init__(str(path))

    def append_string(self, string: str) -> None:
        if not self._secret(string):
            super().append_string(string)

    def store_string(self, string: str) -> None:
        with suppress(OSError):
            super().store_string(string)


def _trim(path: Path, most: int) -> None:
    """Trim the file, in which one line with ``#`` stands before each."""
    if path.stat().st_size <= 2 * most * OCTETS_PER_LINE:
        return
    entries = path.read_text(errors="replace").split("\n# ")
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"\n# {entry}" for entry in entries[-most:] if most)
    draft.replace(path)
