"""A client's memory on the disk: one locked SQLite file per account and chain.

Beside the file stand links for the nodes' addresses: it is found whichever is named, and a second
client of the chain finds it locked.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from chainchat.client.engine.memory import Memory, Outgoing
from chainchat.client.engine.wire import Address
from chainchat.client.kept.kept_keys import state_folder

KEEP_EVERY = 1.0
"""Seconds after which marks and results are kept, whose loss costs only a repetition."""

_TABLES = """
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = TRUNCATE;
    BEGIN EXCLUSIVE;
    CREATE TABLE IF NOT EXISTS open (number INTEGER PRIMARY KEY, recipient TEXT, text TEXT);
    CREATE TABLE IF NOT EXISTS kept (what TEXT PRIMARY KEY, value);
"""

GONE_WITH_THE_SESSION = frozenset({"deleted", "kicked", "moved"})
"""Ends after which the token is void."""


class InUseError(Exception):
    """Another client here has the account open in this chain."""


class KeptMemory(Memory):
    """A memory in a file, which is made if there is none.

    Attributes:
        trouble: why nothing can be kept; mostly empty. Whoever tells it clears it.

    Raises:
        InUseError: another process has the file open.
        OSError: it cannot be made.
        sqlite3.Error: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.trouble = ""
        self._path = path
        self._client = ""
        self._urgent = False
        self._changed = False
        self._stale = False
        """True if the file is behind, as it could not be written."""
        self._kept_at = 0.0
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._file = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            self._file.executescript(_TABLES)
            self._read()
        except sqlite3.OperationalError as error:
            self._file.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise InUseError from None
            raise
        except sqlite3.Error:
            self._file.close()
            raise

    def _read(self) -> None:
        kept = dict(self._file.execute("SELECT what, value FROM kept"))
        self._client = kept.get("client", "")
        self.last_number = kept.get("last_number", 0)
        self.numbered_from = kept.get("numbered_from")
        self.token = kept.get("token", "")
        self.seen = kept.get("seen")
        rows = self._file.execute("SELECT number, recipient, text FROM open ORDER BY number")
        self.open = {row[0]: Outgoing(*row) for row in rows}
        self._file.execute("COMMIT")

    def close(self) -> None:
        self._urgent = self._changed
        self.keep(0.0)
        self._file.close()

    # --- what is remembered

    def begin(self, client: str) -> str:
        if not self._client:
            self._client = client
            self._keep("client", client)
        return self._client

    def added(self, outgoing: Outgoing) -> None:
        super().added(outgoing)
        row = outgoing.number, outgoing.to, outgoing.text
        self._execute("INSERT INTO open VALUES (?, ?, ?)", *row)
        self._keep("last_number", outgoing.number)
        self._urgent = True

    def settled(self, number: int) -> None:
        """Forget a SEND; if that is lost, the chain recognizes the repetition."""
        super().settled(number)
        self._execute("DELETE FROM open WHERE number = ?", number)

    def numbered(self, offset: int) -> None:
        super().numbered(offset)
        self._keep("numbered_from", offset)
        self._urgent = True

    def logged_in(self, token: str, mark: int | None) -> None:
        super().logged_in(token, mark)
        self._keep("token", token)
        self._keep("seen", self.seen)
        self._urgent = True

    def acknowledged(self, identifier: int) -> None:
        super().acknowledged(identifier)
        self._keep("seen", identifier)

    def learned(self, addresses: list[Address]) -> None:
        """Let the file be found at these nodes, too."""
        with suppress(OSError):
            _link(self._path, addresses)

    def ended(self, reason: str) -> None:
        """End; a deleted account's lines are nobody's any more."""
        if reason == "deleted":
            self.open.clear()
            self._execute("DELETE FROM open")
        if reason in GONE_WITH_THE_SESSION or not self.open:
            self.token = ""
            self._keep("token", "")
        if not self.open and reason in ("logout", "deleted"):
            self._execute("DELETE FROM kept WHERE what IN ('client','last_number','numbered_from')")
            self._client, self.last_number, self.numbered_from = "", 0, None
        self._urgent = True

    def keep(self, now: float) -> None:
        due = now >= self._kept_at + KEEP_EVERY
        if self._stale and due:
            self._kept_at = now
            self._write_all()
        if self._changed and (self._urgent or due):
            self._changed = self._urgent = False
            self._kept_at = now
            self._try("COMMIT")

    def _keep(self, what: str, value: str | int | None) -> None:
        self._execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", what, value)

    def _execute(self, statement: str, *values: str | int | None) -> None:
        if self._stale:
            return
        if not self._changed:
            self._changed = self._try("BEGIN")
        self._try(statement, *values)

    def _try(self, statement: str, *values: str | int | None) -> bool:
        """True if done. A full disk must not keep anybody from talking."""
        if self._stale:
            return False
        try:
            self._file.execute(statement, values)
        except sqlite3.Error as error:
            self.trouble = str(error)
            self._stale, self._changed = True, False
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")
            return False
        return True

    def _write_all(self) -> None:
        self._stale = False
        self._execute("DELETE FROM open")
        for outgoing in self.open.values():
            row = outgoing.number, outgoing.to, outgoing.text
            self._execute("INSERT INTO open VALUES (?, ?, ?)", *row)
        self._keep("client", self._client)
        self._keep("last_number", self.last_number)
        self._keep("numbered_from", self.numbered_from)
        self._keep("token", self.token)
        self._keep("seen", self.seen)
        self._urgent = True


def find(account: str, addresses: Iterable[Address]) -> Path:
    """Find an account's file in the chain of these nodes, and make it known to all of them.

    Raises:
        OSError: the folder cannot be made or read.
    """
    folder = state_folder() / "rooms" / account.lower()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    links = _links(folder, addresses)
    known = next((link.resolve() for link in links if link.is_symlink()), None)
    path = known or folder / f"{secrets.token_hex(8)}.sqlite"
    _link(path, addresses)
    return path


def _links(folder: Path, addresses: Iterable[Address]) -> list[Path]:
    return [folder / f"{host}:{port}".replace("/", "_") for host, port, _ in addresses]


def _link(path: Path, addresses: Iterable[Address]) -> None:
    for link in _links(path.parent, addresses):
        if not link.is_symlink():
            link.symlink_to(path.name)
