"""What processes have used, and what this one may use: read from /proc, so Linux alone."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

TICKS = os.sysconf("SC_CLK_TCK")
"""Units of processor time in a second; 10 ms each, usually."""

STOPS_WITHIN = 10.0
"""Seconds that a server has for a polite end."""


class Ticks(NamedTuple):
    """Time of all processors since the start of this machine: units of ``TICKS``."""

    all: int
    stolen: int
    """By other machines on the same hardware, as far as it tells."""


def processor_ticks() -> Ticks:
    """So far."""
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()
    times = [int(each) for each in fields[1:9]]  # those of guests are in the others already
    return Ticks(sum(times), times[7])


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far, in all its threads, the kernel's part too."""
    # The name in parentheses may hold anything; behind it the fields have fixed places.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    """How much of a process is in memory."""
    return _status_bytes(pid, "VmRSS:")


def peak_bytes(pid: int) -> int:
    """The most that was in memory since the start, or since ``reset_peak``."""
    return _status_bytes(pid, "VmHWM:")


def reset_peak(pid: int) -> None:
    """Forget the peak so far."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status_bytes(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has no memory: it has ended")


@contextmanager
def on_processors(processors: set[int]) -> Iterator[None]:
    """What this thread does and starts meanwhile runs on these processors alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Meter:
    """Processor time of servers and of this process, from its making or ``restart`` on."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        """``pids``: by what the servers are called in the results."""
        self._pids = pids
        self.restart()

    def restart(self) -> None:
        """Count from here."""
        self._before = self._now()

    def used(self) -> dict[str, float]:
        """Seconds by server; ``generator`` is this process."""
        return {name: now - self._before[name] for name, now in self._now().items()}

    def _now(self) -> dict[str, float]:
        servers = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        return {**servers, "generator": time.process_time()}


def per_million(seconds: Mapping[str, float], messages: int) -> dict[str, float]:
    """Processor seconds per million messages; ``servers`` is all but the generator."""
    cost = {name: used * 1e6 / max(messages, 1) for name, used in seconds.items()}
    servers = sum(each for name, each in cost.items() if name != "generator")
    return {**cost, "servers": servers}


def allow_open_files(count: int) -> int:
    """Let this process and its children open so many files, or fewer; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in ((max(count, soft), max(count, hard)), (min(count, hard), hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        except (OSError, ValueError):
            continue
        break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Server:
    """A process that was started here, and is ended by its id."""

    def __init__(self, command: Sequence[str], log: Path, **options: object) -> None:
        """The options are those of ``subprocess.Popen``."""
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C is for the benchmark, which then ends the servers
                **options,
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        pid: int = self._process.pid
        return pid

    def must_run(self) -> None:
        """Complain if it has ended."""
        if self._process.poll() is not None:
            end = "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])
            raise ServerError(f"{self._process.args[0]} has ended:\n{end}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, politely at first."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(number)
            try:
                self._process.wait(STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                continue
            return


class ServerError(Exception):
    """A server that is measured does not do what it should."""
