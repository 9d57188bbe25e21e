"""Processes that do one thing beside a test, so that what they cost is not in what it measures."""

import ctypes
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from talking import DEADLINE

PR_SET_PDEATHSIG = 1
"""Linux: a signal for this process when its parent has ended."""

ENDS_WITHIN = 5.0
"""Seconds that a helper has for a polite end."""

_processes = multiprocessing.get_context("fork")


class Helper:
    """One function in a process of its own, from ``with`` on; ended by its id."""

    def __init__(self, act: Callable[..., None], *arguments: Any, nice: int = 0) -> None:
        """Prepare.

        Args:
            act: what it does; ``SystemExit`` raised within ends it.
            nice: how far it stands back where processors are short.
        """
        self._process = _processes.Process(
            target=_run, args=(os.getpid(), nice, act, arguments), daemon=True
        )

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def running(self) -> bool:
        """True if it has not come to its end."""
        return self._process.is_alive()

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None
        return pid

    def end(self) -> None:
        """End it, politely at first."""
        for stop in (self._process.terminate, self._process.kill):
            if self._process.is_alive():
                stop()
            self._process.join(ENDS_WITHIN)

    def wait(self, within: float = DEADLINE) -> None:
        self._process.join(within)
        assert not self.running, f"a helper is not done within {within:g} s"
        assert self._process.exitcode == 0, f"a helper failed: status {self._process.exitcode}"


def _run(parent: int, nice: int, act: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends helpers
    os.nice(nice)
    if os.getppid() == parent:
        act(*arguments)


def _end(*_: object) -> None:
    raise SystemExit


def resident(pid: int) -> int:
    """Octets of memory that a process has; 0 where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


def shared(count: int) -> Any:
    """So many numbers that a helper and its parent both see, all 0."""
    return _processes.Array("d", count, lock=False)


def pipe() -> tuple[Any, Any]:
    """Two ends; what is sent to one comes out of the other."""
    return _processes.Pipe()
