"""What ``twistd`` loads first: takes the standard files before anything else is opened.

Whoever starts a daemon may have closed them. The reactor's own files would get their numbers, which
twistd gives to ``/dev/null`` when the process becomes a daemon.
"""

import os

LAST = 2
"""The standard error."""


def take_standard_files() -> None:
    """Open ``/dev/null`` in the place of each that is closed."""
    while (file := os.open(os.devnull, os.O_RDWR)) <= LAST:
        pass
    os.close(file)


take_standard_files()

from chainchat.tap import Options, makeService  # noqa: E402 - the reactor is made there

__all__ = ["Options", "makeService"]
