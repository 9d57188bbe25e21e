"""Everything that a client, or a disturbed neighbour, has been seen to bring down a node with.

Each row of ``ROWS`` is one such thing: what to prepare, and what to do then, until told to stop.
What is done runs in a process of its own (``Abuser``), which stands back where processors are
short, as abusers have machines of their own. Tests do it in small, benchmarks in large.
"""

import contextlib
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cluster import Cluster, environment, free_ports, twistd
from floods import (
    Address,
    Flood,
    converse,
    endless,
    make_accounts,
    new_tally,
    once,
    over_and_over,
    say_many,
)
from helpers import Helper
from talking import DEADLINE

from chainchat.storage.sqlite import DATABASE

NICE = 5
"""How far abusers stand back."""

COSTLY = b"/list " + b"(.*){9}" * 144 + b"\n"
"""A question within the longest line; its nine groups are 1,297 captures."""

MESSAGE = b"something that was said while others were away, of a hundred octets more or less " + b"." * 20


@dataclass(frozen=True)
class Scene:
    """Where it happens.

    Attributes:
        cluster: the nodes.
        size: how large it is done: messages, accounts, connections, whatever the row says.
        tally: what is counted meanwhile.
    """

    cluster: Cluster
    size: int
    tally: Any

    @property
    def addresses(self) -> list[Address]:
        """Of all nodes, from the head."""
        return [node.address for node in self.cluster.nodes.values()]

    @property
    def head(self) -> list[Address]:
        """Of the head alone."""
        return self.addresses[:1]

    @property
    def middle(self) -> list[Address]:
        """Of the middle alone."""
        return self.addresses[1:2]

    @property
    def tail(self) -> list[Address]:
        """Of the tail alone."""
        return self.addresses[-1:]


Act = Callable[[Scene], None]


@dataclass(frozen=True)
class Abuse:
    """One row.

    Attributes:
        name: of the row.
        what: what is done, in a line.
        act: does it, until ``SystemExit``.
        prepare: what has to be there first.
        many: whether it takes a hundred clients, more or less; else one, or a few.
        size, small: how large it is done in benchmarks, and in tests.
        memory: megabytes that a node may grow by.
        why: what bounds them.
        settings: lines of chain.ini, from the section [clients] on.
        files: descriptors that a node may have; 0: as many as it likes.
        departs: whether nodes go and come by design.
    """

    name: str
    what: str
    act: Act
    prepare: Act | None = None
    many: bool = False
    size: int = 1
    small: int = 1
    memory: int = 64
    why: str = "buffers of each session"
    settings: str = ""
    files: int = 0
    departs: bool = False


class Abuser(Helper):
    """A process that does what a row says, from ``with`` on.

    Attributes:
        tally: octets sent and heard, connections opened, and closed by the server.
    """

    def __init__(self, row: Abuse, cluster: Cluster, size: int) -> None:
        self.tally = new_tally()
        super().__init__(row.act, Scene(cluster, size, self.tally), nice=NICE)


def prepared(row: Abuse, cluster: Cluster, size: int) -> None:
    """Bring about what has to be there first."""
    if row.prepare is not None:
        row.prepare(Scene(cluster, size, new_tally()))


def cluster_for(row: Abuse, make: Callable[..., Cluster]) -> Cluster:
    """A cluster with the row's settings, not started."""
    cluster = make(clients=row.settings)
    if row.files:
        for node in cluster.nodes.values():
            node.launcher = ["prlimit", f"--nofile={row.files}:{row.files}", "--"]
    return cluster


ROWS: dict[str, Abuse] = {}


def _row(name: str, what: str, act: Act, **options: Any) -> None:
    ROWS[name] = Abuse(name, what, act, **options)


# --- lines, as fast as they are taken


REFUSED = over_and_over(b"\xfe\n")
YES = over_and_over(b"x\n")


def _flood(place: str, block: bytes, **options: Any) -> Act:
    """Say a block over and over, there."""

    first = options.pop("first", b"")

    def act(scene: Scene) -> None:
        count = options.get("count", scene.size)
        script = endless(block, first=first)
        Flood(scene.tally, getattr(scene, place), script, **{**options, "count": count}).run()

    return act


PROGRAM = b"/hello chainchat/1 client=flood\n@l LOGIN flooder{} quiet\n"
PERSON = b"flooder{}\n"

_row("refused-5", "five connections without a login say lines that are no UTF-8, at the head",
     _flood("head", REFUSED, count=5))  # fmt: skip
_row("refused-60", "the same, twenty at each node", _flood("addresses", REFUSED),
     many=True, size=60, small=60)  # fmt: skip
_row("hello-toggles", "one without a login asks for a protocol that there is not, over and over",
     _flood("tail", over_and_over(b"/hello chainchat/2 client=x\n")))  # fmt: skip
_row("person-flood", "(echo flooder; yes x) | nc, one, at the middle",
     _flood("middle", YES, first=PERSON), memory=96, why="the log's cache; its index on disk")  # fmt: skip
_row("persons-flood", "the same, a hundred, spread", _flood("addresses", YES, first=PERSON),
     many=True, size=100, small=30, memory=192, why="buffers of a hundred sessions")  # fmt: skip
_row("private-flood", "one says private lines to an account that is away",
     _flood("middle", over_and_over(b">> away: x\n"), first=PERSON),
     prepare=lambda scene: make_accounts(scene.head, ["away"]))  # fmt: skip
_row("pings", "one program pipelines PINGs",
     _flood("tail", over_and_over(b"@p PING\n"), first=PROGRAM))  # fmt: skip
_row("acks", "one program pipelines ACKs",
     _flood("tail", over_and_over(b"@a ACK 1\n"), first=PROGRAM))  # fmt: skip
_row("help-flood", "one asks for /help over and over",
     _flood("tail", over_and_over(b"/help\n"), first=PERSON))  # fmt: skip
_row("notices-flood", "one turns notices on and off",
     _flood("tail", over_and_over(b"/notices off\n/notices on\n"), first=PERSON))  # fmt: skip
_row("who-flood", "one asks who is on, over and over, while 500 are",
     lambda scene: _with_crowd(scene, over_and_over(b"/who\n")), size=500, small=100)  # fmt: skip
_row("list-flood", "one lists 2,000 accounts over and over",
     _flood("tail", over_and_over(b"/list\n"), first=PERSON, count=1),
     prepare=lambda scene: _accounts(scene), size=2_000, small=300)  # fmt: skip
_row("last-500", "a hundred pipeline /last 500", _flood("addresses", over_and_over(b"/last 500\n"),
     first=PERSON, count=100), prepare=lambda scene: _history(scene), many=True,
     size=20_000, small=2_000, memory=192, why="a page for each of a hundred")  # fmt: skip
_row("iac-do", "one without a login says FF FD 01 over and over and reads nothing",
     _flood("tail", over_and_over(b"\xff\xfd\x01"), reads=False))  # fmt: skip
_row("endless-line", "five say a line without an end", _flood("head", b"x" * 65_536,
     first=PERSON, count=5))  # fmt: skip


def _octets(scene: Scene) -> None:
    """As ``nc`` in raw mode, without Nagle's delay."""

    def script(number: int) -> Iterator[bytes]:
        yield PERSON.replace(b"{}", b"%d" % number)
        while True:
            yield from (bytes([octet]) for octet in b"hello\n")

    Flood(scene.tally, scene.tail, script, count=scene.size).run()


_row("octets", "ten say lines octet by octet", _octets, size=10, small=10)


# --- questions


def _accounts(scene: Scene) -> None:
    names = [f"account-of-somebody-{i}" for i in range(scene.size)]
    make_accounts(scene.addresses, names)


def _history(scene: Scene) -> None:
    say_many(scene.head[0], scene.size, MESSAGE, name=f"writer{time.time_ns()}")


def _ask_once(scene: Scene) -> None:
    Flood(scene.tally, scene.tail, once(PERSON + COSTLY)).run()


_row("costly-pattern", "one line of one user: /list with (.*){9} 144 times, with 2,000 accounts",
     _ask_once, prepare=_accounts, size=2_000, small=300)  # fmt: skip
_row("costly-patterns", "the same over and over, from ten", _flood("addresses",
     over_and_over(COSTLY), first=PERSON, count=10), prepare=_accounts, size=2_000, small=300)  # fmt: skip


def _since(scene: Scene) -> None:
    ask = b"/hello chainchat/1 client=since\n@l LOGIN reader{} quiet\n@s SINCE 0\n"
    Flood(scene.tally, scene.addresses, once(ask), count=scene.size // 20).run()


_row("since-0", "1,000 programs ask for everything that was ever said (SINCE 0)", _since,
     prepare=_history, many=True, size=20_000, small=2_000, memory=256,
     why="a page for each of a thousand")  # fmt: skip


# --- who was away


def _missed_by(scene: Scene, names: list[str]) -> None:
    make_accounts(scene.addresses, names)
    _history(scene)


def _log_in_and_break(scene: Scene, count: int) -> None:
    """Log in, read for a while, vanish; again at the next node."""
    for turn in range(1_000):
        place = scene.addresses[-1 - turn % 3 :][:1]
        with contextlib.suppress(OSError):
            Flood(scene.tally, place, once(b"lazy{}\n"), count=count).run(6.0)


_row("missed", "one logs in after 200,000 missed messages; then at the next node, again and again",
     lambda scene: _log_in_and_break(scene, 1),
     prepare=lambda scene: _missed_by(scene, ["lazy0"]), size=200_000, small=20_000)  # fmt: skip
_row("missed-30", "thirty who missed 20,000 messages each come at once, at one node",
     lambda scene: _log_in_and_break(scene, 30), many=True, memory=96,
     prepare=lambda scene: _missed_by(scene, [f"lazy{i}" for i in range(30)]),
     size=20_000, small=5_000)  # fmt: skip


def _resume(scene: Scene) -> None:
    """One session goes from connection to connection, after 0 each time."""
    login = b"/hello chainchat/1 client=resume\n@l LOGIN resumer quiet\n"
    answer = converse(scene.tail[0], login, b"+OK @l session=")
    found = re.search(rb"session=(\S+)", answer)
    assert found, answer
    ask = b"/hello chainchat/1 client=resume\n@r RESUME resumer %s after=0\n" % found[1]
    while True:
        with contextlib.suppress(OSError):
            Flood(scene.tally, scene.tail, once(ask)).run(3.0)


_row("resume-0", "one program does RESUME after=0 in a room of 100,000 messages", _resume,
     prepare=_history, size=100_000, small=20_000)  # fmt: skip


def _storm(scene: Scene) -> None:
    """They read for some seconds, lose their connections, and come back at once."""
    while True:
        Flood(scene.tally, scene.addresses, once(b"reader{}\n"), count=scene.size).run(5.0)


_row("storm", "1,000 readers lose their connections and come back, all at once, every 5 s", _storm,
     prepare=lambda scene: make_accounts(scene.addresses, [f"reader{i}" for i in range(scene.size)]),
     many=True, size=1_000, small=150, memory=128, why="a session each")  # fmt: skip


# --- connections


def _connections(scene: Scene) -> None:
    places = scene.addresses
    Flood(scene.tally, places, once(b""), count=scene.size, source="127.0.0.2").run()


_row("connections", "connections from one address up to the limit and past it, and again and again",
     _connections, many=True, size=3_000, small=300, settings="max-connections = 500",
     memory=64, why="the limit of connections")  # fmt: skip
_row("per-address", "connections from one address that is not exempt",
     _connections, many=True, size=3_000, small=300,
     settings="[limits]\nper-address = 64\nexempt = 127.0.0.1", why="64 an address")  # fmt: skip
_row("descriptors", "more connections than a node has descriptors", _connections, many=True,
     size=1_500, small=900, files=256, why="the limit of descriptors")  # fmt: skip


def _churn(scene: Scene) -> None:
    Flood(scene.tally, scene.addresses, once(b"x"), count=scene.size, again=True).run()


_row("churn", "fifty connect and hang up as fast as they can", _churn, many=True,
     size=50, small=20)  # fmt: skip


def _login_loop(scene: Scene) -> None:
    script = once(b"looper{}\n/logout\n")
    Flood(scene.tally, scene.addresses, script, count=scene.size, again=False).run()


def _login_again(scene: Scene) -> None:
    """One after the other: a name is free when its connection has ended."""
    while True:
        with contextlib.suppress(OSError):
            converse(scene.tail[0], b"looper\n/logout\n", b"\0", 5.0)


_row("login-loop", "one logs in and out, over and over", _login_again)


def _new_accounts(scene: Scene) -> None:
    for number in range(10**9):
        with contextlib.suppress(OSError):
            converse(scene.tail[0], b"new-%d-%d\n/logout\n" % (os.getpid(), number), b"\0", 5.0)


_row("new-accounts", "one makes a new account every time", _new_accounts)


def _deletions(scene: Scene) -> None:
    text = b"short-lived\n/delete short-lived yes\n"
    while True:
        with contextlib.suppress(OSError):
            converse(scene.middle[0], text, b"\0", 5.0)


_row("deletions", "one makes an account and deletes it, over and over", _deletions)


# --- what the state remembers


def _client_ids(scene: Scene, sends: int) -> None:
    """A new client ID each time, of one account."""
    says = b"".join(b"@%d SEND %d * :x\n" % (number, number) for number in range(1, sends + 1))
    for number in range(scene.size):
        text = b"/hello chainchat/1 client=c%d-%d\n@l LOGIN busy quiet\n" % (os.getpid(), number)
        with contextlib.suppress(OSError):
            converse(scene.tail[0], text + says + b"@o LOGOUT\n", b"\0", 5.0)
    signal.pause()


_row("client-ids", "one program uses 300,000 client IDs", lambda scene: _client_ids(scene, 1),
     size=300_000, small=300_000, why="the most client IDs of an account")  # fmt: skip
_row("remembered-sends", "one program says 1,000 lines with each of 1,000 client IDs",
     lambda scene: _client_ids(scene, 1_000), size=1_000, small=1_000,
     memory=128, why="the most that is remembered of an account")  # fmt: skip


# --- who is only there


def _with_crowd(scene: Scene, block: bytes) -> None:
    """So many are on, and one says this."""
    crowd = Flood(scene.tally, scene.addresses, once(b"idler{}\n"), count=scene.size)
    one = Flood(scene.tally, scene.tail, endless(block, first=PERSON))
    while True:
        crowd.turn()
        one.turn()


def _private_lines(scene: Scene) -> None:
    """Many are on, and one says a private line to another fifty times a second."""
    crowd = Flood(scene.tally, scene.addresses, once(b"idler{}\n"), count=scene.size)
    two = [socket.create_connection(address, DEADLINE) for address in scene.addresses[:2]]
    for name, each in zip((b"anna\n", b"otto\n"), two, strict=True):
        each.sendall(name)
        each.setblocking(False)
    due = time.monotonic() + 1.0
    while True:
        crowd.turn()
        if time.monotonic() >= due:
            due += 0.02
            with contextlib.suppress(BlockingIOError):
                two[0].sendall(b">> otto: good day\n")
            for each in two:
                with contextlib.suppress(BlockingIOError):
                    each.recv(1 << 18)


_row("idle-crowd", "2,000 people come, are idle, and two others talk in private", _private_lines,
     many=True, size=2_000, small=200, memory=128, why="a session each")  # fmt: skip


def _slow_readers(scene: Scene) -> None:
    """They are told what two others say, and read nothing."""
    deaf = Flood(scene.tally, scene.addresses, once(b"deaf{}\n"), count=scene.size, reads=False,
                 receive_buffer=4_096)  # fmt: skip
    line = b"what is said to those who do not listen " * 12 + b"\n"
    loud = Flood(scene.tally, scene.addresses, endless(line, first=b"loud{}\n"), count=2)
    while True:
        deaf.turn()
        loud.turn()


_row("slow-readers", "200 read nothing while two others say long lines as fast as they can",
     _slow_readers, many=True, size=200, small=100, memory=192,
     why="the most unread octets of a session, 200 times")  # fmt: skip


# --- neighbours: other processes, other nodes


def _foreign_reader(scene: Scene) -> None:
    """A backup tool begins to read, much is written meanwhile, it lets go; once more."""
    files = [node.data / DATABASE for node in scene.cluster.nodes.values()]
    text = b"x" * 900
    for number in range(1_000):
        readers = [sqlite3.connect(f"file:{path}?mode=ro", uri=True) for path in files]
        for reader in readers:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchall()
        with contextlib.suppress(OSError, AssertionError):
            say_many(scene.head[0], scene.size * 1_000, text, name=f"writer-{number}")
        for reader in readers:
            reader.close()
        time.sleep(1.0)


_row("foreign-reader", "another process reads the databases while 60 MB are written, and lets go",
     _foreign_reader, size=60, small=6, memory=96)  # fmt: skip


def _second_process(scene: Scene) -> None:
    """The head once more, with a folder and ports of its own, as after a copied chain.ini."""
    cluster = scene.cluster
    client_port, chain_port = free_ports(2)
    text = cluster.nodes["head"].config.read_text()
    head = cluster.nodes["head"]
    text = text.replace(f"client-port = {head.client_port}\n", f"client-port = {client_port}\n")
    text = text.replace(f"chain-port = {head.chain_port}\n", f"chain-port = {chain_port}\n")
    text = text.replace("data = var/head\n", "data = var/second\n")
    folder = cluster.folder / "second"
    folder.mkdir(exist_ok=True)
    (folder / "chain.ini").write_text(text)
    command = [*twistd(), "-n", "chainchat", "--position", "head", "--config", "chain.ini"]
    _keep_running(lambda: subprocess.Popen(command, cwd=folder, env=environment(),
                                           stdin=subprocess.DEVNULL,
                                           stdout=(folder / "log").open("ab"),
                                           stderr=subprocess.STDOUT))  # fmt: skip


def _keep_running(start: Callable[[], subprocess.Popen[bytes]], lives: float = 1e9) -> None:
    """Start a process, kill it when it has lived so long, start it again."""
    while True:
        process = start()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(lives)
                time.sleep(1.0)  # it has ended by itself: as a supervisor, wait a little
        finally:
            process.kill()
            process.wait()


_row("second-process", "a second process of the head, with another folder", _second_process)


def _flapping(scene: Scene) -> None:
    """The tail is killed and started every two seconds, as by a supervisor that knows no pause."""
    tail = list(scene.cluster.nodes.values())[-1]
    os.kill(tail.pid, signal.SIGKILL)
    command = [*twistd(), "-n", "chainchat", "--position", tail.position,
               "--config", str(tail.config)]  # fmt: skip
    _keep_running(lambda: subprocess.Popen(command, cwd=tail.config.parent, env=environment(),
                                           stdin=subprocess.DEVNULL, stdout=tail.log.open("ab"),
                                           stderr=subprocess.STDOUT), 2.0)  # fmt: skip


_row("flapping", "kill -9 of the tail, and a start, every two seconds", _flapping, departs=True)
