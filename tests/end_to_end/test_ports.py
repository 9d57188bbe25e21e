"""The ports of nodes: tests that run at the same time have others."""

import random
from typing import Any

from helpers import Helper, pipe
from ports import free_ports

PORTS = 30


def give(to: Any) -> None:
    """Take the ports that come first with one seed, and keep them until somebody answers."""
    random.seed(1)
    to.send(free_ports(PORTS))
    to.recv()


def test_two_processes_are_never_given_the_same_port() -> None:
    here, there = pipe()
    state = random.getstate()
    try:
        with Helper(give, there) as helper:
            theirs = here.recv()
            random.seed(1)
            assert not {*theirs} & {*free_ports(PORTS)}
            here.send(None)
            helper.wait()
    finally:
        random.setstate(state)
