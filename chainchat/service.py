"""A node as a service: composed of its parts, started, begun anew, and stopped."""

import atexit
import os
import secrets
import time
from collections.abc import Generator
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
from chainchat.sessions.admission import Admission, Limits, reserve
from chainchat.sessions.interfaces import ServerInfo
from chainchat.sessions.listener import ClientFactory, ClientPort, ClientProtocol
from chainchat.sessions.session import Session
from chainchat.sessions.sessions import Sessions
from chainchat.storage.interface import StorageError
from chainchat.storage.sqlite import SQLiteStorage

STOP_SECONDS = 1.0
"""How long a node that is told to stop waits for what it has taken to be answered."""

FORCED_AHEAD = 1_000
"""How far above the newest epoch it knows a node that is forced to go on alone begins, at least."""

FORCED_SPREAD = 2**20
"""And by up to how much more, at random: two that are forced by mistake share no epoch.

Still a number that can be read out over the telephone.
"""

INCARNATION_STEP = 1_000
"""A life's number is up to this much above the one before: see ``begin_life``."""

NONCES = 2**48
"""A life's pings are numbered from a random number below this."""

log = Logger()


class StartError(Exception):
    """What keeps the node from starting, in one line."""


class NodeService(Service):
    """One node as a service: opens everything at the start, closes it at the end.

    It opens nothing before ``startService``: by then twistd has become a daemon, if it does.
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
        """Nothing is opened yet.

        Args:
            reactor: Twisted's. Its static type knows few of its methods.
            settings: of the chain.
            own: of this node.
            fenced: positions that an operator has fenced, if the node is to go on alone.
            foreground: whether somebody reads this process's standard error.
        """
        self._reactor = reactor
        self._settings = settings
        self._own = own
        self._fenced = fenced
        self._foreground = foreground

    def startService(self) -> None:
        """Open the data, listen on both ports, dial the others.

        Raises:
            StartError: what keeps the node from starting; twistd hands it on to its parent.
            SystemExit: the same, where it can be said in one line.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._files = raise_file_limit()
        collect_garbage_rarely()
        try:
            self._open()
        except (StorageError, CannotListenError, config.ConfigError) as error:
            log.critical("{position}: {error}", position=self._own.position, error=error)
            if self._foreground:
                raise SystemExit(f"chainchat: {error}") from None
            raise StartError(str(error)) from None

    def _open(self) -> None:
        settings, own = self._settings, self._own
        addresses = preflight.addresses(settings)
        self._nodes = {p: replace(n, host=addresses[p]) for p, n in settings.nodes.items()}
        host = self._nodes[own.position].host
        limits = self._limits()
        self._storage = SQLiteStorage(own.data)
        self._begin_life()
        self._admission = Admission(
            limits, self._reactor.seconds, lambda: self._node.configuration.epoch
        )
        self._links = Links(self._reactor, self._identity, self._nodes)
        self._reactor.listenTCP(own.chain_port, self._links.factory(), interface=host)
        self._client_port = ClientPort(
            own.client_port, self._client_factory(), 1024, host, self._reactor
        )
        self._client_port.startListening()
        self._node.start()
        self._links.start(self._identity, self._node, self._node.configuration.members)

    def _limits(self) -> Limits:
        """How many clients there may be.

        Raises:
            ConfigError: this process may open so few files that there could be none.
        """
        settings = self._settings
        kept = reserve(len(settings.nodes))
        limits = Limits(
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
        """A new incarnation on the node's data."""
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
        self._identity = Introduction(
            PROTOCOL_VERSION,
            settings.name,
            settings.founding,
            settings.suspect_after,
            me,
            settings.refusal_is_death,
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
        )
        self._sessions = Sessions(self._node, self._reactor)
        log.info(
            "{position}: incarnation {incarnation} of {id}, log up to {last}; clients at {client}",
            position=own.position,
            incarnation=record.incarnation,
            id=record.id,
            last=self._storage.last.seq,
            client=f"{me.host}:{own.client_port}",
        )

    def _forced_alone(self, record: Record, me: Member) -> Record:
        """An operator's word, taken once."""
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
        """The chain went on without this node: tell its clients, and begin anew as a learner."""
        for session in self._open_sessions():
            session.dropped_out()
        self._sessions.stop()
        self._links.stop()
        self._begin_life()
        self._node.start()
        self._links.start(self._identity, self._node, self._node.configuration.members)

    def _open_sessions(self) -> list[Session]:
        return [s for s in self._sessions.connections if isinstance(s, Session)]

    def send(self, to: str, message: Message) -> None:
        """The node's ``Network``: the links outlive it."""
        self._links.send(to, message)

    def distrust(self, position: str, reason: str) -> None:
        """The same."""
        self._links.distrust(position, reason)

    def _client_factory(self) -> Any:  # as Twisted types no factory
        settings = self._settings
        addresses = {p: f"{node.host}:{node.client_port}" for p, node in self._nodes.items()}
        server_info = ServerInfo(
            settings.name, settings.max_line, addresses, lambda: secrets.token_urlsafe(16)
        )

        def new_session(connection: ClientProtocol) -> Session:
            return Session(self._sessions, connection, self._reactor, server_info)

        return ClientFactory(new_session, admission=self._admission, clock=self._reactor)

    def _fail(self, error: Exception) -> None:
        """Stop at once: what cannot be kept must not be acknowledged."""
        position = self._own.position
        if isinstance(error, StorageError | DivergenceError | StateMismatchError):
            log.critical("{position}: {error}; this node stops", position=position, error=error)
        else:
            log.failure("{position}: a bug; this node stops", position=position)
        self._links.stop()
        # twistd gives no other way to an exit status when the reactor was stopped from within.
        atexit.register(os._exit, 1)
        self._reactor.callLater(0, self._reactor.stop)

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], Any, None]:
        """Take no more lines, wait for what was taken, tell the clients where to go, close."""
        super().stopService()  # type: ignore[no-untyped-call]
        yield maybeDeferred(self._client_port.stopListening)
        sessions = self._open_sessions()
        for session in sessions:
            session.take_no_more()
        self._sessions.send_marks()
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

    def _unfinished(self, sessions: list[Session]) -> bool:
        return self._node.pending > 0 or any(session.busy for session in sessions)


def new_identity() -> int:
    """A configuration's, at random."""
    return secrets.randbits(IDENTITY_BITS)


def forced_epoch(known: int) -> int:
    """Where a node that is forced to go on alone begins, if the newest epoch it knows is ``known``.

    An epoch names a configuration, and with it entries. So two nodes that were forced by mistake,
    and could not know of each other, must not have the same one.
    """
    return known + FORCED_AHEAD + secrets.randbelow(FORCED_SPREAD)
