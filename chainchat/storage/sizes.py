"""The size of a node's data; other files are mostly what was cut off the log."""

import os
from collections import Counter
from pathlib import Path

from chainchat.storage.interface import StorageError

DATABASE, LOG, OTHER = "database", "write-ahead log", "other files"
KINDS = {".sqlite": DATABASE, ".sqlite-wal": LOG, ".sqlite-shm": LOG}


def sizes(data: Path) -> dict[str, int]:
    """Return octets, by kind of file.

    Raises:
        StorageError: the folder cannot be read.
    """
    found: Counter[str] = Counter(dict.fromkeys((DATABASE, LOG, OTHER), 0))
    try:
        with os.scandir(data) as files:
            for file in files:
                if file.is_file(follow_symlinks=False):
                    kind = KINDS.get(Path(file.name).suffix, OTHER)
                    found[kind] += file.stat(follow_symlinks=False).st_size
    except OSError as error:
        raise StorageError(f"{data}: {error.strerror}") from error
    return dict(found)
