"""Whoever is refused, or sent away, reads why: also who types on meanwhile, with nc."""

import fcntl
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Callable

import pytest
from cluster import Node, wait_for_log
from conftest import NewCluster
from talking import Caller, until

from chainchat.network.farewell import DRAIN_SECONDS

TIMES = 20

NOT_RESET = (1, 8)
"""States of a connection (linux/tcp.h): the other side has half-closed it; with TLS, not yet."""

SINCE_DATA = 52
"""Where the milliseconds stand since something was received (tcpi_last_data_recv)."""

TYPING = "(for i in 1 2 3 4 5; do echo /chain; sleep 0.05; done; sleep 0.3) | {nc} {host} {port}"
"""Somebody who types on and on, whatever the answer; nc ends with them."""


@pytest.fixture
def typed(nc: str) -> Callable[[tuple[str, int]], list[str]]:
    """What each of twenty people reads who call at once."""

    def read(address: tuple[str, int]) -> list[str]:
        command = TYPING.format(nc=nc, host=address[0], port=address[1])
        callers = [
            subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True)
            for _ in range(TIMES)
        ]
        return [caller.communicate(timeout=60)[0] for caller in callers]

    return read


def test_who_calls_a_node_that_waits_reads_for_whom(
    new_cluster: NewCluster, typed: Callable[[tuple[str, int]], list[str]]
) -> None:
    cluster = new_cluster()
    cluster["middle"].start()
    wait_for_log(cluster["middle"], "waiting for head, tail")
    for heard in typed(cluster["middle"].address):
        assert "-ERR 421 the chain is not founded yet: waiting for head, tail" in heard


def alone(node: Node, name: str) -> Caller:
    """Somebody on the only connection, once nobody else has it."""
    inside: list[Caller] = []

    def is_in() -> bool:
        caller = Caller(node.address)
        if caller.hear(r"^(-ERR 422|\* Type your name)")[1] == "-ERR 422":
            caller.close()
            return False
        inside.append(caller)
        return True

    until(is_in, lambda: "somebody else has the only connection")
    [caller] = inside
    caller.say(name)
    caller.hear(r"^\+OK ")
    return caller


def test_who_calls_a_full_node_reads_that_it_is_full(
    new_cluster: NewCluster, typed: Callable[[tuple[str, int]], list[str]]
) -> None:
    cluster = new_cluster(("head",), clients="max-connections = 1").start()
    with alone(cluster["head"], "alice"):
        for heard in typed(cluster["head"].address):
            assert heard.startswith("-ERR 422 this node has 1 connections already")
    cluster.stop()


def all_of(*callers: Caller) -> set[str]:
    """What the node says to each, if it then takes in what they say after that."""
    heard = set()
    for caller in callers:
        words = b""
        while more := caller.socket.recv(1 << 16):
            words += more
        heard.add(words.decode())
    for caller in callers:
        caller.write("more\r\n")

    def state(caller: Caller) -> int:
        return caller.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]

    def is_taken(caller: Caller) -> bool:
        unacknowledged = fcntl.ioctl(caller.socket, termios.TIOCOUTQ, bytes(4))
        return not struct.unpack("i", unacknowledged)[0] or state(caller) not in NOT_RESET

    def is_late(caller: Caller) -> bool:
        """True if the node need not wait any more: this test has stood still."""
        info = caller.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SINCE_DATA + 4)
        return struct.unpack_from("I", info, SINCE_DATA)[0] > 900 * DRAIN_SECONDS

    until(lambda: all(map(is_taken, callers)), lambda: "nothing comes of it")
    assert all(state(caller) in NOT_RESET or is_late(caller) for caller in callers)
    for caller in callers:
        caller.close()
    return heard


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="there is no Linux to tell of resets")
def test_who_types_while_a_node_stops_reads_that_it_stops(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("head",)).start()
    callers = [Caller(cluster["head"].address) for _ in range(TIMES)]
    for caller in callers:
        caller.hear(r"^\* Type your name")
    begin = time.monotonic()
    cluster["head"].signal(signal.SIGTERM)
    with callers.pop() as slow:
        assert all_of(*callers) == {"* this node stops\r\n"}
        cluster["head"].wait()
        assert time.monotonic() - begin > DRAIN_SECONDS / 2
        assert slow.end()[-1:] == ["* this node stops"]


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="there is no Linux to tell of resets")
def test_who_speaks_no_tls_at_its_port_reads_what_it_wants(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("head",), tls=True).start()
    for _ in range(TIMES):
        caller = Caller(cluster["head"].tls_address)
        caller.say(*["/chain"] * 10_000)
        [heard] = all_of(caller)
        assert heard.startswith("-ERR 426 this port takes TLS only")
    cluster.stop()
