"""What the system keeps of files in its memory, and what of that is on the disk.

SQLite writes through a file system of this module (a VFS), which lies over its usual one; so does
whoever uses ``System`` in the place of the module ``os``. All goes to real files; beside that it is
known what each sync has put on the disk, so a machine can lose its power.
"""

import _sqlite3
import ctypes
import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

OK, SYNC_FAILED = sqlite3.SQLITE_OK, sqlite3.SQLITE_IOERR_FSYNC
"""As SQLite names them."""


class Written(NamedTuple):
    """A write that no sync has followed yet."""

    offset: int
    data: bytes


class Truncated(NamedTuple):
    """Likewise, a change of a file's length."""

    length: int


class Pages:
    """The files of one folder: as they are on the disk, and what was written since.

    After a failed sync, the system shows what was written as if it were on the disk, and no later
    sync writes it.

    Attributes:
        fails_in: how the name of the file ends whose sync that is.
        trace: each write and sync, with the name of the file.
        stuck: every sync fails, because the process is about to die.
    """

    def __init__(self, folder: Path) -> None:
        """A folder all of whose files are on the disk."""
        self.folder = folder
        self.failing = self.stuck = self.failed = False
        self.fails_in = ""
        self.trace: list[tuple[str, str]] = []
        self._on_disk = {path.name: bytearray(path.read_bytes()) for path in folder.iterdir()}
        self._unsynced: dict[str, list[Written | Truncated]] = {}
        self._named = set(self._on_disk)

    # --- what the process does

    def wrote(self, name: str, offset: int, data: bytes) -> None:
        self.trace.append(("write", name))
        self._unsynced.setdefault(name, []).append(Written(offset, data))

    def truncated(self, name: str, length: int) -> None:
        self._unsynced.setdefault(name, []).append(Truncated(length))

    def sync(self, name: str) -> bool:
        """What was written to a file since its last sync is on the disk, unless that fails."""
        self.trace.append(("sync", name))
        if self.stuck:  # it never comes to that
            return False
        unsynced = self._unsynced.pop(name, [])
        if self.failing and name.endswith(self.fails_in):
            self.failing, self.failed = False, True
            return False
        _carry_out(unsynced, self._on_disk.setdefault(name, bytearray()))
        return True

    def sync_whole(self, name: str) -> None:
        """The same of a file that was written in a way that is not seen here."""
        self._on_disk[name] = bytearray((self.folder / name).read_bytes())

    def sync_names(self) -> None:
        self._named = {path.name for path in self.folder.iterdir()}

    @property
    def seen(self) -> set[str]:
        return {*self._unsynced, *self._on_disk}

    # --- what happens to it

    def move(self, folder: Path) -> "Pages":
        """The process has died: the same in another folder, for the next one."""
        for path in self._files():
            (folder / path.name).write_bytes(path.read_bytes())
        moved = Pages(folder)
        moved._on_disk, moved._unsynced, moved._named = self._on_disk, self._unsynced, self._named
        return moved

    def lose_power(self, folder: Path, chance: random.Random) -> "Pages":
        """The same, and some of what no sync has followed is not there."""
        share = chance.choice((0.0, 0.0, 0.5, 0.9))
        for name in sorted({path.name for path in self._files()} & self._named):
            content = bytearray(self._on_disk.get(name, b""))
            unsynced = self._unsynced.get(name, [])
            _carry_out([one for one in unsynced if chance.random() < share], content)
            (folder / name).write_bytes(content)
        return Pages(folder)

    def _files(self) -> list[Path]:
        """Those that count for the next process: locks and shared memory are its own."""
        kept = (path for path in self.folder.iterdir() if path.name != "lock")
        return [path for path in kept if not path.name.endswith("-shm")]


def _carry_out(changes: list[Written | Truncated], content: bytearray) -> None:
    for change in changes:
        match change:
            case Written(offset, data):
                if len(content) < offset:
                    content.extend(bytes(offset - len(content)))
                content[offset : offset + len(data)] = data
            case Truncated(length):
                del content[length:]
                content.extend(bytes(length - len(content)))


class System:
    """The module ``os``, as far as it is used on files whose pages are watched."""

    def __init__(self, watched: dict[Path, Pages]) -> None:
        self._watched = watched

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def pwrite(self, file: int, data: bytes, offset: int) -> int:
        """See ``os``."""
        written = os.pwrite(file, data, offset)
        for pages, name in self._found(file):
            pages.wrote(name, offset, bytes(data[:written]))
        return written

    def fsync(self, file: int) -> None:
        """See ``os``."""
        for pages in self._watched.values():
            if _is(file, pages.folder):
                pages.sync_names()
        for pages, name in self._found(file):
            if name not in pages.seen:
                pages.sync_whole(name)
            elif not pages.sync(name):
                raise OSError(5, "Input/output error")

    fdatasync = fsync

    def _found(self, file: int) -> Iterator[tuple[Pages, str]]:
        for pages in self._watched.values():
            for path in pages.folder.iterdir():
                if _is(file, path):
                    yield pages, path.name


def _is(file: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(file), path.stat())


# --- the file system for SQLite: see "The OS Interface" in its documentation


class _Vfs(ctypes.Structure):
    """``sqlite3_vfs``."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
        ("others", ctypes.c_void_p * 15),
    )


class _Methods(ctypes.Structure):
    """``sqlite3_io_methods``."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("close", ctypes.c_void_p),
        ("read", ctypes.c_void_p),
        ("write", ctypes.c_void_p),
        ("truncate", ctypes.c_void_p),
        ("sync", ctypes.c_void_p),
        ("others", ctypes.c_void_p * 13),
    )


_Open = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
)
_Write = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
)
_Truncate = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
_Sync = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


def _library() -> ctypes.CDLL:
    """SQLite, as Python's own module has it."""
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    library.sqlite3_vfs_register.argtypes = [ctypes.POINTER(_Vfs), ctypes.c_int]
    library.sqlite3_vfs_unregister.argtypes = [ctypes.POINTER(_Vfs)]
    return library


class FileSystem:
    """The usual one of SQLite, in which what is written to some folders is seen."""

    def __init__(self) -> None:
        self.watched: dict[Path, Pages] = {}
        self._library = _library()
        self._usual: _Vfs = self._library.sqlite3_vfs_find(None).contents
        self._vfs = _Vfs.from_buffer_copy(self._usual)
        self._vfs.name = b"watched"
        self._open_usually = _Open(self._usual.open)
        self._opened = _Open(self._open)
        self._vfs.open = ctypes.cast(self._opened, ctypes.c_void_p)
        self._methods: dict[int, tuple[Any, ...]] = {}
        """By the address of the usual ones, what has to stay where it is in memory."""
        self._files: dict[int, Path] = {}

    @contextmanager
    def in_use(self) -> "Iterator[FileSystem]":
        """SQLite opens files through it."""
        self._library.sqlite3_vfs_register(self._vfs, 1)
        try:
            yield self
        finally:
            self._library.sqlite3_vfs_register(self._usual, 1)
            self._library.sqlite3_vfs_unregister(self._vfs)

    def _open(self, vfs: int, name: int | None, file: int, flags: int, given: int | None) -> int:
        result: int = self._open_usually(vfs, name, file, flags, given)
        if result == OK and name:
            self._files[file] = Path(os.fsdecode(ctypes.string_at(name)))
            methods = ctypes.cast(file, ctypes.POINTER(ctypes.c_void_p))
            usual = methods[0]
            if usual is not None:
                methods[0] = ctypes.addressof(self._seen(usual)[0])
        return result

    def _seen(self, address: int) -> tuple[Any, ...]:
        """The methods of a file, whose writes and syncs are seen."""
        if address in self._methods:
            return self._methods[address]
        usual = _Methods.from_address(address)
        write, truncate, sync = _Write(usual.write), _Truncate(usual.truncate), _Sync(usual.sync)

        def written(file: int, data: int, octets: int, offset: int) -> int:
            result: int = write(file, data, octets, offset)
            pages = self._pages(file)
            if result == OK and pages is not None:
                pages.wrote(self._files[file].name, offset, ctypes.string_at(data, octets))
            return result

        def truncated(file: int, length: int) -> int:
            result: int = truncate(file, length)
            pages = self._pages(file)
            if result == OK and pages is not None:
                pages.truncated(self._files[file].name, length)
            return result

        def synced(file: int, flags: int) -> int:
            pages = self._pages(file)
            if pages is None:
                return int(sync(file, flags))
            return OK if pages.sync(self._files[file].name) else SYNC_FAILED

        methods = _Methods.from_buffer_copy(usual)
        calls = _Write(written), _Truncate(truncated), _Sync(synced)
        methods.write, methods.truncate, methods.sync = (
            ctypes.cast(call, ctypes.c_void_p) for call in calls
        )
        self._methods[address] = (methods, *calls)
        return self._methods[address]

    def _pages(self, file: int) -> Pages | None:
        path = self._files.get(file)
        return None if path is None else self.watched.get(path.parent)
