"""IRC servers, with every limit out of the way: ngIRCd, InspIRCd and twisted.words."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lab.connections import AT_ONCE, Greeting
from lab.peers import LineWriter, Listener, Peer, addresses

CHANNEL = b"#room"

NGIRCD = """
[Global]
Name = irc.bench.test
Info = bench
Listen = {host}
Ports = {port}
PidFile = {folder}/ngircd.pid
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxNickLength = 20
MaxPenaltyTime = 0
PingTimeout = 36000
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
<connect allow="*" timeout="60" pingfreq="10h" hardsendq="100M" softsendq="50M" recvq="10M"
 threshold="1000000" commandrate="1000000000" fakelag="no" localmax="100000" globalmax="100000"
 maxconnwarn="no" resolvehostnames="no" modes="">
<performance somaxconn="4096" softlimit="100000" clonesonconnect="no" quietbursts="yes">
<limits maxnick="20">
<pid file="{folder}/inspircd.pid">
<log method="file" type="*" level="default" target="{folder}/inspircd.log">
"""


class IrcServer(Peer):
    """One server, one channel.

    Attributes:
        address: where it listens.
    """

    config = ""
    password = b""
    at_once = AT_ONCE

    def begin(self) -> None:
        """Start it."""
        self._names = 0
        (self.address,) = addresses(1)
        host, port = self.address
        config = self.folder / "irc.conf"
        config.write_text(self.config.format(host=host, port=port, folder=self.folder))
        self.start("server", *self.arguments(config))
        self.wait_for_port(port)

    def arguments(self, config: Path) -> list[str]:
        """The command line."""
        raise NotImplementedError

    def writers(self, count: int, text: bytes) -> Sequence[LineWriter]:
        """Speakers, who are told nothing about what they say."""
        request = b"PRIVMSG %s :%s\r\n" % (CHANNEL, text)
        return [LineWriter(self.address, self._greeting(), request, lines=0) for _ in range(count)]

    def receivers(self, count: int) -> Sequence[Listener]:
        """Listeners."""
        return [Listener(self.address, self._greeting()) for _ in range(count)]

    def idlers(self, count: int) -> Sequence[Listener]:
        """Those who have not joined."""
        return [Listener(self.address, replace(self._greeting(), then=None)) for _ in range(count)]

    def _greeting(self) -> Greeting:
        """Log in, then join; 366 is the end of the list of those who have joined."""
        self._names += 1
        name = b"n%d" % self._names
        return Greeting(
            ask=self.password + b"NICK %s\r\nUSER %s 0 * :%s\r\n" % (name, name, name),
            welcome=b" 001 ",
            refusal=b" 433 * ",
            then=Greeting(b"JOIN %s\r\n" % CHANNEL, b" 366 "),
            at_once=self.at_once,
        )


class Ngircd(IrcServer):
    """In C, with one process."""

    name = "ngIRCd"
    program = package = "ngircd"
    config = NGIRCD
    at_once = 8  # its sockets listen for ten

    def arguments(self, config: Path) -> list[str]:
        """In the foreground."""
        return ["--nodaemon", "--config", str(config)]


class Inspircd(IrcServer):
    """In C++, with one process."""

    name = "InspIRCd"
    program = package = "inspircd"
    config = INSPIRCD

    def arguments(self, config: Path) -> list[str]:
        """In the foreground."""
        return ["--config", str(config), "--nofork", "--runasroot"]


class Words(IrcServer):
    """The chat server that comes with Twisted; see ``words_server``."""

    name = "twisted.words"
    program = sys.executable
    package = "python3-twisted"
    password = b"PASS x\r\n"

    def arguments(self, config: Path) -> list[str]:  # noqa: ARG002 - it has none
        """A program of this folder."""
        host, port = self.address
        return [str(Path(__file__).with_name("words_server.py")), host, str(port)]
