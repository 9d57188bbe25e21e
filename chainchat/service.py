"""A node as a service: put together from its parts, started, reborn, and stopped."""

import atexit
import os
import secrets
import signal
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from msgspec import msgpack
from msgspec.structs import replace as structs_replace
from twisted.application.service import Service
from twisted.internet import task
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from chainchat import config, preflight
from chainchat.chain.configuration import IDENTITY_BITS, Member
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chain.messages import Message
from chainchat.chain.record import Record, forced_alone
from chainchat.chain.replica import DivergenceError
from chainchat.node.lives import begin_life
from chainchat.node.node import Node
from chainchat.node.space import Space, free_octets
from chainchat.node.state_machine import StateMismatchError
from chainchat.peers.hello import PROTOCOL_VERSION, Introduction
from chainchat.peers.links import Links
from chainchat.process import collect_garbage_rarely, raise_file_limit
from chainchat.sessions.admission import Admission, ClientLimits, reserve
from chainchat.sessions.interfaces import Attendee, ServerInfo
from chainchat.sessions.listener import ClientFactory, ClientPort, ClientProtocol
from chainchat.sessions.session import Session
from chainchat.sessions.sessions import Sessions
from chainchat.storage.interface import StorageError
from chainchat.storage.sqlite import SQLiteStorage
from chainchat.tls.credentials import CredentialsError
from chainchat.tls.layers import encrypted
from chainchat.tls.node import NodeTLS, read

STOP_SECONDS = 1.0
"""Time for a stopping node to answer what it has taken."""

FORCED_AHEAD = 1_000
"""Epochs that a node leaves out when it is forced to go on alone, at least."""

FORCED_SPREAD = 2**20
"""More epochs that it leaves out, a random number below this: two forced nodes differ.

The epoch can still be read out over the telephone.
"""

INCARNATION_STEP = 1_000
"""The most that a life's number grows: see ``begin_life``."""

DAY_SECONDS = 86_400.0
"""How often the log warns of certificates that expire soon."""

NONCES = 2**48
"""A life's pings are numbered from a random number below this."""

log = Logger()


class StartError(Exception):
    """The node cannot start; says why in one line."""


class NodeService(Service):
    """One node as a service: opens everything at the start, closes everything at the end.

    It opens nothing before ``startService``: if twistd becomes a daemon, it has done so by then.
    """

    def __init__(
        self,
        reactor: Any,
        settings: config.Settings,
        own: config.NodeSettings,
        *,
        fenced: tuple[str, ...] | None = None,
        foreground: bool = True,
    ) -> None:
        """Open nothing yet.

        Args:
            reactor: Twisted's. Its static type knows few of its methods.
            settings: of the chain.
            own: of this node.
            fenced: positions that an operator has fenced, if the node is to go on alone.
            foreground: True if somebody reads this process's standard error.
        """
        self._reactor = reactor
        self._settings = settings
        self._own = own
        self._fenced = fenced
        self._foreground = foreground

    def startService(self) -> None:
        """Open the data, listen on both ports, dial the others.

        Raises:
            StartError: the node cannot start; the daemon reports this to its parent.
            SystemExit: the same, in the foreground.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._files = raise_file_limit()
        collect_garbage_rarely()
        try:
            self._open()
        except (StorageError, CannotListenError, config.ConfigError, CredentialsError) as error:
            log.critical("{position}: {error}", position=self._own.position, error=error)
            if self._foreground:
                raise SystemExit(f"chainchat: {error}") from None
            raise StartError(str(error)) from None

    def _open(self) -> None:
        settings, own = self._settings, self._own
        addresses = preflight.addresses(settings)
        self._nodes = {p: replace(n, host=addresses[p]) for p, n in settings.nodes.items()}
        host = self._nodes[own.position].host
        limits = self._limits(settings)
        credentials = read(settings, own.position, host)
        self._tls = NodeTLS(self._reactor, settings, credentials, addresses)
        self._storage = SQLiteStorage(own.data)
        self._begin_life()
        self._admission = Admission(
            limits, self._reactor.seconds, lambda: self._node.configuration.epoch
        )
        self._links = Links(self._reactor, self._introduction, self._nodes, tls=self._tls.chain)
        self._reactor.listenTCP(own.chain_port, self._links.factory(), interface=host)
        self._client_ports = [
            ClientPort(port, factory, 1024, host, self._reactor)
            for port, factory in self._client_factories()
        ]
        for port in self._client_ports:
            port.startListening()
        self._node.start()
        self._links.start(self._introduction, self._node, self._node.configuration.members)
        self._warn_daily()
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))

    def reload(self) -> list[str]:
        """Read chain.ini and the files of TLS again, and take what a running node can take.

        A file that cannot be used changes nothing.

        Returns:
            Lines for an operator: what is new, and what needs a restart. They are logged, too.
        """
        try:
            lines = self._reloaded()
        except (config.ConfigError, CredentialsError) as error:
            lines = [f"nothing is reloaded: {error}"]
        for line in lines:
            log.info("{position}: {line}", position=self._own.position, line=line)
        return lines

    def _reloaded(self) -> list[str]:
        own, old = self._own.position, self._settings
        found = config.load(old.path)
        new = config.reloaded(old, found)
        credentials = read(new, own, self._nodes[own].host)
        limits = self._limits(new)
        changes = config.changes(old, found)
        self._settings = new
        self._admission.limits = limits
        lines = [f"reloaded: {each}" for each in changes if not each.needs_restart]
        lines += self._tls.renew(credentials, check_dates=new.check_dates)
        self._links.dial_again()
        lines += [f"needs a restart: {each}" for each in changes if each.needs_restart]
        return [*lines, *self._tls.expiry.warnings] or ["reloaded: nothing has changed"]

    def _warn_daily(self) -> None:
        for warning in self._tls.expiry.warnings:
            log.warn("{position}: {warning}", position=self._own.position, warning=warning)
        self._daily = self._reactor.callLater(DAY_SECONDS, self._warn_daily)

    def _limits(self, settings: config.Settings) -> ClientLimits:
        """The limits for clients.

        Raises:
            ConfigError: this process may open too few files for any client.
        """
        kept = reserve(len(settings.nodes))
        limits = ClientLimits(
            settings.max_connections, settings.per_address, settings.exempt, self._files - kept
        )
        if limits.files < 1:
            raise config.ConfigError(
                f"the limit of open files is {self._files}: a node needs {kept}, and one for each "
                "client; raise it (ulimit -n, or LimitNOFILE= of systemd)"
            )
        if limits.files < limits.connections:
            log.info(
                "{position}: the limit of open files, {files}, leaves room for {clients} clients",
                position=self._own.position,
                files=self._files,
                clients=limits.files,
            )
        return limits

    def _begin_life(self) -> None:
        settings, own = self._settings, self._own
        step = 1 + secrets.randbelow(INCARNATION_STEP)
        record = begin_life(self._storage, lambda: secrets.token_hex(8), step)
        me = Member(
            own.position,
            record.id,
            record.incarnation,
            self._nodes[own.position].host,
            own.chain_port,
            own.client_port,
        )
        if self._fenced is not None:
            record = self._forced_alone(record, me)
        self._introduction = Introduction(
            PROTOCOL_VERSION,
            settings.name,
            settings.founding,
            settings.suspect_after,
            me,
            settings.refusal_is_death,
            settings.chain_tls,
        )
        self._node = Node(
            me,
            record,
            self._storage,
            self,
            self._reactor,
            settings=ChainSettings(
                founding=settings.founding,
                suspect_after=settings.suspect_after,
                known=frozenset(settings.nodes),
                places={p: (n.host, n.chain_port) for p, n in self._nodes.items()},
                longest_pause=settings.rejoin_pause,
                refusal_is_death=settings.refusal_is_death,
            ),
            wall=lambda: time.time_ns() // 1_000_000,
            fail=self._fail,
            excluded=self._end_life,
            work=time.monotonic,
            space=Space(lambda: free_octets(own.data), settings.stop),
            first_nonce=secrets.randbelow(NONCES),
            new_identity=new_identity,
            warnings=lambda: self._tls.expiry.warnings,
        )
        self._sessions = Sessions(self._node, self._reactor)
        log.info(
            "{position}: incarnation {incarnation} of {id}, log up to {last}; clients at {client}",
            position=own.position,
            incarnation=record.incarnation,
            id=record.id,
            last=self._storage.last.seq,
            client=_client_addresses(self._nodes[own.position]),
        )

    def _forced_alone(self, record: Record, me: Member) -> Record:
        epoch = forced_epoch(record.configuration.epoch)
        assert self._fenced is not None
        try:
            forced = forced_alone(record, me, epoch, self._fenced, new_identity())
        except ValueError as error:
            raise config.ConfigError(f"--fenced {','.join(self._fenced)}: {error}") from None
        forced = structs_replace(forced, founding=record.founding or self._settings.founding)
        self._storage.write_record(msgpack.encode(forced))
        self._fenced = None
        log.warn(
            "{position}: {old} is followed by {new}: {why}",
            position=me.position,
            old=record.configuration,
            new=forced.configuration,
            why=forced.configuration.why,
        )
        return forced

    def _end_life(self) -> None:
        """Tell the clients that the chain goes on without this node; begin again as a learner."""
        for session in list(self._sessions.connections):
            session.dropped_out()
        self._sessions.stop()
        self._links.stop()
        self._begin_life()
        self._node.start()
        self._links.start(self._introduction, self._node, self._node.configuration.members)

    def send(self, to: str, message: Message) -> None:
        """Send for the node: this is its ``Network``, since the links outlive it."""
        self._links.send(to, message)

    def distrust(self, position: str, reason: str) -> None:
        """See ``Network``."""
        self._links.distrust(position, reason)

    def _client_factories(self) -> Iterator[tuple[int, Any]]:  # as Twisted types no factory
        """Each port for clients, and the factory for it."""
        nodes, named = self._nodes, self._settings.nodes
        if self._own.client_port:
            plain = {p: f"{n.host}:{n.client_port}" for p, n in nodes.items() if n.client_port}
            yield self._own.client_port, self._client_factory(plain)
        if self._tls.clients is not None:
            # Names rather than addresses: clients look for them in the certificates.
            secure = {p: f"{n.host}:{n.tls_port}" for p, n in named.items() if n.tls_port}
            factory = self._client_factory(secure)
            layered = encrypted(factory, self._tls.clients, self._reactor, dials=False)
            yield self._own.tls_port, layered

    def _client_factory(self, addresses: dict[str, str]) -> ClientFactory:
        """A factory for clients; ``addresses``: where they find each node, by position."""
        settings = self._settings
        server_info = ServerInfo(
            settings.name, settings.max_line, addresses, lambda: secrets.token_urlsafe(16)
        )

        def new_session(connection: ClientProtocol) -> Session:
            return Session(self._sessions, connection, self._reactor, server_info)

        return ClientFactory(new_session, admission=self._admission, clock=self._reactor)

    def _fail(self, error: Exception) -> None:
        """Stop at once: a node must not acknowledge what it cannot keep."""
        position = self._own.position
        if isinstance(error, StorageError | DivergenceError | StateMismatchError):
            log.critical("{position}: {error}; this node stops", position=position, error=error)
        else:
            log.failure("{position}: a bug; this node stops", position=position)
        self._links.stop()
        # After a stop from within, twistd has no other way to an exit status.
        atexit.register(os._exit, 1)
        self._reactor.callLater(0, self._reactor.stop)

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], Any, None]:
        """Take no more lines, finish what was taken, tell the clients where to go, close."""
        super().stopService()  # type: ignore[no-untyped-call]
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._daily.cancel()
        for port in self._client_ports:
            yield maybeDeferred(port.stopListening)
        sessions = list(self._sessions.connections)
        for session in sessions:
            session.take_no_more()
        self._sessions.marks.send()
        deadline = self._reactor.seconds() + STOP_SECONDS
        while (
            self._reactor.seconds() < deadline and self._node.running and self._unfinished(sessions)
        ):
            yield task.deferLater(self._reactor, 0.01)
        for session in sessions:
            session.shut_down()
        self._sessions.stop()
        self._node.stop()
        yield task.deferLater(self._reactor, 0)  # let the sockets take what was written
        # The chain port closes with the process, not before: a refusal there means death.
        self._links.stop()
        self._storage.close()

    def _unfinished(self, sessions: list[Attendee]) -> bool:
        return self._node.pending > 0 or any(session.busy for session in sessions)


def _client_addresses(own: config.NodeSettings) -> str:
    """Where clients find a node, for the log."""
    plain = [f"{own.host}:{own.client_port}"] if own.client_port else []
    secure = [f"{own.host}:{own.tls_port} with TLS"] if own.tls_port else []
    return ", ".join(plain + secure)


def new_identity() -> int:
    """A random identity for a configuration."""
    return secrets.randbits(IDENTITY_BITS)


def forced_epoch(known: int) -> int:
    """The first epoch of a node forced to go on alone; ``known``: the newest epoch it knows.

    An epoch names a configuration and its entries. So two nodes forced by mistake, which cannot
    know of each other, must not share one.
    """
    return known + FORCED_AHEAD + secrets.randbelow(FORCED_SPREAD)
