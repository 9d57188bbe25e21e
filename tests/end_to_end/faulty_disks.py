"""Disks that fail, are slow and forget: a library that is preloaded into a node's process.

``faulty_disk.c`` says how it works. The tests make it, once.
"""

import shutil
from pathlib import Path

from cluster import Node, copy_data
from libraries import preload

FOR_EVER = 1_000_000_000

DATABASE, LOG = "chainchat.sqlite", "chainchat.sqlite-wal"
"""The files that are synced."""


class FaultyDisk:
    """The disk of one node, which has not been started yet.

    Attributes:
        control: the file that says what fails, as the library reads it.
    """

    def __init__(self, node: Node, library: Path, folder: Path) -> None:
        """A disk that is well.

        Args:
            library: made of ``faulty_disk.c``.
            folder: for what the library needs.
        """
        self._node = node
        self._disk = folder / f"disk of {node.position}"
        self._disk.mkdir(parents=True)
        self.control = folder / f"control of {node.position}"
        preload(
            node,
            library,
            FAULTY_DATA=str(node.data.resolve()),
            FAULTY_DISK=str(self._disk),
            FAULTY_CONTROL=str(self.control),
        )

    def fails(self, ending: str = "", *, first: int = 1, count: int = FOR_EVER) -> None:
        """Let syncs fail from now on: of files that end so, from the first on, so many."""
        self._order(first, count, 0, ending)

    def is_slow(self, milliseconds: int, ending: str = "") -> None:
        """Let every sync of files that end so take longer from now on."""
        self._order(FOR_EVER, 0, milliseconds, ending)

    def is_well(self) -> None:
        self.control.unlink(missing_ok=True)

    def _order(self, first: int, count: int, delay: int, ending: str) -> None:
        order = self.control.with_suffix(".new")
        order.write_text(f"FAIL {first} {count} {delay} {ending}\n")
        order.rename(self.control)

    def loses_power(self) -> None:
        """Kill the node, if it runs; what was not on its disk is gone."""
        if self._node.running:
            self._node.kill()
        for file in self._node.data.iterdir():
            if file.is_file() and file.name != "lock":
                file.unlink()
        for kept in self._disk.iterdir():
            if kept.suffix == ".unsynced":
                kept.write_bytes(b"")
            else:
                shutil.copy(kept, self._node.data / kept.name)

    def is_another(self, files: Path | None = None) -> None:
        """Put another disk into the node, which does not run: a copy of these files, or nothing."""
        for folder in (self._node.data, self._disk):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        if files is not None:
            copy_data(files, self._node.data)
            for kept in files.iterdir():
                if kept.is_file() and kept.name != "lock":
                    shutil.copy(kept, self._disk / kept.name)
