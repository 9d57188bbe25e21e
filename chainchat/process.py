"""The process that a node lives in: its limit of open files, its collection of garbage."""

import gc
import resource
import sys
from contextlib import suppress


def raise_file_limit() -> int:
    """A connection is an open file: take as many as the system gives. How many these are."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def collect_garbage_rarely() -> None:
    """Nearly everything here is freed by its last reference.

    To look for the rest after every 700 objects costs a fifth of a busy node's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
