"""IRC servers with their flood control on, and what of the abuses can be done to them.

Flood control would slow down ordinary users, so they come from 127.0.0.1, and are exempt: by a
class of connections (InspIRCd), by an operator's word (ngIRCd, where they talk to themselves: a
line to a channel and to somebody counts as two). Abusers come from 127.0.0.2.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from abuse import Abuse, Abuser, Act, Scene  # from tests/end_to_end
from floods import Flood, endless, new_tally, once, over_and_over  # from tests/end_to_end
from helpers import Helper  # from tests/end_to_end
from users import Speech  # from tests/end_to_end

from lab.irc import Inspircd, IrcServer, Ngircd
from lab.report import Result

PER_ADDRESS = 64
"""Connections of one address, as with chainchat."""

NGIRCD = """
[Global]
Name = irc.bench.test
Info = bench
Listen = {host}
Ports = {port}
PidFile = {folder}/ngircd.pid
[Limits]
MaxConnections = 10000
MaxConnectionsIP = 64
MaxNickLength = 30
PingTimeout = 36000
[Operator]
Name = bench
Password = bench
[Options]
ChrootDir =
DNS = no
Ident = no
PAM = no
"""

INSPIRCD = """
<config format="xml">
<server name="irc.bench.test" description="bench" network="bench">
<admin name="bench" nick="bench" email="bench@bench.test">
<bind address="{host}" port="{port}" type="clients">
<connect name="users" allow="127.0.0.1" timeout="20" pingfreq="10h" hardsendq="100M" softsendq="10M"
 recvq="10K" threshold="1000000" commandrate="1000000000" fakelag="no" localmax="1000"
 globalmax="1000" maxconnwarn="no" resolvehostnames="no" modes="">
<connect name="main" allow="*" timeout="20" pingfreq="2m" hardsendq="1M" softsendq="10240"
 recvq="10K" threshold="10" commandrate="1000" fakelag="yes" localmax="64" globalmax="64"
 maxconnwarn="no" resolvehostnames="no" modes="">
<performance somaxconn="128" softlimit="10000" clonesonconnect="yes" quietbursts="yes">
<limits maxnick="30">
<pid file="{folder}/inspircd.pid">
<log method="file" type="*" level="default" target="{folder}/inspircd.log">
"""

LOGIN = b"NICK f{own}-{}\r\nUSER f 0 * :f\r\n"
JOIN = b"JOIN #room\r\n"


def _speech(then: str, to: str) -> Speech:
    """A line is said to oneself, too: what comes back is its answer."""
    return Speech(
        login=lambda name: (
            f"NICK {name}\r\nUSER {name} 0 * :{name}\r\n{then.format(name)}".encode()
        ),
        welcome=rb"^:\S+ 366 ",
        say=lambda name, number: (
            f"PRIVMSG {to.format(name)} :{name} says line {number}, as ordinary as any\r\n".encode()
        ),
        answer=rb"^:\S+ PRIVMSG [^#]\S* ",
        closing=rb"^ERROR ",
        leave=b"QUIT\r\n",
        then=(b" 001 ", JOIN),
    )


def _flood(line: bytes, first: bytes = LOGIN, count: int = 0, **options: bool) -> Act:
    """Say a line over and over; who is not in the channel yet joins now and then."""

    def act(scene: Scene) -> None:
        block = JOIN + over_and_over(line) if first else over_and_over(line)
        Flood(
            scene.tally,
            scene.addresses,
            endless(block, first=first),
            count=count or scene.size,
            sources=["127.0.0.2"],
            **options,
        ).run()

    return act


def _visits(text: bytes, **options: bool) -> Act:
    """Say something once, and stay or go."""

    def act(scene: Scene) -> None:
        Flood(
            scene.tally,
            scene.addresses,
            once(text),
            count=scene.size,
            sources=["127.0.0.2"],
            **options,
        ).run()

    return act


def _slow_readers(scene: Scene) -> None:
    """They are told what two others say, and read nothing."""
    line = b"PRIVMSG #room :" + b"what is said to those who do not listen " * 12 + b"\r\n"
    loud = endless(JOIN + over_and_over(line), first=LOGIN.replace(b"f{own}", b"l{own}"))
    Flood(
        scene.tally,
        scene.addresses,
        once(LOGIN + JOIN),
        count=scene.size,
        reads=False,
        buffer=4_096,
        sources=["127.0.0.3"],
    ).with_(Flood(scene.tally, scene.addresses, loud, count=2, sources=["127.0.0.2"])).run()


ACTS: dict[str, Act] = {
    "refused-5": _flood(b"\xfe\r\n", b"", 5),
    "refused-60": _flood(b"\xfe\r\n", b""),
    "person-flood": _flood(b"PRIVMSG #room :x\r\n"),
    "persons-flood": _flood(b"PRIVMSG #room :x\r\n"),
    "pings": _flood(b"PING x\r\n"),
    "endless-line": _flood(b"x" * 65_536, count=5),
    "who-flood": _flood(b"WHO #room\r\n", count=1),
    "connections": _visits(b""),
    "churn": _visits(b"x", again=True),
    "slow-readers": _slow_readers,
}
"""What can be done to IRC as well, by row."""


class Guarded:
    """One IRC server, and one row."""

    def __init__(self, kind: type[IrcServer], row: Abuse, size: int, folder: Path) -> None:
        self.name = kind.name
        self.speech = _speech(*WORDS[kind])
        self._act = ACTS[row.name]
        self._size = size
        self._server = kind(folder)

    def __enter__(self) -> "Guarded":
        self._server.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        self._server.__exit__(*reason)

    @property
    def addresses(self) -> Sequence[tuple[str, int]]:
        """The server's."""
        return [self._server.address]

    @property
    def pids(self) -> Mapping[str, int]:
        """The server's."""
        return self._server.pids

    def abuser(self) -> Helper:
        """Of the row."""
        return Abuser(self._act, Scene(self.addresses, self._size, new_tally()))

    def state(self) -> Result:
        """Nothing."""
        return {}


class GuardedNgircd(Ngircd):
    """With its limit of three commands a second, ten for whoever is exempt."""

    config = NGIRCD


class GuardedInspircd(Inspircd):
    """With the limits of its example configuration."""

    config = INSPIRCD


WORDS = {
    # Several receivers of a line count as several lines; ten a second is what an exempt user has.
    GuardedNgircd: ("OPER bench bench\r\nMODE {} +F\r\n", "{}"),
    GuardedInspircd: ("", "#room,{}"),
}
"""What users say after their names, to be exempt, and to whom they say their lines."""


def guarded(row: Abuse, size: int, folder: Path) -> Iterator[Guarded]:
    """The servers that are installed, if the row can be done to them."""
    if row.name in ACTS:
        for kind in WORDS:
            if kind.installed():
                own = folder / kind.name
                own.mkdir()
                yield Guarded(kind, row, size, own)
