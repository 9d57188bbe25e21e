"""Side files keep the entries cut off a log: none is lost silently."""

import json
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from msgspec import msgpack

from chainchat.chain.entries import UNDECODABLE, Entry
from chainchat.storage.durable import sync, sync_folder
from chainchat.storage.private import open_private


def write_side_file(folder: Path, first: int, last: int, entries: Iterable[Entry]) -> Path:
    """Write a new side file, which is on disk when this returns."""
    paths = (folder / f"cut-{first}-{last}-{number}.jsonl" for number in count(1))
    path = next(path for path in paths if not path.exists())
    with open(path, "x", encoding="utf-8", opener=open_private) as file:
        file.writelines(map(_line, entries))
        file.flush()
        sync(file.fileno())
    sync_folder(folder)
    return path


def _line(entry: Entry) -> str:
    """Return JSON, readable for people, with all octets for programs."""
    fields = {
        "seq": entry.seq,
        "epoch": entry.epoch,
        "origin": entry.origin,
        "number": entry.number,
        "time": entry.time,
        "span": entry.span,
        "command": _readable(entry.command),
        "octets": entry.command.hex(),
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _readable(command: bytes) -> str:
    try:
        return repr(msgpack.decode(command))
    except UNDECODABLE:
        return repr(command)
