"""What ``chainchatctl`` reads without a node, for ``inspect`` and ``export``.

Nothing beside the data is made or changed. SQLite would do both to a write-ahead log that a killed
node has left, so such data are copied, and the copy is opened.
"""

import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from msgspec import msgpack

from chainchat.chain.entries import UNDECODABLE, Entry, EntryId, decode_entries
from chainchat.chain.record import Record
from chainchat.chat import commands
from chainchat.chat.modes.mode import ChatMessage
from chainchat.network.control_socket import socket_of
from chainchat.node.history import NOBODY
from chainchat.node.state_machine import StateMachine
from chainchat.node.times import shown_time
from chainchat.storage.checksums import unchecked
from chainchat.storage.interface import StorageError
from chainchat.storage.schema import APPLICATION_ID, READ_TOO, SCHEMA_VERSION
from chainchat.storage.sqlite import DATABASE, SQLiteStorage
from chainchat.storage.wal import log_of

NEWEST = 3

AT_ONCE, OCTETS_AT_ONCE = 1_000, 1_000_000
"""Messages, and octets of entries, read at once."""


class OfflineError(Exception):
    """The data cannot be read; the text says why, and what to do."""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database of a data folder or a backup for reading.

    Raises:
        OfflineError: it is not there, or is not chainchat's.
    """
    database = path / DATABASE if path.is_dir() else path
    if not database.is_file():
        raise OfflineError(f"{database}: there is no such file: name a data folder, or a backup")
    try:
        if _in_use(database.parent):
            with _connected(database, "mode=ro") as connection:
                yield connection
        elif _has_wal(database):
            with tempfile.TemporaryDirectory(prefix="chainchat-") as folder:
                for file in (database, log_of(database)):
                    shutil.copy(file, folder)
                with _connected(Path(folder) / database.name, "mode=rw") as connection:
                    yield connection
        else:
            with _connected(database, "mode=ro&immutable=1") as connection:
                yield connection
    except (OSError, sqlite3.Error) as error:
        raise OfflineError(f"{database}: {error}") from None


def _in_use(data: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        try:
            caller.connect(str(socket_of(data)))
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True


def _has_wal(database: Path) -> bool:
    wal = log_of(database)
    return wal.is_file() and wal.stat().st_size > 0


@contextmanager
def _connected(database: Path, options: str) -> Iterator[sqlite3.Connection]:
    uri = f"{database.absolute().as_uri()}?{options}"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        schema = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise OfflineError(f"{database}: a database, but not one of chainchat's")
        if schema != SCHEMA_VERSION and schema not in READ_TOO:
            raise OfflineError(
                f"{database}: written by another version of chainchat (schema {schema}, this one "
                f"knows {SCHEMA_VERSION}): use that version's chainchatctl"
            )
        yield connection


# --- inspect


def inspected(path: Path) -> dict[str, Any]:
    """Return what a data folder or a backup holds, in figures.

    Raises:
        OfflineError: it cannot be read.
    """
    with opened(path) as database:
        return {**_record(database), **_log(database), **_checkpoint(database)}


def _record(database: sqlite3.Connection) -> dict[str, Any]:
    row = database.execute("SELECT record FROM membership").fetchone()
    try:
        record = msgpack.decode(_read(row[0], "the record"), type=Record) if row else Record("", 0)
    except UNDECODABLE as error:
        raise OfflineError(f"the record of membership is corrupt: {error}") from None
    configuration = record.configuration
    own = [member.position for member in configuration.members if member.id == record.id]
    return {
        "schema": database.execute("PRAGMA user_version").fetchone()[0],
        "position": own[0] if own else None,
        "id": record.id,
        "incarnation": record.incarnation,
        "founding": list(record.founding),
        "epoch": configuration.epoch,
        "identity": configuration.identity,
        "members": [
            {"position": m.position, "id": m.id, "address": f"{m.host}:{m.chain_port}"}
            for m in configuration.members
        ],
        "why": configuration.why,
        "vote": None if record.vote is None else str(record.vote.configuration),
    }


def _log(database: sqlite3.Connection) -> dict[str, Any]:
    oldest = _batch(database, "ASC")
    newest = _batch(database, "DESC")
    noted = database.execute("SELECT seq FROM committed").fetchone()
    in_log = database.execute("SELECT committed FROM log ORDER BY last DESC LIMIT 1").fetchone()
    before = _beginning(database)
    end = newest[-1].id if newest else before
    return {
        "begin": oldest[0].first if oldest else before.seq + 1 if before.seq else None,
        "end": end.seq,
        "digest": end.digest.hex(),
        "committed": max((row[0] for row in (noted, in_log) if row), default=0),
        "newest": [_shown(entry) for entry in newest[-NEWEST:]],
    }


def _beginning(database: sqlite3.Connection) -> EntryId:
    """The entry before the log, which may have lost all others."""
    tables = "SELECT name FROM sqlite_master WHERE name = 'beginning'"  # older schemas lack it
    if database.execute(tables).fetchone() is None:
        return EntryId()
    row = database.execute("SELECT epoch, seq, digest FROM beginning").fetchone()
    return EntryId(*row) if row else EntryId()


def _batch(database: sqlite3.Connection, order: str) -> tuple[Entry, ...]:
    query = f"SELECT entries FROM log ORDER BY last {order} LIMIT 1"  # noqa: S608 - from above
    row = database.execute(query).fetchone()
    if row is None:
        return ()
    try:
        return decode_entries(_read(row[0], "entries of the log"))
    except UNDECODABLE as error:
        raise OfflineError(f"entries of the log are corrupt: {error}") from None


def _shown(entry: Entry) -> dict[str, Any]:
    try:
        kind = type(commands.decode(entry.command)).__name__.lower()
    except UNDECODABLE:
        kind = "unknown"
    return {"seq": entry.seq, "epoch": entry.epoch, "time": shown_time(entry.time), "command": kind}


def _checkpoint(database: sqlite3.Connection) -> dict[str, Any]:
    row = database.execute("SELECT seq FROM checkpoint").fetchone()
    return {"checkpoint": row[0] if row else 0}


def _read(stored: bytes, what: str) -> bytes:
    data = unchecked(stored)
    if data is None:
        raise OfflineError(f"{what} are not what was written: this disk or copy is damaged")
    return data


# --- export


def exported(path: Path, after: int, name: str) -> Iterator[ChatMessage]:
    """Yield the messages above the id ``after`` to everybody, and from or to the account ``name``.

    They are read in a copy with the whole log applied, whose end may hold messages never told to be
    committed.

    Raises:
        OfflineError: the data cannot be read, or there is no such account.
    """
    with tempfile.TemporaryDirectory(prefix="chainchat-") as folder:
        with opened(path) as database, closing(sqlite3.connect(Path(folder) / DATABASE)) as copy:
            database.backup(copy)
        try:
            with closing(SQLiteStorage(Path(folder))) as storage:
                yield from _messages(storage, after, name)
        except StorageError as error:
            raise OfflineError(str(error)) from None


def _messages(storage: SQLiteStorage, after: int, name: str) -> Iterator[ChatMessage]:
    machine = StateMachine(storage)
    while machine.state.applied < storage.last.seq:
        for entry in storage.read(machine.state.applied, storage.last.seq, OCTETS_AT_ONCE):
            machine.apply(entry)
    account = machine.state.account_named(name) if name else None
    if name and account is None:
        raise OfflineError(f"there is no account {name} in these data")
    number = NOBODY if account is None else account.number
    while page := list(machine.history.oldest(number, after, AT_ONCE)):
        yield from page
        after = page[-1].id
