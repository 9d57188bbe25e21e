"""Keys in a file that only its owner can read; each admits to one account."""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from chainchat.client.engine.proof import Key, Keys

LONGEST_FILE = 4096


class _Kept(msgspec.Struct):
    most: int
    key: Key | None = None


class KeptKeys(Keys):
    """The key of ``name``, in the state folder.

    A file that cannot be used is no error: the person is asked for the password again.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._path = state_folder() / f"{name.lower()}.json"
        with suppress(OSError, msgspec.MsgspecError):
            with self._path.open("rb") as file:
                kept = msgspec.json.decode(file.read(LONGEST_FILE), type=_Kept)
            self.key, self.most = kept.key, max(self.most, kept.most)

    def accepted(self, key: Key) -> None:
        super().accepted(key)
        self._write()

    def forget(self) -> None:
        if self.key is not None:
            super().forget()
            self._write()

    def _write(self) -> None:
        """Write the file so that nobody else can ever read a part of it."""
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self._path.with_suffix(f".{os.getpid()}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(_Kept(self.most, self.key)))
            draft.replace(self._path)


def state_folder() -> Path:
    """The folder for what is worth less than data (XDG base directories)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "chainchat"
