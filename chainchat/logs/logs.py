"""The log of a node: text or JSON lines, at a level, into a file that others may move away.

The keyword ``event`` of each call is a word that never changes; docs/reference.md lists them.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEventAsClassicLogText,
    formatTime,
)
from twisted.python.logfile import LogFile

from chainchat.config import LogFormat

LEVELS = tuple(level.name for level in LogLevel.iterconstants())

OTHER = "twisted"
"""The ``event`` of lines that other packages log."""


class Logs:
    """Where, how and how much this process logs.

    ``name`` is the name of the file; empty for standard output.
    """

    def __init__(self) -> None:
        self._threshold = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
        self._level = "info"
        self.name = ""
        self.form = LogFormat.TEXT
        self._file: LogFile | None = None

    @property
    def level(self) -> str:
        """The level below which nothing is logged."""
        return self._level

    @level.setter
    def level(self, level: str) -> None:
        """Set the level.

        Raises:
            ValueError: there is no such level.
        """
        self._threshold.setLogLevelForNamespace("", LogLevel.levelWithName(level))
        self._level = level

    def observer(self) -> FilteringLogObserver:
        out: Any = sys.stdout
        if self.name:
            out = self._file = LogFile.fromFullPath(self.name)
        formatted = as_json if self.form is LogFormat.JSON else formatEventAsClassicLogText
        written: Any = FileLogObserver(out, formatted)
        threshold: Any = self._threshold  # zope's interfaces are no types
        return FilteringLogObserver(written, [threshold])

    def renew(self) -> None:
        """Open the file anew if somebody has moved it away; else move it away."""
        file = self._file
        if file is None:
            return
        try:
            moved = not os.path.samestat(os.stat(file.path), os.fstat(file._file.fileno()))
        except FileNotFoundError:
            moved = True
        if moved:
            file.reopen()
        else:
            file.rotate()


def as_json(event: LogEvent) -> str:
    """Return a line with ``time``, ``level``, ``event``, ``text`` and mostly ``position``."""
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    position = next((event[key] for key in ("position", "node", "me") if key in event), None)
    if position is not None:
        text = text.removeprefix(f"{position}: ")
    shown = {
        "time": formatTime(event.get("log_time")),
        "level": event["log_level"].name if "log_level" in event else "info",
        "event": event.get("event", OTHER),
        **({"position": position} if position is not None else {}),
        "text": text,
    }
    return json.dumps(shown, ensure_ascii=False) + "\n"


def handle_signals(renew: Callable[[], Any]) -> None:
    """Let SIGUSR1 renew the log, and SIGUSR2 do nothing: by default either ends a process."""
    signal.signal(signal.SIGUSR1, lambda *_: renew())
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
