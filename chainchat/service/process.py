"""The process of a node: open files, garbage collection, wall clock."""

import gc
import resource
import sys
import time
from contextlib import suppress

MOST_NEW = 10_000
"""New objects before the collector looks at them: 1 ms, or 4 if it frees all.

A busy node has fewer on their way.
"""


def raise_file_limit() -> int:
    """Take as many open files as the system gives, and return that number."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def collect_garbage_rarely() -> None:
    """Leave nearly everything to be freed with its last reference.

    Python's default costs a fifth of a busy node's time. A connection leaves 15 to 70 objects to
    the collector, which looks at all new ones in one turn.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(MOST_NEW, 200, 20)


def utc_milliseconds() -> int:
    return time.time_ns() // 1_000_000
