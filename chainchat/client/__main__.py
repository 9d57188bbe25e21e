"""``chainchat-client``: the command line of the bundled client."""

import argparse
import asyncio
import os
import secrets
import ssl
import string
import sys
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom
from typing import NoReturn

from chainchat import __version__
from chainchat.chat.refusals import RefusedError
from chainchat.chat.requests import EVERYBODY, checked_name
from chainchat.client.engine import Engine
from chainchat.client.kept_keys import KeptKeys
from chainchat.client.pipe import Pipe
from chainchat.client.wire import Address, UnsendableError, checked, parse_address

VARIABLE = "CHAINCHAT_PASSWORD"

DEFAULT_CONFIG = Path("chain.ini")

ABOUT = """\
Talk in a chainchat room. In a terminal: an input line with history and completion (Tab). Without
one: lines in, lines out, ending when the input does. /help in the room tells what to type."""

EXIT_STATUSES = """\
exit status: 0 all was acknowledged (or the person left); 1 something was not, or the login was
refused, or the account was deleted or taken over; 2 wrong options; 130 interrupted."""


class _Parser(argparse.ArgumentParser):
    """Errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help explains the options)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client; returns the exit status."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    texts = _texts(parser, options)
    nodes = _nodes(parser, options)
    tls = _tls(parser, options)
    try:
        password = _password(options)
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"--password-file: {error}")
    try:
        return asyncio.run(_run(options, nodes, texts, tls, password))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if sys.flags.dev_mode:  # python -X dev
            raise
        print(f"{parser.prog}: a bug, please report it: {error!r}", file=sys.stderr)
        return 1


def _password(options: argparse.Namespace) -> str:
    """The password that was given, never on the command line: others see that."""
    if options.password_file is None:
        return os.environ.get(VARIABLE, "")
    text: str = options.password_file.read_text()
    return text.partition("\n")[0].removesuffix("\r")


async def _run(
    options: argparse.Namespace,
    nodes: Sequence[Address],
    texts: list[str],
    tls: ssl.SSLContext | None,
    password: str,
) -> int:
    one_shot = options.send is not None
    in_terminal = not one_shot and _has_terminal() and not options.json
    engine = Engine(
        options.name,
        _fresh_client_id("send" if one_shot else "client"),
        nodes,
        SystemRandom(),
        quiet=one_shot,
        notices=not one_shot,
        insist=one_shot,
        keys=KeptKeys(options.name),
        password=password,
        asks=in_terminal,
    )
    if one_shot:
        pipe = Pipe(
            engine,
            json=options.json,
            timeout=options.timeout,
            send=texts,
            to=options.to,
            tls=tls,
        )
        return await pipe.run()
    if in_terminal:
        from chainchat.client.terminal import Terminal  # noqa: PLC0415 - slow, and not for scripts

        return await Terminal(engine, tls).run()
    pipe = Pipe(engine, json=options.json, follow=options.follow, timeout=options.timeout, tls=tls)
    return await pipe.run()


def _fresh_client_id(kind: str) -> str:
    """``kind`` helps people who read a log."""
    random = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(16))
    return f"{kind}-{random}"


def _has_terminal() -> bool:
    redraws = os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
    return redraws and sys.stdin.isatty() and sys.stdout.isatty()


# --- options -----------------------------------------------------------------------------


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="chainchat-client",
        description=ABOUT,
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--name", required=True, type=_name, help="the account to log in as; made if there is none")
    add(
        "--connect",
        metavar="HOST:PORT",
        type=_address,
        action="append",
        help="a node to connect to; repeat it for more, of which the first is tried first; "
        "tls://HOST:PORT for its port with TLS",
    )
    add("--tls", action="store_true", help="speak TLS with every node")
    add(
        "--ca",
        metavar="FILE",
        type=Path,
        help="with TLS: trust this CA (the chain's ca.crt), instead of those of the system",
    )
    add(
        "--config",
        metavar="chain.ini",
        type=Path,
        help="read the nodes from this file (default, without --connect: ./chain.ini)",
    )
    add("--send", metavar="TEXT", help="say this, print its id, and end; each line is a message")
    add("--to", metavar="NAME", type=_name, help="with --send: say it to this account alone")
    add(
        "--password-file",
        metavar="FILE",
        type=Path,
        help="the account's password is the first line of this file (else of the environment's "
        f"{VARIABLE}; a terminal asks)",
    )
    add(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=30.0,
        help="how long --send, or what is open at the end of the input, may take (default: 30)",
    )
    add(
        "--follow",
        action="store_true",
        help="without a terminal: stay after the end of the input, and print what is said",
    )
    add(
        "--json",
        action="store_true",
        help="print one JSON object for each event; complaints go to standard error",
    )
    add("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _name(text: str) -> str:
    try:
        return checked_name(text)
    except RefusedError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error.text}") from None


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _texts(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[str]:
    if options.send is None:
        if options.to:
            parser.error("--to needs --send; in the room, type >> name: text")
        return []
    if options.follow:
        parser.error("--send and --follow exclude each other")
    options.to = options.to or EVERYBODY
    texts = [line.replace("\t", " ") for line in options.send.splitlines() if line.strip()]
    if not texts:
        parser.error("--send needs a text")
    try:
        return [checked(text) for text in texts]
    except UnsendableError as error:
        parser.error(f"--send: {error}")


def _nodes(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[Address]:
    """The nodes of ``--connect``, then those of the configuration."""
    connect = [Address(a.host, a.port, a.tls or options.tls) for a in options.connect or ()]
    if connect and options.config is None:
        return connect
    path = options.config or DEFAULT_CONFIG
    if options.config is None and not path.exists():
        parser.error("where to? Say --connect HOST:PORT, or --config chain.ini")
    from chainchat.config import ConfigError, load  # noqa: PLC0415 - --connect works without it

    try:
        settings = load(path)
    except ConfigError as error:
        parser.error(str(error))
    nodes = settings.nodes.values()
    plain = [
        Address(n.client_host, n.client_port) for n in nodes if n.client_port and not options.tls
    ]
    found = connect + (
        plain or [Address(n.client_host, n.tls_port, True) for n in nodes if n.tls_port]
    )
    if not found:
        parser.error(f"--tls: no node of {path} has a tls-port")
    return found


def _tls(parser: argparse.ArgumentParser, options: argparse.Namespace) -> ssl.SSLContext | None:
    """What TLS trusts, if not what the system does."""
    if options.ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=options.ca)
    except ssl.SSLError:
        parser.error(f"--ca {options.ca}: this file holds no certificate in PEM")
    except OSError as error:
        parser.error(f"--ca {options.ca}: {error.strerror}")


if __name__ == "__main__":
    sys.exit(main())
