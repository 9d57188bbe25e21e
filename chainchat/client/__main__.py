"""``chainchat-client``: starts the bundled client."""

import asyncio
import datetime
import os
import secrets
import sqlite3
import string
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import SystemRandom
from typing import TextIO

from chainchat.client.arguments import Arguments
from chainchat.client.engine.engine import Engine
from chainchat.client.engine.memory import NamedMemory
from chainchat.client.kept import kept_memory
from chainchat.client.kept.kept_keys import KeptKeys
from chainchat.client.kept.kept_memory import InUseError, KeptMemory
from chainchat.client.script.pipe import Pipe


def main(arguments: Sequence[str] | None = None) -> int:
    _open_what_is_closed()
    given = Arguments(arguments)
    try:
        return asyncio.run(_run(given))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if sys.flags.dev_mode:
            raise
        print(f"chainchat-client: {error.strerror or error}", file=sys.stderr)
        return 1
    except Exception as error:
        if sys.flags.dev_mode:  # python -X dev
            raise
        print(f"chainchat-client: a bug, please report it: {error!r}", file=sys.stderr)
        return 1


def _open_what_is_closed() -> None:
    """Make sure that no socket takes the place of a standard file."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


async def _run(given: Arguments) -> int:
    options = given.options
    if options.send is None and not options.json and _has_terminal():
        return await _in_terminal(given)
    one_shot = options.send is not None
    engine = Engine(
        options.name,
        _fresh_client_id("send" if one_shot else "client"),
        given.nodes,
        SystemRandom(),
        quiet=one_shot,
        notices=not one_shot,
        insist=one_shot,
        keys=KeptKeys(options.name),
        password=given.password,
        memory=NamedMemory(options.id) if options.id else None,
    )
    pipe = Pipe(
        engine,
        json=options.json,
        follow=options.follow,
        timeout=options.timeout,
        send=given.texts if one_shot else None,
        to=options.to,
        tls=given.tls,
        named=options.id or "",
        names=given.names,
    )
    return await pipe.run()


async def _in_terminal(given: Arguments) -> int:
    from chainchat.client.screen.terminal import Terminal  # noqa: PLC0415 - slow, and not for scripts

    options = given.options
    with ExitStack() as stack:
        memory = _memory(given)
        if memory is not None:
            stack.callback(memory.close)
        log = stack.enter_context(_log(given, given.settings.log)) if given.settings.log else None
        engine = Engine(
            options.name,
            _fresh_client_id("client"),
            given.nodes,
            SystemRandom(),
            notices=True,
            keys=KeptKeys(options.name),
            password=given.password,
            asks=True,
            memory=memory,
        )
        terminal = Terminal(
            engine, given.settings, given.tls, log=log, memory=memory, names=given.names
        )
        return await terminal.run()


def _memory(given: Arguments) -> KeptMemory | None:
    name = given.options.name
    path = Path("the state folder")
    try:
        path = kept_memory.find(name, given.nodes)
        return KeptMemory(path)
    except InUseError:
        given.error(f"{name} is in this room already, in another chainchat-client on this machine")
    except (OSError, sqlite3.Error) as error:
        print(f"chainchat-client: nothing is kept on disk: {path}: {error}", file=sys.stderr)
        return None


@contextmanager
def _log(given: Arguments, name: str) -> Iterator[Callable[[datetime.datetime, str], None]]:
    try:
        file: TextIO = Path(name).expanduser().open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        given.error(f"--log {name}: {error.strerror}")

    def write(moment: datetime.datetime, line: str) -> None:
        file.write(f"{moment:%Y-%m-%d %H:%M:%S} {line}\n")

    with file:
        yield write


def _fresh_client_id(kind: str) -> str:
    random = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(16))
    return f"{kind}-{random}"


def _has_terminal() -> bool:
    redraws = os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
    return redraws and sys.stdin.isatty() and sys.stdout.isatty()


if __name__ == "__main__":
    sys.exit(main())
