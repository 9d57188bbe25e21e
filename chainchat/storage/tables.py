"""The tables of a node's database."""

import sqlite3

COPIED = {
    "log": "(last INTEGER PRIMARY KEY, committed INTEGER NOT NULL, entries BLOB NOT NULL)",
    "records": "(place INTEGER PRIMARY KEY, seq INTEGER NOT NULL, data BLOB NOT NULL)",
    "messages": """(
        reader INTEGER, last INTEGER, run BLOB NOT NULL, PRIMARY KEY (reader, last)
    ) WITHOUT ROWID""",
}
"""The tables that a learner copies.

``place``: twice a record's key, or one more. No data: the record was removed.
"""

OWN = {
    "committed": "(only INTEGER PRIMARY KEY CHECK (only = 1), seq INTEGER NOT NULL)",
    "membership": "(only INTEGER PRIMARY KEY CHECK (only = 1), record BLOB NOT NULL)",
    "checkpoint": """(
        only INTEGER PRIMARY KEY CHECK (only = 1),
        begun INTEGER NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL, head BLOB NOT NULL
    )""",
}
"""``digest``: of the entry ``seq``; a checkpoint belongs to one log."""

ADDED = {
    "beginning": """(
        only INTEGER PRIMARY KEY CHECK (only = 1),
        epoch INTEGER NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL
    )""",
    "staged": "(only INTEGER PRIMARY KEY CHECK (only = 1), note BLOB NOT NULL)",
}
"""Tables that older versions lack.

``beginning``: the entry before the log's first; no row while the log has that one.
"""

STAGED = "staged_"
"""Prefix of the tables that a learner fills."""

GONE = "gone_"
"""Prefix of the tables that nobody needs."""


def create(database: sqlite3.Connection, tables: dict[str, str], prefix: str = "") -> None:
    for name, columns in tables.items():
        database.execute(f"CREATE TABLE IF NOT EXISTS {prefix}{name} {columns}")


def rename(database: sqlite3.Connection, old: str, new: str) -> None:
    for name in COPIED:
        database.execute(f"ALTER TABLE {old}{name} RENAME TO {new}{name}")
