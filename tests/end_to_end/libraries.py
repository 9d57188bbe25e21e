"""Libraries in C that are preloaded into processes; the tests make them."""

import shutil
import subprocess
import sys
from pathlib import Path

from cluster import Node


class NoCompilerError(Exception):
    """There is nothing here to make a library with; says why."""


def make_library(name: str, folder: Path) -> Path:
    """Make the library of this name, whose source is beside this file.

    Raises:
        NoCompilerError: it cannot be done here.
    """
    assert " " not in str(folder), "LD_PRELOAD is a list"
    if sys.platform != "linux":
        raise NoCompilerError("the library is for Linux")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoCompilerError("there is no C compiler")
    source, library = Path(__file__).with_name(f"{name}.c"), folder / f"{name}.so"
    options = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]
    subprocess.run([compiler, *options, "-o", library, source, "-ldl", "-lpthread"], check=True)
    return library


def preload(node: Node, library: Path, **environment: str) -> None:
    """Let a node's next processes begin with this library, which looks at this environment."""
    loaded = filter(None, [node.environment.get("LD_PRELOAD"), str(library)])
    node.environment |= {"LD_PRELOAD": " ".join(loaded), **environment}
