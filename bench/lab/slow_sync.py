"""Makes the syncs of all servers slower, as those of another disk."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


@contextmanager
def slower_syncs(milliseconds: float) -> Iterator[None]:
    """Each sync of a process that is started meanwhile takes so much longer.

    Raises:
        subprocess.CalledProcessError: the C compiler fails.
    """
    if not milliseconds:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="slow-sync-") as folder:
        library = Path(folder, "slow_sync.so")
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True)
        more = {"LD_PRELOAD": str(library), "SLOW_SYNC": str(round(milliseconds * 1000))}
        before = {name: os.environ.get(name) for name in more}
        os.environ.update(more)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
