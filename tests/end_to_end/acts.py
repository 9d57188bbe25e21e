"""What abusers do, and what is prepared for it: the verbs of ``abuses``."""

import contextlib
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from abuse import Act, Scene
from cluster import environment, twistd
from floods import (
    READ_OCTETS,
    SENT,
    Address,
    Flood,
    converse,
    endless,
    make_accounts,
    numbered,
    once,
    over_and_over,
    say_many,
)
from ports import free_ports
from records import Records
from talking import DEADLINE, Program, secret_words

from chainchat.storage.sqlite import DATABASE

PERSON = b"flooder{own}-{}\n"
PROGRAM = b"/hello chainchat/1 client=flood\n@l LOGIN flooder{own}-{} quiet\n"

COSTLY = b"/list " + b"(.*){9}" * 144 + b"\n"
"""A question within the longest line; its groups are 1,297 captures."""

MESSAGE = b"something that was said while others were away, of a hundred octets in all" + b"." * 26

GUARDED = 100
"""Accounts whose passwords are guessed."""
"""Names with a password."""

RETRY = 0.2
"""Seconds after which a login is tried again."""

VISIT = 6.0
"""Seconds after which those who come to read go away and come again."""


def flood(place: str, line: bytes, first: bytes = b"", count: int = 0, **options: Any) -> Act:
    """Say a line over and over.

    Args:
        place: where; a property of the scene.
        count: by how many; 0: as many as the scene is large.
        options: of the ``Flood``.
    """

    def act(scene: Scene) -> None:
        script = endless(over_and_over(line), first=first)
        addresses = getattr(scene, place)
        Flood(scene.tally, addresses, script, count=count or scene.size, **options).run()

    return act


def visits(text: bytes, place: str = "everywhere", divisor: int = 1, **options: Any) -> Act:
    """Say something once and stay; by as many as the scene is large, or that divided."""

    def act(scene: Scene) -> None:
        addresses = getattr(scene, place)
        count = max(1, scene.size // divisor)
        Flood(scene.tally, addresses, once(text), count=count, **options).run()

    return act


def loops(place: str, text: bytes, count: int) -> Act:
    """Call, say something, wait until the server hangs up, for ever; so many at a time."""

    def act(scene: Scene) -> None:
        Flood(scene.tally, getattr(scene, place), once(text), count=count, loops=True).run()

    return act


def octets(scene: Scene) -> None:
    """As ``nc`` in raw mode, without Nagle's delay."""

    def script(number: int) -> Iterator[bytes]:
        yield numbered(PERSON, number)
        while True:
            yield from (bytes([octet]) for octet in b"hello\n")

    Flood(scene.tally, scene.tail, script, count=scene.size).run()


# --- what has to be there first


def accounts(scene: Scene) -> None:
    make_accounts(scene.everywhere, [f"account-of-somebody-{i}" for i in range(scene.size)])


def guarded(sources: int) -> Act:
    """Make accounts with passwords, for guesses from so many addresses."""

    def prepare(scene: Scene) -> None:
        for number in range(GUARDED):
            with Program(scene.head[0], name=f"guarded{sources}-{number} quiet") as program:
                program.ask(f"SECRET {secret_words('correct horse')}")
                program.ask("LOGOUT finished")

    return prepare


def guesses(sources: int) -> Act:
    """Type wrong passwords on as many connections as the scene is large, from so many addresses."""

    def guess(scene: Scene, number: int) -> None:
        lot = random.Random(number)
        while True:
            source = f"127.0.{lot.randrange(sources)}.2"
            with contextlib.suppress(OSError), socket.socket() as connection:
                connection.settimeout(DEADLINE)
                connection.bind((source, 0))
                connection.connect(scene.middle[0])
                connection.sendall(f"guarded{sources}-{lot.randrange(GUARDED)}\n".encode())
                while connection.recv(READ_OCTETS):
                    connection.sendall(b"wrong guess\n")
                    time.sleep(0.05)

    return lambda scene: in_threads(partial(guess, scene), scene.size)


def in_threads(act: Callable[[int], None], count: int) -> None:
    """Let so many do this at once, each with a number."""
    many = [threading.Thread(target=act, args=(number,), daemon=True) for number in range(count)]
    for each in many:
        each.start()
    for each in many:
        each.join()


def key_updates(scene: Scene) -> None:
    """Change the keys of TLS, over and over: as many programs as the scene is large."""

    def change(number: int) -> None:
        with Records(scene.node("tail").tls_address) as client:
            client.say(numbered(PROGRAM, number))
            while True:
                made = [client.key_update(ask=False) for _ in range(1_000)]
                client.socket.sendall(b"".join(made))
                scene.tally[SENT] += 1_000 * len(made[0])

    in_threads(change, scene.size)


def history(scene: Scene) -> None:
    say_many(scene.head[0], scene.size, MESSAGE, name=f"writer{time.time_ns()}")


def missed_by(names: Sequence[str]) -> Act:
    """So many messages, while these were away."""

    def prepare(scene: Scene) -> None:
        make_accounts(scene.everywhere, names)
        history(scene)

    return prepare


# --- those who come and go


def come_to_read(name: bytes, count: int) -> Act:
    """So many log in at a node, read for a while, vanish; again at the next."""

    def act(scene: Scene) -> None:
        for turn in range(10**9):
            place = [scene.addresses[-1 - turn % len(scene.addresses)]]
            Flood(scene.tally, place, once(name), count=count).run(VISIT)

    return act


def storm(scene: Scene) -> None:
    """All read for some seconds, lose their connections, and come back at once."""
    while True:
        Flood(scene.tally, scene.everywhere, once(b"reader{}\n"), count=scene.size).run(VISIT)


def resume(scene: Scene) -> None:
    """One session goes from connection to connection, and begins at the beginning each time."""
    hello = b"/hello chainchat/1 client=resume\n"
    name = numbered(b"resumer{own}", 0)
    login = hello + b"@l LOGIN " + name + b" quiet\n"
    while True:
        answer = converse(scene.tail[0], login, b" @l ")
        found = re.search(rb"session=(\S+)", answer)
        if found is None:  # the connection before is not yet gone
            time.sleep(RETRY)
            continue
        ask = hello + b"@r RESUME %s %s after=0\n" % (name, found[1])
        Flood(scene.tally, scene.tail, once(ask)).run(VISIT)


def client_ids(sends: int, programs: int = 20) -> Act:
    """A new client ID each time, of these accounts, until they are as many as the scene."""
    says = b"".join(b"@%d SEND %d * :x\n" % (number, number) for number in range(1, sends + 1))
    hello = b"/hello chainchat/1 client=c{own}-{}\n"

    def script(number: int) -> Iterator[bytes]:
        yield numbered(hello, number)
        login = b"@l LOGIN busy{own}-{} quiet\n"
        yield numbered(login, number % programs) + says + b"@o LOGOUT\n"

    def act(scene: Scene) -> None:
        Flood(scene.tally, scene.tail, script, count=programs, loops=True, most=scene.size).run()

    return act


# --- those who are only there


def crowd(scene: Scene) -> Flood:
    return Flood(scene.tally, scene.everywhere, once(b"idler{own}-{}\n"), count=scene.size)


def crowd_and_one(line: bytes) -> Act:
    """Many are on, and one says this over and over."""

    def act(scene: Scene) -> None:
        one = Flood(scene.tally, scene.tail, endless(over_and_over(line), first=PERSON))
        crowd(scene).with_(one).run()

    return act


def crowd_and_two(scene: Scene) -> None:
    """Many are on, and one says a private line to another fifty times a second."""
    many = crowd(scene)
    two = [socket.create_connection(address, DEADLINE) for address in scene.addresses[:2]]
    for name, each in zip((b"anna", b"otto"), two, strict=True):
        each.sendall(numbered(name + b"{own}\n", 0))
        each.setblocking(False)
    due = time.monotonic() + 1.0
    while True:
        many.turn()
        if time.monotonic() >= due:
            due += 0.02
            with contextlib.suppress(BlockingIOError):
                two[0].sendall(numbered(b">> otto{own}: good day\n", 0))
            for each in two:
                with contextlib.suppress(BlockingIOError):
                    each.recv(READ_OCTETS)


def slow_readers(scene: Scene) -> None:
    """They are told what two others say, and read nothing."""
    deaf = once(b"deaf{own}-{}\n")
    line = b"what is said to those who do not listen " * 12 + b"\n"
    loud = endless(over_and_over(line), first=b"loud{own}-{}\n")
    Flood(scene.tally, scene.everywhere, deaf, count=scene.size, reads=False, buffer=4_096).with_(
        Flood(scene.tally, scene.everywhere, loud, count=2)
    ).run()


# --- neighbours


def foreign_reader(scene: Scene) -> None:
    """A backup tool begins to read, much is written meanwhile, it lets go; once more."""
    files = [scene.node(position).data / DATABASE for position in ("head", "middle", "tail")]
    for number in range(10**9):
        readers = [sqlite3.connect(f"file:{path}?mode=ro", uri=True) for path in files]
        for reader in readers:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchall()
        with contextlib.suppress(OSError, AssertionError):
            _write(scene.head[0], scene.size, f"writer{os.getpid()}-{number}")
        for reader in readers:
            reader.close()
        time.sleep(1.0)


def _write(address: Address, megabytes: int, name: str) -> None:
    say_many(address, megabytes * 1_100, b"x" * 900, name=name, to=name)  # nobody else is told


def second_process(scene: Scene) -> None:
    """The head once more, with a folder and ports of its own, as after a copied chain.ini."""
    head = scene.node("head")
    client_port, chain_port = free_ports(2)
    text = head.config.read_text()
    for old, new in (
        (f"client-port = {head.client_port}\n", f"client-port = {client_port}\n"),
        (f"chain-port = {head.chain_port}\n", f"chain-port = {chain_port}\n"),
        (f"tls-port = {head.tls_port}\n", "tls-port = none\n"),
        ("data = var/head\n", "data = var/second\n"),
    ):
        text = text.replace(old, new)
    folder = head.config.parent / "second"
    folder.mkdir(exist_ok=True)
    (folder / "chain.ini").write_text(text)
    _keep_running("head", folder / "chain.ini", folder / "log")


def flapping(scene: Scene) -> None:
    """The tail is killed and started every two seconds, as by a supervisor that knows no pause."""
    tail = scene.node("tail")
    os.kill(tail.pid, signal.SIGKILL)
    _keep_running("tail", tail.config, tail.log, lives=2.0)


def _keep_running(position: str, config: Path, log: Path, lives: float = 1e9) -> None:
    """Start a node, kill it when it has lived so long, start it again."""
    command = [*twistd(), "-n", "chainchat", "--position", position, "--config", str(config)]
    with log.open("ab") as output:
        while True:
            process = subprocess.Popen(
                command,
                cwd=config.parent,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(lives)
                    time.sleep(1.0)  # it has ended by itself; a supervisor waits a little
            finally:
                process.kill()
                process.wait()
