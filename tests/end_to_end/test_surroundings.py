"""What surrounds a node: it serves wherever it is started, and however."""

import os
from collections.abc import Callable

import pytest
from cluster import Cluster, Node
from talking import Person

NewCluster = Callable[..., Cluster]

ODD_PATH = "a b\n'\"%s%p\\" + os.fsdecode(b"\xff")
"""With nearly all that a file system takes and programs stumble over."""


def started_by(node: Node, script: str, **variables: str) -> None:
    """Let a shell do something before it becomes the node."""
    node.launcher = ["sh", "-c", f'{script}; exec "$@"', "sh"]
    node.environment |= variables


@pytest.mark.plain("a certificate is looked for beside chain.ini")
def test_odd_surroundings(new_cluster: NewCluster) -> None:
    cluster = new_cluster()
    head, middle, tail = cluster.nodes.values()
    started_by(head, "exec <&- >&- 2>&-")
    started_by(middle, "umask 777; unset HOME TMPDIR", LC_ALL="POSIX", PYTHONOPTIMIZE="2")
    middle.config = cluster.folder / ODD_PATH / "chain.ini"
    middle.config.parent.mkdir()
    middle.config.write_text((cluster.folder / "chain.ini").read_text())
    started_by(tail, "ulimit -n 256", TMPDIR="/nonexistent", PYTHONWARNINGS="error")
    cluster.start()
    assert (middle.config.parent / "var/middle/chainchat.sqlite").exists()
    with Person(middle.address, "alice") as alice, Person(tail.address, "bob") as bob:
        assert alice.ask("hello").startswith("+OK")
        bob.hear("alice: hello")
    cluster.stop()
