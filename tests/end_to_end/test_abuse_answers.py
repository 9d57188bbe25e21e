"""What those are told who ask too much, and those whose connections are silent."""

import contextlib
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from acts import COSTLY
from cluster import Cluster
from floods import make_accounts
from networks import Networks
from talking import Caller, Person, Program, until

NewCluster = Callable[..., Cluster]

POSITIONS = ("head", "middle", "tail")

ANSWERED_WITHIN = 10.0
"""Seconds for the answer to a question that costs too much: some of work, the rest for others."""

FREE_WITHIN = 10.0
"""Seconds until a name is free whose connection acknowledges nothing."""

MOST_TAKEN = 16 << 20
"""Octets that no kernel keeps for one connection whose other end does not read."""

STUCK = 2.0
"""Seconds in which nothing more is taken from somebody who is not listened to."""

SHOWN = 300
"""Lines shown to somebody who types nothing."""

SIGNS = 30
"""Further lines after them, a quarter of a second apart: signs of life."""


@pytest.fixture
def networks(machines: Callable[..., Networks]) -> Networks:
    """A machine for every node, and one for a client."""
    return machines(*POSITIONS, "client")


def test_a_question_that_costs_too_much_is_refused(new_cluster: NewCluster) -> None:
    cluster = new_cluster(POSITIONS).start()
    make_accounts([cluster["head"].address], [f"somebody-with-a-name-{i}" for i in range(300)])
    with Person(cluster["tail"].address, "asker", within=ANSWERED_WITHIN) as asker:
        asker.write(COSTLY)
        assert asker.hear(r"^(\+OK|-ERR|\.) ").string.startswith("-ERR 53")
        assert "somebody-with-a-name-7" in asker.listed("/list some")
        asker.ask("/logout")
    assert cluster.epoch == 1


def test_who_says_nothing_but_refused_lines_is_told_and_hung_up_on(cluster: Cluster) -> None:
    with Caller(cluster["middle"].address, within=30.0) as caller:
        with contextlib.suppress(OSError, AssertionError):
            while True:  # what is here before an answer is not read, so all of it may come at once
                caller.write(b"\xfe\n" * 20)
                caller.hear("^-ERR ")
        caller.end()
        refused = [line for line in caller.heard if line.startswith("-ERR")]
    assert refused[0].startswith("-ERR 503 ")
    assert cluster.epoch == 1


def test_who_mistypes_a_few_lines_is_not_hung_up_on(cluster: Cluster) -> None:
    with Person(cluster["middle"].address) as person:
        for _ in range(10):
            assert person.ask("two words").startswith("-ERR 520 ")
        assert person.ask("clumsy").startswith("+OK ")
        for _ in range(10):
            assert person.ask("/dance").startswith("-ERR 500 ")
        assert person.ask("at last").startswith("+OK ")
        person.ask("/logout")


def test_who_reads_no_answers_is_listened_to_no_longer(cluster: Cluster) -> None:
    with Caller(cluster["tail"].address, receive_buffer=4_096) as caller:
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        caller.socket.settimeout(STUCK)
        sent = 0
        with contextlib.suppress(TimeoutError, ConnectionError, ssl.SSLEOFError):
            while sent < MOST_TAKEN:
                sent += caller.socket.send(b"\xff\xfd\x01" * 10_000)
        assert sent < MOST_TAKEN
    assert cluster.epoch == 1


def test_what_was_shown_to_a_quiet_reader_is_not_shown_again(new_cluster: NewCluster) -> None:
    cluster = new_cluster(POSITIONS).start()
    with (
        Person(cluster["tail"].address, "reader") as reader,
        Program(cluster["head"].address, name="writer") as writer,
    ):
        writer.ask_all([f"SEND {number} * :line {number}" for number in range(1, SHOWN + 1)])
        reader.hear(f"writer: line {SHOWN}$")
        for number in range(SHOWN + 1, SHOWN + SIGNS + 1):
            writer.words(f"SEND {number} * :sign {number}")
            reader.hear(f"writer: sign {number}$")
            reader.calm(0.25)
        cluster.kill("tail")
        writer.words(f"SEND {number + 1} * :the last")
    with Person(cluster["middle"].address, "reader") as again:
        shown = again.lines_to("writer: the last$")
    lines = [line for line in shown if ": line " in line]
    assert not lines


SILENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    connection.sendall(b"alice\\r\\n")
    while data := connection.recv(65536):
        print(data.decode(), flush=True)
"""
"""Somebody on another machine: address and port."""


def test_a_name_whose_connection_is_silent_is_free_soon(
    networks: Networks, new_cluster: NewCluster
) -> None:
    cluster = new_cluster(POSITIONS, networks=networks).start()
    host, port = cluster["head"].address
    command = [*networks.launcher("client"), sys.executable, "-c", SILENT, host, str(port)]
    silent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert silent.stdout is not None
        until(lambda: "you are alice" in silent.stdout.readline(), lambda: "alice is not in")
        networks.silence("client")
        with Person(cluster["middle"].address) as alice:
            alice.hear(r"^\* Type your name")
            began = time.monotonic()
            told = []
            while (answer := alice.ask("alice")).startswith("-ERR 433 "):
                told.append(answer)
                assert time.monotonic() < began + FREE_WITHIN, answer
                alice.calm(1.0)
            assert alice.ask("here again").startswith("+OK ")
        assert re.search(r"silent for \d+ s", " ".join(told)), told
        assert cluster.epoch == 1
    finally:
        silent.kill()
        silent.wait()
        silent.stdout.close()
