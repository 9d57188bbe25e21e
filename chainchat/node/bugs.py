"""Errors in what was done for one client: they end that, and not the node."""

import traceback

from twisted.logger import Logger
from twisted.python.failure import Failure

MOST_KINDS = 20

log = Logger()


class Bugs:
    """What was wrong in one life; ``position`` is the node's."""

    def __init__(self, position: str) -> None:
        self._position = position
        self._known: set[tuple[type, str, int | None]] = set()

    def note(self, error: Exception, ended: str) -> None:
        """Log an error; one that comes again, as a client may make it, is known.

        ``ended`` is what it ended.
        """
        [*_, innermost] = traceback.extract_tb(error.__traceback__)
        kind = type(error), innermost.filename, innermost.lineno
        if kind not in self._known and len(self._known) < MOST_KINDS:
            self._known.add(kind)
            text = "{node}: a bug ended {ended}"
            log.failure(text, Failure(error), node=self._position, ended=ended, event="bug")
