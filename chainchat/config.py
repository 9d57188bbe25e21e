"""chain.ini -> typed settings.

Every mistake becomes one `ConfigError`, which names the file, the section, the key, the bad value
and what is allowed instead.
"""

import configparser
import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

Network = IPv4Network | IPv6Network

MOST_POSITIONS = 3
FIRST_CLIENT_PORT = 7001
FIRST_CHAIN_PORT = 7101
LONGEST_SHOWN = 60  # characters of a bad value that are repeated in an error
LEAST_KEPT = 10_000_000
"""Octets that ``keep`` names at least: less would hardly hold a checkpoint."""
UNITS = {"": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
NO_POSITIONS = ("chain", "clients", "limits", "accounts", "storage", "tls", "log")
"""Sections that are something else."""

POSITION_SIGN = "%p"  # stands for the position in a path of [tls]


class NewAccounts(Enum):
    """Who makes accounts."""

    OPEN = "open"
    """Everybody, by logging in."""

    INVITED = "invited"
    """Operators, with a password that admits only to choose another."""

    CLOSED = "closed"
    """Operators, with a password that stays until it is changed."""


class Plaintext(Enum):
    """Where a password may be typed that others on the way can read."""

    AUTO = "auto"
    """At this machine; from others while the node has no port for TLS."""

    ALLOW = "allow"
    REFUSE = "refuse"


class LogFormat(Enum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class AccountRules:
    """The section [accounts]; ``delete_others``: in an open room everybody may delete anybody."""

    new: NewAccounts = NewAccounts.OPEN
    delete_others: bool = True
    plaintext: Plaintext = Plaintext.AUTO


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """One position of the chain: where its node listens, and where it keeps its data.

    Attributes:
        client_port: for clients without TLS; 0: none.
        tls_port: for clients with TLS; 0: none.
        web_port: for health checks, metrics and the page; 0: none.
        web_host: where that listens.
        web_url: where people find it, if not there, as behind a proxy; empty: there.
    """

    position: str
    host: str
    client_port: int
    chain_port: int
    data: Path
    tls_port: int = 0
    web_port: int = 0
    web_host: str = "127.0.0.1"
    web_url: str = ""


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """Where TLS finds certificates and keys; ``%p`` in a path stands for the position.

    Attributes:
        ca: the CAs whose certificates the nodes accept from each other.
        certificate: what a node shows to the others, then intermediates.
        client_certificate: what it shows to clients, then intermediates.
    """

    ca: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path

    def of(self, position: str) -> "TLSFiles":
        """The files of one position."""
        paths = (self.ca, self.certificate, self.key, self.client_certificate, self.client_key)
        return TLSFiles(*(Path(str(path).replace(POSITION_SIGN, position)) for path in paths))


@dataclass(frozen=True, slots=True)
class Settings:
    """All of chain.ini.

    Attributes:
        suspect_after: seconds.
        max_line: octets.
        max_connections: of clients, per node.
        per_address: connections of one address, per node.
        exempt: networks whose addresses have no limit of their own.
        connects_per_minute: new connections of one address, per node; 0: no limit.
        new_accounts: accounts that one address may make in ten minutes, per node; 0: no limit.
        most_accounts: accounts in all, beyond which nodes make no more.
        send_rate: messages of one account a second, per node; 0: no limit.
        send_burst: messages of one account at once.
        stop: octets of free disk below which the node takes nothing new; 0: off.
        keep_days: the age at which messages are removed; 0: never.
        keep_octets: how much is kept at most, about; 0: as much as there is room for.
        keep_unread: true to keep what an account has not seen, however old it is.
        accounts: who makes accounts, and where passwords may be typed.
        refusal_is_death: a refused connection proves that a process is dead.
        nodes: the founding positions first, the others in the order of the file.
        chain_tls: the nodes speak TLS with each other.
        check_dates: false if an expired certificate is as good as any.
        log_format: how a line of the log is written.
        values: what the file says, by section and key; without what it leaves out.
    """

    path: Path
    name: str
    founding: tuple[str, ...]
    suspect_after: float
    max_line: int
    max_connections: int
    per_address: int
    exempt: tuple[Network, ...]
    stop: int
    nodes: dict[str, NodeSettings]
    tls: TLSFiles
    rejoin_pause: float = 60.0
    refusal_is_death: bool = True
    connects_per_minute: int = 120
    new_accounts: int = 30
    most_accounts: int = 100_000
    send_rate: int = 200
    send_burst: int = 2_000
    accounts: AccountRules = AccountRules()
    chain_tls: bool = False
    check_dates: bool = True
    keep_days: int = 0
    keep_octets: int = 0
    keep_unread: bool = True
    log_format: LogFormat = LogFormat.TEXT
    values: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False)


class ConfigError(Exception):
    """A mistake in chain.ini, told in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(_printable(message))


def is_position(text: str) -> bool:
    """True if ``text`` can name a position."""
    try:
        POSITION.read(text)
    except ValueError:
        return False
    return True


def load(path: Path) -> Settings:
    """Read chain.ini.

    Args:
        path: the file; the relative paths in it start at its folder.

    Raises:
        ConfigError: the file cannot be used.
    """
    path = path.absolute()
    parser = _parse(path, _read(path))
    chain = _Section(path, parser, "chain", CHAIN_KEYS)
    clients = _Section(path, parser, "clients", CLIENTS_KEYS)
    limits = _Section(path, parser, "limits", LIMITS_KEYS)
    accounts = _Section(path, parser, "accounts", ACCOUNTS_KEYS)
    storage = _Section(path, parser, "storage", STORAGE_KEYS)
    tls = _Section(path, parser, "tls", TLS_KEYS)
    keep_days, keep_octets = storage.take("keep", KEEP, (0, 0))
    log = _Section(path, parser, "log", LOG_KEYS)
    chain.must_exist("name and founding are required")
    name = chain.take("name", CLUSTER_NAME)
    founding = chain.take("founding", FOUNDING)
    return Settings(
        path=path,
        name=name,
        founding=founding,
        suspect_after=chain.take("suspect-after", SUSPECT_AFTER, 1.0),
        rejoin_pause=chain.take("rejoin-pause", REJOIN_PAUSE, 60.0),
        refusal_is_death=chain.take("refusal-is-death", YES_OR_NO, True),
        max_line=clients.take("max-line", MAX_LINE, 1024),
        max_connections=clients.take("max-connections", MAX_CONNECTIONS, 10_000),
        per_address=limits.take("per-address", PER_ADDRESS, 64),
        exempt=limits.take("exempt", NETWORKS, EXEMPT),
        connects_per_minute=limits.take("connects-per-minute", RATE, 120),
        new_accounts=limits.take("new-accounts", RATE, 30),
        most_accounts=limits.take("most-accounts", MOST_ACCOUNTS, 100_000),
        send_rate=limits.take("send-rate", RATE, 200),
        send_burst=limits.take("send-burst", SEND_BURST, 2_000),
        accounts=AccountRules(
            new=accounts.take("new", NEW_ACCOUNTS, NewAccounts.OPEN),
            delete_others=accounts.take("delete-others", YES_OR_NO, True),
            plaintext=accounts.take("plaintext", PLAINTEXT, Plaintext.AUTO),
        ),
        stop=storage.take("stop", OCTETS, 100_000_000),
        keep_days=keep_days,
        keep_octets=keep_octets,
        keep_unread=storage.take("keep-unread", YES_OR_NO, True),
        nodes=_nodes(path, parser, founding),
        tls=_tls_files(tls),
        chain_tls=tls.take("chain", YES_OR_NO, False),
        check_dates=tls.take("check-dates", YES_OR_NO, True),
        log_format=log.take("format", LOG_FORMAT, LogFormat.TEXT),
        values={
            (name, key): parser[name][key] for name in parser.sections() for key in parser[name]
        },
    )


@dataclass(frozen=True, slots=True)
class Change:
    """A key whose value in the file is another one; None where the file leaves it out."""

    section: str
    key: str
    before: str | None
    after: str | None

    @property
    def needs_restart(self) -> bool:
        """True if a running node cannot take the new value."""
        return (self.section, self.key) not in RELOADABLE

    def __str__(self) -> str:
        before, after = (
            "(default)" if value is None else _shown(value) for value in (self.before, self.after)
        )
        return f"[{_shown(self.section)}] {self.key}: {before} -> {after}"


def changes(old: Settings, new: Settings) -> list[Change]:
    """What a file says otherwise than before, in the order of its sections."""
    keys = dict.fromkeys((*old.values, *new.values))
    pairs = [(key, old.values.get(key), new.values.get(key)) for key in keys]
    return [Change(*key, before, after) for key, before, after in pairs if before != after]


def reloaded(old: Settings, new: Settings) -> Settings:
    """The old settings, with the new value of every key that a running node can take."""
    values = {key: value for key, value in old.values.items() if key not in RELOADABLE}
    values |= {key: value for key, value in new.values.items() if key in RELOADABLE}
    taken = {attribute: getattr(new, attribute) for attribute in RELOADABLE.values()}
    return replace(old, values=values, **taken)


# The kinds of values. `read` raises ValueError for a value that is not allowed.


@dataclass(frozen=True, slots=True)
class _Kind(Generic[T]):
    """A kind of value: how it is read, and what an error says is allowed."""

    read: Callable[[str], T]
    allowed: str


def _matching(pattern: str, allowed: str) -> _Kind[str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text) or not text.isprintable():
            raise ValueError(text)
        return text

    return _Kind(read, allowed)


def _whole(least: int, most: int) -> _Kind[int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(text)
        return int(text)

    return _Kind(read, f"a whole number from {least} to {most}")


def _seconds(least: float, most: float) -> _Kind[float]:
    def read(text: str) -> float:
        plain = re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", text)  # not nan, not inf, not 1e9
        if not plain or not least <= float(text) <= most:
            raise ValueError(text)
        return float(text)

    return _Kind(read, f"a number of seconds from {least:g} to {most:g}")


def _founding(text: str) -> tuple[str, ...]:
    positions = tuple(text.split())
    if not 1 <= len(positions) <= MOST_POSITIONS or len(set(positions)) < len(positions):
        raise ValueError(text)
    return tuple(POSITION.read(position) for position in positions)


def _networks(text: str) -> tuple[Network, ...]:
    if "%" in text:  # an interface of one machine
        raise ValueError(text)
    return tuple(ip_network(network) for network in text.split())


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"


def _one_of(choices: type[E]) -> _Kind[E]:
    *first, last = [choice.value for choice in choices]
    return _Kind(choices, f"{', '.join(first)} or {last}")


def _octets(text: str) -> int:
    size = re.fullmatch(r"([0-9]{1,9}) *(|kB|MB|GB)", text)
    if size is None:
        raise ValueError(text)
    return int(size[1]) * UNITS[size[2]]


def _keep(text: str) -> tuple[int, int]:
    """Days and octets; 0 for what is not named."""
    days = octets = 0
    for part in text.split(","):
        age = re.fullmatch(r" *([1-9][0-9]{0,4}) *days? *", part)
        if age and not days:
            days = int(age[1])
        elif not age and not octets and _octets(part.strip()) >= LEAST_KEPT:
            octets = _octets(part.strip())
        else:
            raise ValueError(text)
    return days, octets


def _port_or_none(text: str) -> int:
    return 0 if text == "none" else PORT.read(text)


_A_POSITION = (
    "1 to 32 lowercase letters, digits or '-', and not "
    f"{', '.join(map(repr, NO_POSITIONS[:-1]))} or {NO_POSITIONS[-1]!r}"
)

CLUSTER_NAME = _matching(r"[A-Za-z0-9._-]{1,32}", "1 to 32 letters, digits, '-', '_' or '.'")
POSITION = _matching(rf"(?!({'|'.join(NO_POSITIONS)})$)[a-z0-9-]{{1,32}}", _A_POSITION)
FOUNDING = _Kind(
    _founding,
    f"one to three different positions, as chains of one to three work; each {_A_POSITION}",
)
SUSPECT_AFTER = _seconds(0.1, 60)
REJOIN_PAUSE = _seconds(0, 600)
YES_OR_NO = _Kind(_yes_or_no, "yes or no")
MAX_LINE = _whole(64, 16_384)
MAX_CONNECTIONS = _whole(1, 1_000_000)
PER_ADDRESS = _whole(1, 1_000_000)
RATE = _whole(0, 1_000_000)
MOST_ACCOUNTS = _whole(1, 1_000_000)
SEND_BURST = _whole(1, 1_000_000)
NEW_ACCOUNTS = _one_of(NewAccounts)
PLAINTEXT = _one_of(Plaintext)
LOG_FORMAT = _one_of(LogFormat)
HOST = _matching(r"[^\s,]+", "a host name or address, without spaces or commas")
PORT = _whole(1, 65_535)
PORT_OR_NONE = _Kind(_port_or_none, f"{PORT.allowed}, or none")
URL = _matching(
    r"https?://[^\s/?#@]+(/[^\s?#]*)?",
    "where people find the page, as in https://chat.example.org/head/",
)
FILE = _matching(r".+", "the path of a file; %p in it stands for the position")
FOLDER = _matching(r".+", "the path of a folder")
NETWORKS = _Kind(_networks, "addresses and networks between spaces, as in 127.0.0.0/8 10.1.2.3 ::1")
KEEP = _Kind(_keep, "an age, a size of 10 MB or more, or both, as in 90 days, 10 GB")
OCTETS = _Kind(_octets, "a size as in 0 (off), 4096 (octets), 64 kB, 100 MB or 2 GB")

EXEMPT = _networks("127.0.0.0/8 ::1")

CHAIN_KEYS = ("name", "founding", "suspect-after", "rejoin-pause", "refusal-is-death")
CLIENTS_KEYS = ("max-line", "max-connections")
LIMITS_KEYS = (
    *("per-address", "exempt", "connects-per-minute", "new-accounts", "most-accounts"),
    *("send-rate", "send-burst"),
)
ACCOUNTS_KEYS = ("new", "delete-others", "plaintext")
STORAGE_KEYS = ("stop", "keep", "keep-unread")
LOG_KEYS = ("format",)
TLS_KEYS = (
    *("ca", "certificate", "key", "chain", "check-dates"),
    *("client-certificate", "client-key"),
)
NODE_KEYS = (
    *("host", "client-port", "tls-port", "chain-port", "data"),
    *("web-port", "web-host", "web-url"),
)

RELOADABLE = {
    ("clients", "max-connections"): "max_connections",
    ("limits", "per-address"): "per_address",
    ("limits", "exempt"): "exempt",
    ("limits", "connects-per-minute"): "connects_per_minute",
    ("limits", "new-accounts"): "new_accounts",
    ("limits", "most-accounts"): "most_accounts",
    ("limits", "send-rate"): "send_rate",
    ("limits", "send-burst"): "send_burst",
    ("accounts", "new"): "accounts",
    ("accounts", "delete-others"): "accounts",
    ("accounts", "plaintext"): "accounts",
    ("tls", "ca"): "tls",
    ("tls", "certificate"): "tls",
    ("tls", "key"): "tls",
    ("tls", "client-certificate"): "tls",
    ("tls", "client-key"): "tls",
    ("tls", "check-dates"): "check_dates",
}
"""The keys whose new values a running node takes, and the attribute of ``Settings`` that each sets.

A change of any other key needs a restart.
"""


# How the file is read.


class _Section:
    """One section of the file: its values, and errors about them."""

    def __init__(
        self,
        path: Path,
        parser: configparser.RawConfigParser,
        name: str,
        known: tuple[str, ...],
    ) -> None:
        self._path = path
        self._name = name
        self._sections = parser.sections()
        self._values = dict(parser[name]) if name in parser else {}
        for key in self._values:
            if key not in known:
                hint = _hint(key, known)
                raise self.error(f"{_shown(key)} is unknown{hint}; allowed: {', '.join(known)}")

    def take(self, key: str, kind: _Kind[T], default: T | None = None) -> T:
        """The value of a key; without a default, the key is required."""
        text = self._values.get(key)
        if text is None:
            if default is None:
                raise self.error(f"{key} is missing; allowed: {kind.allowed}")
            return default
        try:
            return kind.read(text)
        except ValueError:
            hint = "; an indented line continues the one before it" if "\n" in text else ""
            raise self.error(f"{key} = {_shown(text)}; allowed: {kind.allowed}{hint}") from None

    def has(self, key: str) -> bool:
        """True if the file has this key."""
        return key in self._values

    def must_exist(self, reason: str) -> None:
        """Refuse a file without this section."""
        if self._name not in self._sections:
            nearest = difflib.get_close_matches(self._name, self._sections, n=1)
            hint = f" (is [{_shown(nearest[0])}] meant to be it?)" if nearest else ""
            raise self.error(f"the section is missing{hint}; {reason}")

    def folder(self, key: str, default: str) -> Path:
        """A folder that a key names, relative to the folder of the file."""
        return Path(os.path.abspath(self._path.parent / self.take(key, FOLDER, default)))

    def file(self, key: str, default: str) -> Path:
        """A file that a key names, relative to the folder of the chain.ini."""
        return Path(os.path.abspath(self._path.parent / self.take(key, FILE, default)))

    def error(self, problem: str) -> ConfigError:
        """A mistake in this section."""
        return ConfigError(f"{self._path}: [{_shown(self._name)}] {problem}")


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: this is a folder; name the chain.ini in it") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line} is not UTF-8") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be read: {reason}") from None


def _parse(path: Path, text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(
        inline_comment_prefixes=(";",),
        empty_lines_in_values=False,
        default_section="",  # a section [DEFAULT] is nothing special
    )
    try:
        parser.read_string(text, str(path))
    except configparser.DuplicateSectionError as error:
        problem = f"line {error.lineno}: there is a section [{_shown(error.section)}] already"
    except configparser.DuplicateOptionError as error:
        problem = f"line {error.lineno}: [{_shown(error.section)}] has {_shown(error.option)} twice"
    except configparser.MissingSectionHeaderError as error:
        problem = f"line {error.lineno}: a [section] has to come before {_shown(error.line)}"
    except configparser.ParsingError as error:
        line = error.errors[0][0]
        content = _shown(text.split("\n")[line - 1])
        problem = f"line {line}: {content}; allowed: [section], key = value, or a ; comment"
    else:
        return parser
    raise ConfigError(f"{path}: {problem}")


def _nodes(
    path: Path, parser: configparser.RawConfigParser, founding: tuple[str, ...]
) -> dict[str, NodeSettings]:
    others = (name for name in parser.sections() if name not in {*NO_POSITIONS, *founding})
    nodes: dict[str, NodeSettings] = {}
    for order, position in enumerate((*founding, *others)):
        section = _Section(path, parser, position, NODE_KEYS)
        founder = position in founding
        if founder:
            section.must_exist("founding names this position")
        nodes[position] = _node(section, position, order if founder else None)
        _refuse_clashes(section, nodes)
    return nodes


def _tls_files(section: _Section) -> TLSFiles:
    certificate = section.take("certificate", FILE, "tls/%p/node.crt")
    key = section.take("key", FILE, "tls/%p/node.key")
    files = TLSFiles(
        ca=section.file("ca", "tls/%p/ca.crt"),
        certificate=section.file("certificate", certificate),
        key=section.file("key", key),
        client_certificate=section.file("client-certificate", certificate),
        client_key=section.file("client-key", key),
    )
    if section.has("client-certificate") != section.has("client-key"):
        raise section.error("client-certificate and client-key go together; name both or none")
    return files


def _node(section: _Section, position: str, order: int | None) -> NodeSettings:
    """One position; ``order``, its place among the founders if any, gives the default ports."""
    try:
        POSITION.read(position)
    except ValueError:
        raise section.error(f"is not the name of a position: {POSITION.allowed}") from None
    client_port = None if order is None else FIRST_CLIENT_PORT + order
    chain_port = None if order is None else FIRST_CHAIN_PORT + order
    node = NodeSettings(
        position=position,
        host=section.take("host", HOST, "127.0.0.1"),
        client_port=section.take("client-port", PORT_OR_NONE, client_port),
        chain_port=section.take("chain-port", PORT, chain_port),
        data=section.folder("data", f"var/{position}"),
        tls_port=section.take("tls-port", PORT_OR_NONE, 0),
        web_port=section.take("web-port", PORT_OR_NONE, 0),
        web_host=section.take("web-host", HOST, "127.0.0.1"),
        web_url=section.take("web-url", URL, ""),
    )
    if not (node.client_port or node.tls_port):
        raise section.error("client-port = none needs a tls-port, or nobody can talk to this node")
    return node


def _refuse_clashes(section: _Section, nodes: dict[str, NodeSettings]) -> None:
    """Refuse the newest node if it claims something twice, or what an earlier node has."""
    taken: dict[object, str] = {}
    for node in nodes.values():
        for key, value, claim in _claims(node):
            if claim in taken:
                raise section.error(f"{key} = {value} is what {taken[claim]} has; choose another")
            taken[claim] = f"[{node.position}] {key}"


def _claims(node: NodeSettings) -> Iterator[tuple[str, object, object]]:
    """What no two nodes may share: the key, its value, and what makes two values equal."""
    host = node.host.lower()
    if node.client_port:
        yield "client-port", node.client_port, (host, node.client_port)
    if node.tls_port:
        yield "tls-port", node.tls_port, (host, node.tls_port)
    yield "chain-port", node.chain_port, (host, node.chain_port)
    if node.web_port:
        web_host = node.web_host.lower()
        # A host that is not the node's may be the loopback of each machine.
        place = host if web_host == host else f"{web_host} of {host}"
        yield "web-port", node.web_port, (place, node.web_port)
    yield "data", node.data, os.path.realpath(node.data)


# How an error reads.


def _hint(key: str, known: tuple[str, ...]) -> str:
    """A guess at what an unknown key was meant to be."""
    sections = (
        *(CHAIN_KEYS, CLIENTS_KEYS, LIMITS_KEYS, ACCOUNTS_KEYS, STORAGE_KEYS),
        *(TLS_KEYS, LOG_KEYS),
    )
    for section, keys in zip(NO_POSITIONS, sections, strict=True):
        if key in keys:
            return f" (it belongs in [{section}])"
    nearest = difflib.get_close_matches(key, known, n=1)
    return f" (is {nearest[0]} meant?)" if nearest else ""


def _shown(text: str) -> str:
    text = _printable(text.rstrip())
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def _printable(text: str) -> str:
    """The text on one line, with unprintable characters escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
