"""What the benchmarks share.

``writing`` and ``fanning`` are the load generators. They know of a server's protocol only what its
*dialect* tells them, so all servers have the same work: ``chain`` starts chainchat's and speaks its
dialect; ``nats``, ``redis`` and ``irc`` do so for others, with what these have in common in
``peers``. ``connections`` are sockets, ``processes`` reads what a process has used, ``report``
prints tables, writes files and draws.

They need Linux (epoll and /proc), and what the tests need (``pip install -e '.[test]'``).
"""

import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# The chains of real processes are those of the end-to-end tests.
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "end_to_end")]

# A benchmark that is told to end stops what it has started, as it does after Ctrl-C.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
