"""The process of a node: open files, garbage collection, wall clock."""

import gc
import resource
import sys
import time
from contextlib import suppress


def raise_file_limit() -> int:
    """Take as many open files as the system gives, and return that number."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def collect_garbage_rarely() -> None:
    """Leave nearly everything to be freed with its last reference.

    Python's default costs a fifth of a busy node's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def utc_milliseconds() -> int:
    return time.time_ns() // 1_000_000
