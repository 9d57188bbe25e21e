"""What the benchmarks share.

``writing`` and ``fanning`` are the load generators, which know a server's protocol only by its
*dialect*: ``chain`` starts chainchat's servers and speaks theirs; ``nats``, ``redis`` and ``irc``
do so for others.
"""

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

if find_spec("scramp") is None:
    sys.exit(f"{Path(sys.argv[0]).name} needs what the tests need: bin/venv --test installs it")

# The chains of real processes are those of the end-to-end tests.
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "end_to_end")]

# A benchmark that is told to end stops what it has started, as it does after Ctrl-C.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
