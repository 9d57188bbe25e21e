"""What the benchmarks share.

``systems`` starts the servers that are measured, chainchat's in ``chain``; ``writing`` and
``fanning`` are the load generators, which know of a server's protocol only what its *dialect* tells
them; ``processes`` reads what a process has used; ``report`` prints tables and writes files.

They need Linux (epoll and /proc), and what the tests need (``pip install -e '.[test]'``).
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# The chains of real processes are those of the end-to-end tests.
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "end_to_end")]
