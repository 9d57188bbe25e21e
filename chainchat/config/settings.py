"""The settings: everything that chain.ini says, typed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from chainchat.config.networks import Network

POSITION_SIGN = "%p"  # stands for the position in a path of [tls]


class NewAccounts(Enum):
    """Who makes accounts."""

    OPEN = "open"
    """Everybody makes one by logging in."""

    INVITED = "invited"
    """Operators make them, with a password that admits only to choose another."""

    CLOSED = "closed"
    """Operators make them, with a password that stays until it is changed."""


class Plaintext(Enum):
    """Where a password may be typed that others on the way can read."""

    AUTO = "auto"
    """At this machine; elsewhere only while the node has no port for TLS."""

    ALLOW = "allow"
    REFUSE = "refuse"


class LogFormat(Enum):
    """The form of the lines of the log."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class AccountRules:
    """Rules for accounts; ``delete_others``: in an open room, everybody may delete anybody."""

    new: NewAccounts = NewAccounts.OPEN
    delete_others: bool = True
    plaintext: Plaintext = Plaintext.AUTO


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """One position of the chain.

    Attributes:
        host: where its node listens for the others, and they dial it.
        client_host: where it listens for clients; empty: ``host``.
        client_port, tls_port: for clients without TLS and with it; 0: none.
        web_port: for health checks, metrics and the page; 0: none.
        web_url: where people find the page behind a proxy; empty: at the web port.
        chain_host_key, client_host_key: the keys of ``host`` and ``client_host``, for errors.
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
    client_host: str = ""
    chain_host_key: str = "host"
    client_host_key: str = "host"

    def __post_init__(self) -> None:
        if not self.client_host:
            object.__setattr__(self, "client_host", self.host)


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """Where TLS finds certificates and keys; ``%p`` in a path stands for the position.

    Attributes:
        ca: whose certificates the nodes accept from each other.
        certificate, client_certificate: what a node shows to the others, and to clients; then
            intermediates.
    """

    ca: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path

    def of(self, position: str) -> "TLSFiles":
        paths = (self.ca, self.certificate, self.key, self.client_certificate, self.client_key)
        return TLSFiles(*(Path(str(path).replace(POSITION_SIGN, position)) for path in paths))


@dataclass(frozen=True, slots=True)
class Settings:
    """All of chain.ini. Limits are per node; a rate of 0 is no limit.

    Attributes:
        suspect_after: seconds of silence.
        max_line: octets.
        exempt: networks whose addresses have no limit of their own.
        per_address, connects_per_minute: connections of one address, all and new ones.
        new_accounts: accounts that one address may make in ten minutes.
        most_accounts: accounts in all, beyond which nodes make no more.
        send_rate, send_burst: messages of one account, a second and at once.
        stop: octets of free disk below which the node takes nothing new; 0: off.
        keep_days: age at which messages are removed; 0: never.
        keep_octets: about the most that is kept; 0: as much as there is room for.
        keep_unread: keep what an account has not seen, however old.
        refusal_is_death: a refused connection proves that a process is dead.
        nodes: the founding positions first, the others in the order of the file.
        check_dates: False to accept certificates before and after their time.
        values: what the file says, by section and key.
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

    @property
    def removes(self) -> bool:
        return bool(self.keep_days or self.keep_octets)
