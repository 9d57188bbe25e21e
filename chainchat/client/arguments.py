"""The client's command line, and ``client.toml`` where that says nothing."""

import argparse
import getpass
import os
import ssl
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from chainchat import __version__
from chainchat.chat.refusals import RefusedError
from chainchat.chat.requests import EVERYBODY, checked_name
from chainchat.client.engine.memory import MOST_LINES
from chainchat.client.engine.wire import Address, UnsendableError, checked, harmless, parse_address
from chainchat.client.kept import settings
from chainchat.client.kept.settings import Settings, SettingsError

VARIABLE = "CHAINCHAT_PASSWORD"

MOST_OCTETS = 1 << 20

ALERT_OCTETS = 900

DEFAULT_CONFIG = Path("chain.ini")

ABOUT = """\
Talk in a chainchat room. In a terminal: an input line with history and completion (Tab). Without
one: lines in, lines out, ending when the input does. /help in the room tells what to type."""

EXIT_STATUSES = """\
exit status: 0 all was confirmed (or the person left); 1 something was not, and may have been said;
2 wrong options, nothing was said; 3 something was refused, and was not said; 75 nobody could log
in, nothing was said: try again; 130 interrupted."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help explains the options)\n")


class Arguments:
    """What a run of the client is to do.

    Attributes:
        settings: of ``client.toml``, under the options.
        names: positions in a chain.ini, by host and port.
    """

    def __init__(self, arguments: Sequence[str] | None) -> None:
        parser = self._parser = _make_parser()
        self.options = parser.parse_args(arguments)
        self.settings = _settings(parser, self.options)
        self.options.name = self.options.name or _name_of(parser, self.settings)
        self.texts = _texts(parser, self.options)
        self.names: dict[tuple[str, int], str] = {}
        self.nodes = _nodes(parser, self.options, self.settings, self.names)
        self.tls = _tls(parser, self.options, self.settings)
        try:
            self.password = _password(self.options)
        except OSError as error:
            parser.error(f"--password-file {self.options.password_file}: {error.strerror}")
        except UnicodeDecodeError:
            parser.error(f"--password-file {self.options.password_file}: that is not UTF-8")

    def error(self, message: str) -> NoReturn:
        self._parser.exit(2, f"{self._parser.prog}: {message}\n")


def _settings(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Settings:
    try:
        chosen = settings.load(options.settings)
    except SettingsError as error:
        parser.error(str(error))
    chosen.utc = "on" if options.utc else chosen.utc
    chosen.log = str(options.log) if options.log else chosen.log
    return chosen


def _name_of(parser: argparse.ArgumentParser, chosen: Settings) -> str:
    try:
        return checked_name(chosen.name or getpass.getuser())
    except (RefusedError, OSError, KeyError):
        parser.error("under which name? Say --name NAME")


def _password(options: argparse.Namespace) -> str:
    """No option gives a password itself, as others can see the command line."""
    if options.password_file is None:
        return os.environ.get(VARIABLE, "")
    text: str = options.password_file.read_text()
    return text.partition("\n")[0].removesuffix("\r")


# --- options -----------------------------------------------------------------------------


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="chainchat-client",
        description=ABOUT,
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_where(parser.add_argument)
    _add_what_to_send(parser.add_argument)
    _add_how_to_run(parser.add_argument)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _add_where(add: Callable[..., object]) -> None:
    add(
        "--name",
        type=_name,
        help="the account to log in as, made if there is none (default: your login name)",
    )
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


def _add_what_to_send(add: Callable[..., object]) -> None:
    add(
        "--send",
        metavar="TEXT",
        help="say this, print its id, and end; each line is a message; -: say the standard input",
    )
    add(
        "--id",
        metavar="NAME",
        help="with --send: names what is said, so that a repetition, by whichever machine, says "
        "nothing twice",
    )
    add(
        "--alert",
        action="store_true",
        help="with --send: make one line of the text that fits everywhere, for pagers",
    )
    add("--to", metavar="NAME", type=_name, help="with --send: say it to this account alone")


def _add_how_to_run(add: Callable[..., object]) -> None:
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
    add("--log", metavar="FILE", type=Path, help="append everything that is shown, a line each")
    add("--utc", action="store_true", help="show times in UTC")
    add(
        "--settings",
        metavar="FILE",
        type=Path,
        help="use this client.toml, instead of the one in your configuration folder",
    )


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
        if options.id or options.alert:
            parser.error("--id and --alert need --send")
        return []
    if options.follow:
        parser.error("--send and --follow exclude each other")
    options.to = options.to or EVERYBODY
    text = _input(parser) if options.send == "-" else options.send
    lines = [_alert(text)] if options.alert else _lines(text)
    texts = [line.replace("\t", " ") for line in lines]
    if not any(texts):
        empty = "--send -: the standard input is empty"
        parser.error(empty if options.send == "-" else "--send needs a text")
    if len(texts) > MOST_LINES:
        parser.error(f"--send: {len(texts)} lines; at most {MOST_LINES} are sent at once")
    try:
        return [checked(text) for text in texts]
    except UnsendableError as error:
        parser.error(f"--send: {error}")


def _lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").split("\n")
    return [line for line in lines if line.strip()]


def _input(parser: argparse.ArgumentParser) -> str:
    data = sys.stdin.buffer.read(MOST_OCTETS + 1)
    if len(data) > MOST_OCTETS:
        parser.error(f"--send -: more than {MOST_OCTETS >> 20} MB")
    try:
        return data.decode()
    except UnicodeDecodeError:
        parser.error("--send -: that is not UTF-8")


def _alert(text: str) -> str:
    line = " / ".join(" ".join(harmless(line).split()) for line in _lines(text))
    while len(line.encode()) > ALERT_OCTETS:
        line = f"{line[: min(len(line) - 2, ALERT_OCTETS)]}…"
    return line


def _nodes(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    chosen: Settings,
    names: dict[tuple[str, int], str],
) -> list[Address]:
    """``names`` takes the positions of nodes that a chain.ini names."""
    options.tls = options.tls or chosen.tls
    try:
        usual = [parse_address(node) for node in chosen.nodes]
    except ValueError as error:
        parser.error(f"client.toml: {error}")
    given = options.connect or ([] if options.config else usual)
    connect = [Address(a.host, a.port, a.tls or options.tls) for a in given]
    if connect and options.config is None:
        return connect
    path = options.config or DEFAULT_CONFIG
    if options.config is None and not path.exists():
        parser.error("where to? Say --connect HOST:PORT, or --config chain.ini")
    found = connect + _configured(parser, path, names, only_tls=options.tls)
    if not found:
        parser.error(f"--tls: no node of {path} has a tls-port")
    return found


def _configured(
    parser: argparse.ArgumentParser,
    path: Path,
    names: dict[tuple[str, int], str],
    *,
    only_tls: bool,
) -> list[Address]:
    from chainchat.config import ConfigError, load  # noqa: PLC0415 - --connect works without it

    try:
        settings = load(path)
    except ConfigError as error:
        parser.error(str(error))
    nodes = settings.nodes.values()
    for position, node in settings.nodes.items():
        names |= dict.fromkeys(
            ((node.client_host, port) for port in (node.client_port, node.tls_port)), position
        )
    plain = [Address(n.client_host, n.client_port) for n in nodes if n.client_port and not only_tls]
    return plain or [Address(n.client_host, n.tls_port, True) for n in nodes if n.tls_port]


def _tls(
    parser: argparse.ArgumentParser, options: argparse.Namespace, chosen: Settings
) -> ssl.SSLContext | None:
    if options.ca is None and chosen.ca:
        options.ca = Path(chosen.ca).expanduser()
    if options.ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=options.ca)
    except ssl.SSLError:
        parser.error(f"--ca {options.ca}: this file holds no certificate in PEM")
    except OSError as error:
        parser.error(f"--ca {options.ca}: {error.strerror}")
