"""``chainchatctl backup``, ``inspect`` and ``export``: data on this machine's disks.

A backup made here costs the node nothing, and may go wherever who asks may write.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from chainchat import config
from chainchat.ctl.asking import Connection, RefusedError, UnreachableError, tell_to_wait
from chainchat.storage import durable

DATABASE = "chainchat.sqlite"
AT_ONCE = -1
"""Copy all pages in one step, or a writer would make the backup begin again."""

BUSY_SECONDS = 30.0


def backup(node: config.NodeSettings, to: Path) -> int:
    """Copy a running node's data to a new file, for its owner alone; return its size in octets.

    The file gets its name when it is whole and on the disk.

    Raises:
        UnreachableError: the node does not run, or the file cannot be written.
        RefusedError: the file is there already.
    """
    Connection(node).close()  # it runs, and whoever asks is its owner
    if to.exists() or to.is_symlink():
        raise RefusedError(f"{to} is there already: choose another name, or remove it first")
    part = to.with_name(f".{to.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        try:
            _copy(node.data / DATABASE, part)
            _sync(part)
            os.link(part, to)  # replaces nothing, unlike a rename
        finally:
            part.unlink(missing_ok=True)
        _sync(to.parent)
    except FileExistsError:
        raise RefusedError(
            f"{to}: somebody makes the same backup, or {part} is left over"
        ) from None
    except (OSError, sqlite3.Error) as error:
        raise UnreachableError(f"{to}: no backup was made: {error}") from None
    return to.stat().st_size


def _copy(database: Path, to: Path) -> None:
    uri = f"{database.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as source,
        closing(sqlite3.connect(to)) as copy,
    ):
        source.backup(copy, pages=AT_ONCE)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without companions
    for suffix in ("-wal", "-shm", "-journal"):
        to.with_name(to.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        durable.sync(file)
    finally:
        os.close(file)


def inspected(path: Path) -> dict[str, Any]:
    """Return what a data folder or a backup holds, in figures.

    Raises:
        UnreachableError: it cannot be read.
    """
    from chainchat.ctl import offline  # noqa: PLC0415 - it knows what a node knows, and loads as long

    try:
        return offline.inspected(path)
    except offline.OfflineError as error:
        raise UnreachableError(str(error)) from None


def described(path: Path, found: dict[str, Any]) -> Iterator[str]:
    position = found["position"] or "no member"
    yield f"{path}: {position}, schema {found['schema']}"
    yield "life: incarnation {incarnation} of {id}".format(**found)
    members = " -> ".join(member["position"] for member in found["members"]) or "nobody"
    yield f"chain: epoch {found['epoch']} ({members}): {found['why']}"
    if found["vote"]:
        yield f"vote: for {found['vote']}"
    yield "log: from {begin} to {end}, committed up to {committed}".format(**found)
    yield f"digest: {found['digest']}"
    yield f"checkpoint: as of {found['checkpoint']}"
    for entry in found["newest"]:
        yield "entry {seq}: epoch {epoch}, {time}, {command}".format(**entry)


def export(node: config.NodeSettings | None, path: Path | None, after: int, name: str) -> None:
    """Write messages as JSON lines: those to everybody, and from or to ``name``.

    Args:
        node: asked, if no ``path`` is given.
        after: only messages above this id.
        name: an account; empty for none.

    Raises:
        RefusedError: there is no such account.
        UnreachableError: the data cannot be read, or the node not be asked.
    """
    for message in _from_node(node, after, name) if node else _from_data(path, after, name):
        print(json.dumps(message, ensure_ascii=False))


def _from_node(node: config.NodeSettings, after: int, name: str) -> Iterator[dict[str, Any]]:
    connection = Connection(node)
    try:
        yield from connection.ask(f"export {after} {name}".rstrip(), tell_to_wait)
    finally:
        connection.close()


def _from_data(path: Path | None, after: int, name: str) -> Iterator[dict[str, Any]]:
    from chainchat.ctl import offline  # noqa: PLC0415 - as above
    from chainchat.node.times import shown_time  # noqa: PLC0415

    assert path is not None
    try:
        for one in offline.exported(path, after, name):
            time = shown_time(one.time)
            yield {"id": one.id, "time": time, "from": one.sender, "to": one.to, "text": one.text}
    except offline.OfflineError as error:
        raise UnreachableError(str(error)) from None
