"""The versions of a node's database that this release reads."""

import sqlite3

from chainchat.storage import tables
from chainchat.storage.interface import StorageError

APPLICATION_ID = 0x63686174
SCHEMA_VERSION = 8
"""Increased where an older chainchat would misread the log or checkpoints."""
READ_TOO = (6, 7)
"""Older versions, to which this one only adds."""


def prepare(database: sqlite3.Connection, name: str) -> bool:
    """Make a database ready; return whether it lacks tables of this version.

    Raises:
        StorageError: a foreign file, or one this release does not read; it is unchanged.
    """
    if is_new(database):
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table
    else:
        _check_owner(database, name)
    database.execute("PRAGMA journal_mode = WAL")
    return _pragma(database, "user_version") != SCHEMA_VERSION


def create(database: sqlite3.Connection) -> None:
    tables.create(database, tables.COPIED | tables.OWN | tables.ADDED)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def is_new(database: sqlite3.Connection) -> bool:
    found: int = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return not found


def _pragma(database: sqlite3.Connection, name: str) -> int:
    value: int = database.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _check_owner(database: sqlite3.Connection, name: str) -> None:
    if _pragma(database, "application_id") != APPLICATION_ID:
        raise StorageError(f"{name}: a database, but not one of chainchat's")
    version = _pragma(database, "user_version")
    if version != SCHEMA_VERSION and version not in READ_TOO:
        raise StorageError(
            f"{name}: written by another version of chainchat (schema {version}, "
            f"this one knows {SCHEMA_VERSION})"
        )
