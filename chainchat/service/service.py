"""The service of a node."""

import atexit
import os
import secrets
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet import task
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from chainchat import __version__, config
from chainchat.chain.log import DivergenceError
from chainchat.chain.messages import Message
from chainchat.chat.accounts import AccountRole
from chainchat.control.desk import Desk, Office
from chainchat.control.listener import ControlFactory, listen
from chainchat.logs.audit import Audit
from chainchat.logs.logs import Logs
from chainchat.network.addresses import host_port
from chainchat.network.control_socket import socket_of
from chainchat.network.farewell import DRAIN_SECONDS
from chainchat.network.resolving import chain_addresses, client_addresses, web_address
from chainchat.node.limits import NodeLimits
from chainchat.node.node import Node
from chainchat.node.report import Report, Sources, report
from chainchat.node.retention import Keep
from chainchat.node.space import Space, free_octets
from chainchat.node.state_machine import StateMismatchError
from chainchat.node.status import DRAINED
from chainchat.node.surroundings import NodeSurroundings
from chainchat.node.tally import Tally
from chainchat.peers.hello import introduction
from chainchat.peers.links import Links
from chainchat.peers.port import listen as listen_to_peers
from chainchat.service import preflight
from chainchat.service.client_ports import ClientPorts, NotYet, client_limits, ports_shown
from chainchat.service.new_life import begun, chain_settings, new_identity
from chainchat.service.notify import Manager
from chainchat.service.orders import Orders
from chainchat.service.owners_invitations import invitation
from chainchat.service.process import collect_garbage_rarely, raise_file_limit, utc_milliseconds
from chainchat.sessions.admission import Admission
from chainchat.sessions.drain import Drain
from chainchat.sessions.guard import Guard
from chainchat.sessions.hashing import ThreadedHashing
from chainchat.sessions.interfaces import Attendee, ServerInfo
from chainchat.sessions.limits import Limits
from chainchat.sessions.listener import ClientFactory, ClientProtocol
from chainchat.sessions.session import Session
from chainchat.sessions.sessions import Sessions
from chainchat.storage.interface import StorageError
from chainchat.storage.sqlite import SQLiteStorage
from chainchat.tls.credentials import CredentialsError
from chainchat.tls.node import NodeTLS, read

if TYPE_CHECKING:
    from chainchat.web.port import WebPort

STOP_SECONDS = 1.0
"""How long a stopping node may take for its last answers."""

ANSWER_SECONDS = 0.1
"""How long the answer to an operator who orders a stop may take."""

DAY_SECONDS = 86_400.0

TOLD_SECONDS = 1.0

NONCES = 2**48
"""The random number with which a life begins to number its pings is below this."""

log = Logger()


class StartError(Exception):
    """The node cannot start; the text says why in one line."""


class NodeService(Service):
    """One node: opens everything at the start, closes everything at the end.

    ``privilegedStartService`` takes the ports, with root's rights where there are any;
    ``startService`` opens the data, as the user that twistd has become (``--uid``).

    Args:
        fenced: positions that an operator has fenced, if the node is to go on alone.
        foreground: somebody reads this process's standard error.
    """

    def __init__(
        self,
        reactor: Any,
        settings: config.Settings,
        own: config.NodeSettings,
        *,
        fenced: tuple[str, ...] | None = None,
        foreground: bool = True,
        logs: Logs | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._own = own
        self._fenced = fenced
        self._foreground = foreground
        self._started = utc_milliseconds()
        self._logs = logs or Logs()
        self._manager = Manager()
        self._drain = Drain(reactor, lambda: self._sessions)
        self._tally = Tally()
        self._web: WebPort | None = None
        self._telling: Any = None

    def privilegedStartService(self) -> None:
        """Take the ports. Connections wait in them: the reactor accepts after ``startService``.

        Raises:
            StartError: the node cannot start; the daemon reports this to its parent.
            SystemExit: the same, in the foreground.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        with self._start_told():
            self._listen()

    def startService(self) -> None:
        """Open the data, let the ports serve, dial the others; raises the same."""
        super().startService()  # type: ignore[no-untyped-call]
        log.info(
            "{position}: chainchat {version}, chain {chain}",
            position=self._own.position,
            version=__version__,
            chain=self._settings.name,
            event="start",
        )
        self._files = raise_file_limit()
        collect_garbage_rarely()
        with self._start_told():
            self._open()
        self._manager.ready()
        if self._manager:
            self._keep_told()

    def _keep_told(self) -> None:
        self._manager.status(
            f"drained: {DRAINED}" if self._drain.drained else self._node.status.line
        )
        self._telling = self._reactor.callLater(TOLD_SECONDS, self._keep_told)

    @contextmanager
    def _start_told(self) -> Iterator[None]:
        try:
            yield
        except (StorageError, CannotListenError, config.ConfigError, CredentialsError) as error:
            position = self._own.position
            log.critical("{position}: {error}", position=position, error=error, event="failed")
            if self._foreground:
                raise SystemExit(f"chainchat: {error}") from None
            raise StartError(str(error)) from None

    def _listen(self) -> None:
        settings, own = self._settings, self._own
        hosts, client_hosts = chain_addresses(settings), client_addresses(settings)
        self._nodes = {
            p: replace(node, host=hosts[p], client_host=client_hosts[p])
            for p, node in settings.nodes.items()
        }
        host, client_host = hosts[own.position], client_hosts[own.position]
        for warning in preflight.borrowed_ports(own):
            log.warn("{position}: {warning}", position=own.position, warning=warning)
        chain = NotYet("chain port")
        self._chain_port = listen_to_peers(own.chain_port, chain, host, self._reactor)
        self._client_ports = ClientPorts(self._reactor, own, client_host)
        if own.web_port:
            from chainchat.web.port import WebPort  # noqa: PLC0415 - only for who has one

            address = web_address(settings, own)
            self._web = WebPort(self._reactor, settings, own, address)

    def _open(self) -> None:
        settings, own = self._settings, self._own
        limits = client_limits(settings, self._files, own.position)
        self._limits = Limits(limits, self._reactor.seconds, self._is_operator)
        addresses = {p: node.host for p, node in self._nodes.items()}
        credentials = read(settings, own.position, addresses[own.position])
        self._tls = NodeTLS(self._reactor, settings, credentials, addresses)
        preflight.keep_data_private(own)
        self._storage = SQLiteStorage(own.data)
        self._audit = Audit(own.position, self._reactor.callLater)
        self._hashing = ThreadedHashing(self._reactor)
        self._make_guard_and_orders(addresses[own.position])
        self._begin_life()
        self._admission = Admission(
            own.position,
            self._limits,
            self._reactor.seconds,
            lambda: self._node.configuration.epoch,
        )
        self._links = Links(self._reactor, self._introduction, self._nodes, tls=self._tls.chain)
        self._chain_port.factory = self._links.factory()
        contexts = self._tls.clients
        self._client_ports.open(self._client_factory, self._nodes, settings.nodes, contexts)
        self._control_socket()
        self._open_web()
        self._node.start()
        self._links.start(self._introduction, self._node, self._node.configuration.members)
        self._warn_daily()
        signal.signal(
            signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._orders.reload_or_log)
        )

    def _make_guard_and_orders(self, host: str) -> None:
        settings, own = self._settings, self._own
        tls = host_port(own.client_host, own.tls_port) if own.tls_port else ""
        self._guard = Guard(
            settings.accounts,
            self._hashing,
            self._reactor.seconds,
            tls=tls,
            positions=self._nodes,
        )
        self._orders = Orders(
            settings,
            own.position,
            logs=self._logs,
            files=self._files,
            limits=self._limits,
            guard=self._guard,
            tls=self._tls,
            host=host,
            links=lambda: self._links,
        )

    def _control_socket(self) -> None:
        office = Office(
            node=lambda: self._node,
            report=self._report,
            reload=self._orders.reload,
            new_invitation=lambda name, reset: invitation(self._guard, self._node, name, reset),
            audit=self._audit,
            drain=self._drain.begin,
            undrain=self._drain.end,
            stop=lambda: self._reactor.callLater(ANSWER_SECONDS, self._reactor.stop),
            log_level=self._orders.log_level,
            refusal_is_death=self._settings.refusal_is_death,
        )
        self._desk = Desk(office)
        self._control = ControlFactory(self._desk, self._reactor)
        self._control_port = listen(socket_of(self._own.data), self._control, self._reactor)

    def _open_web(self) -> None:
        if self._web is None:
            return
        self._web.open(
            report=self._report,
            node=lambda: self._node,
            sessions=lambda: self._sessions,
            admission=self._admission,
            links=lambda: self._links.lanes,
            most_files=self._files,
            drained=lambda: self._drain.drained,
        )

    def _report(self) -> Report:
        settings = self._orders.settings
        return report(
            Sources(
                chain=settings.name,
                started=self._started,
                founding=settings.founding,
                positions=tuple(settings.nodes),
                data=self._own.data,
                stop=settings.stop,
                node=lambda: self._node,
                clients=lambda: self._sessions.count,
                connections=lambda: self._admission.admitted,
                links=lambda: self._links.lanes,
                expires=lambda: self._tls.expiry.expires,
                wall=utc_milliseconds,
                drained=lambda: self._drain.drained,
            )
        )

    def _warn_daily(self) -> None:
        for warning in self._tls.expiry.warnings:
            own = self._own.position
            log.warn("{position}: {warning}", position=own, warning=warning, event="certificate")
        self._daily = self._reactor.callLater(DAY_SECONDS, self._warn_daily)

    def _is_operator(self, account: int) -> bool:
        known = self._node.state.accounts.get(account)
        return known is not None and known.role is AccountRole.OPERATOR

    def _begin_life(self) -> None:
        settings, own = self._orders.settings, self._own
        host = self._nodes[own.position].host
        me, record = begun(self._storage, settings, own, host, self._fenced)
        self._fenced = None
        self._introduction = introduction(settings, me)
        self._node = Node(
            me,
            record,
            self._storage,
            self,
            self._reactor,
            settings=chain_settings(settings, self._nodes),
            surroundings=NodeSurroundings(
                wall=utc_milliseconds,
                fail=self._fail,
                excluded=self._end_life,
                new_identity=new_identity,
                first_nonce=secrets.randbelow(NONCES),
                work=time.monotonic,
                space=Space(self._free_octets, settings.stop),
                warnings=lambda: (*self._tls.expiry.warnings, *self._links.differences),
            ),
            limits=NodeLimits(
                keep=Keep(settings.keep_days, settings.keep_octets, unread=settings.keep_unread)
            ),
            tally=self._tally,
        )
        self._sessions = Sessions(self._node, self._reactor, self._limits)
        log.info(
            "{position}: incarnation {incarnation} of {id}, log up to {last}; clients at {client}",
            position=own.position,
            incarnation=record.incarnation,
            id=record.id,
            last=self._storage.last.seq,
            client=ports_shown(self._nodes[own.position]),
            event="life",
        )

    def _free_octets(self) -> int:
        self._storage.check_in_place()
        return free_octets(self._own.data)

    def _end_life(self) -> None:
        for session in list(self._sessions.connections):
            session.sent_elsewhere("the chain goes on without this node")
        self._sessions.stop()
        self._links.stop()
        self._desk.life_ended()
        self._begin_life()
        self._node.start()
        self._links.start(self._introduction, self._node, self._node.configuration.members)

    def send(self, to: str, message: Message) -> None:
        """Send for the node: the service is its ``Network``, since the links outlive it."""
        self._links.send(to, message)

    def distrust(self, position: str, reason: str) -> None:
        self._links.distrust(position, reason)

    def _client_factory(self, addresses: dict[str, str]) -> ClientFactory:
        settings = self._settings
        server_info = ServerInfo(
            settings.name,
            settings.max_line,
            addresses,
            lambda: secrets.token_urlsafe(16),
            self._guard,
            self._audit,
            drained=lambda: self._drain.drained,
        )

        def new_session(connection: ClientProtocol) -> Session:
            return Session(self._sessions, connection, self._reactor, server_info)

        return ClientFactory(new_session, admission=self._admission, clock=self._reactor)

    def _fail(self, error: Exception) -> None:
        """Stop at once: a node must not acknowledge what it cannot keep."""
        position = self._own.position
        if isinstance(error, StorageError | DivergenceError | StateMismatchError):
            text = f"{error}; this node stops"
            log.critical("{position}: {text}", position=position, text=text, event="failed")
        else:
            log.failure("{position}: a bug; this node stops", position=position, event="bug")
        self._links.stop()
        # After a stop from within, twistd has no other way to an exit status.
        atexit.register(os._exit, 1)
        self._reactor.callLater(0, self._reactor.stop)

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], Any, None]:
        """Take no more lines, finish what was taken, tell the clients where to go, close."""
        super().stopService()  # type: ignore[no-untyped-call]
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._manager.stopping()
        if self._telling is not None:
            self._telling.cancel()
        self._drain.stop()
        self._daily.cancel()
        yield self._client_ports.stop()
        if self._web is not None:
            yield self._web.stop()
        for _ in self._sessions.one_by_one(lambda session: session.take_no_more()):
            yield task.deferLater(self._reactor, 0)
        sessions = list(self._sessions.connections)
        self._sessions.marks.send()
        deadline = self._reactor.seconds() + STOP_SECONDS
        while (
            self._reactor.seconds() < deadline and self._node.running and self._unfinished(sessions)
        ):
            yield task.deferLater(self._reactor, 0.01)
        for _ in self._sessions.one_by_one(lambda one: one.sent_elsewhere("this node stops")):
            yield task.deferLater(self._reactor, 0)
        deadline = self._reactor.seconds() + DRAIN_SECONDS
        while self._reactor.seconds() < deadline and self._admission.admitted:
            yield task.deferLater(self._reactor, 0.01)  # what they were told, they may read
        self._sessions.stop()
        self._desk.life_ended()
        self._control.close()
        yield maybeDeferred(self._control_port.stopListening)
        self._hashing.stop()
        self._audit.stop()
        self._node.stop()
        yield task.deferLater(self._reactor, 0)  # let the sockets take what was written
        # The chain port closes with the process, not before: a refusal there means death.
        self._links.stop()
        self._storage.close()

    def _unfinished(self, sessions: list[Attendee]) -> bool:
        return self._node.pending > 0 or any(session.busy for session in sessions)
