"""Composes a node for ``twistd chainchat``; the only module that imports the reactor."""

import atexit
import errno
import gc
import os
import resource
import secrets
import socket
import sys
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from msgspec import msgpack
from msgspec.structs import replace as structs_replace
from twisted.application.service import Service
from twisted.internet import reactor as installed_reactor
from twisted.internet import task
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python import usage

from chainchat import config
from chainchat.addresses import objection_to
from chainchat.chain.configuration import IDENTITY_BITS, Member
from chainchat.chain.membership.record import Record, forced_alone
from chainchat.chain.messages import Message
from chainchat.chain.replica import DivergenceError
from chainchat.node.node import Node, begin_life
from chainchat.node.space import Space, free_octets
from chainchat.node.state_machine import StateMismatchError
from chainchat.peers.hello import PROTOCOL_VERSION, Introduction
from chainchat.peers.links import Links
from chainchat.sessions.admission import Admission, Limits, reserve
from chainchat.sessions.handler import ServerInfo
from chainchat.sessions.listener import ClientFactory, ClientPort, ClientProtocol
from chainchat.sessions.session import Session
from chainchat.sessions.sessions import Sessions
from chainchat.storage.durable import try_room
from chainchat.storage.interface import StorageError
from chainchat.storage.sqlite import DATABASE, DataLock, SQLiteStorage

reactor: Any = installed_reactor
"""Twisted installs it at run time; its static type knows few of its methods."""

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


class Options(usage.Options):
    """The command line after ``twistd chainchat``."""

    synopsis = "--position POSITION [--config FILE]"
    longdesc = (
        "Runs one node of a chain as its chain.ini describes it. Start one process for each "
        "founding position, in any order; then talk to any of them: nc HOST CLIENT-PORT. With -n "
        "(before 'chainchat') it stays in the foreground; otherwise it becomes a daemon that "
        "writes POSITION.pid and POSITION.log."
    )
    optParameters = [
        ["position", "p", None, "which node of chain.ini to run, for example: head"],
        ["config", "c", "chain.ini", "the file that describes the chain"],
        ["fenced", None, None, "with --force-alone: the positions that are off, as in: head,tail"],
    ]
    optFlags = [
        [
            "force-alone",
            None,
            "go on alone, though the other members are not there; asks for a confirmation",
        ]
    ]

    settings: config.Settings
    node: config.NodeSettings

    def postOptions(self) -> None:
        """Check everything that can be wrong before a process is made.

        Raises:
            SystemExit: says in one line what is wrong and what to do.
        """
        try:
            self.settings = config.load(Path(self["config"]))
            self.node = self._chosen_node()
            _check_data(self.node.data)
            addresses = _addresses(self.settings)
            _probe_ports(self.settings, self.node, addresses[self.node.position])
        except (config.ConfigError, StorageError) as error:
            raise SystemExit(f"chainchat: {error}") from None
        self.fenced = self._confirmed_fenced()
        self._name_files()

    def _confirmed_fenced(self) -> tuple[str, ...] | None:
        """The positions that an operator has fenced; None if nothing is to be forced."""
        if not self["force-alone"]:
            if self["fenced"] is not None:
                raise SystemExit("chainchat: --fenced goes with --force-alone; nothing was changed")
            return None
        fenced = tuple(filter(None, (self["fenced"] or "").split(",")))
        if not fenced or self.node.position in fenced:
            raise SystemExit(
                "chainchat: --force-alone needs --fenced with the positions of all other members"
            )
        names = ",".join(fenced)
        print(  # noqa: T201 - it is asked on the terminal, before there is a log
            f"{self.node.position} will go on ALONE, from its own log. This is right only if "
            f"{names}\nare off, and are never started again with their present data: all they have "
            f"\nconfirmed and {self.node.position} does not hold is lost, and if one of them still "
            f"\nserves, there are two chains that nothing can join again."
            f"\nType: {names} are off"
        )
        if sys.stdin.readline().strip() != f"{names} are off":
            raise SystemExit("chainchat: not confirmed; nothing was changed")
        return fenced

    def _chosen_node(self) -> config.NodeSettings:
        chosen, nodes = self["position"], self.settings.nodes
        if chosen not in nodes:
            problem = "is missing" if chosen is None else f"{chosen} is not known"
            raise config.ConfigError(
                f"--position {problem}; {self.settings.path} has: {', '.join(nodes)}"
            )
        return nodes[chosen]

    def _name_files(self) -> None:
        """Give each position its own pid and log file, and remove a stale pid file."""
        twistd = self.parent
        if twistd is None:
            return
        if twistd.get("pidfile") == "twistd.pid":
            twistd["pidfile"] = f"{self.node.position}.pid"
            Path(twistd["pidfile"]).unlink(missing_ok=True)
        elif twistd.get("pidfile"):
            pidfile = Path(twistd["pidfile"])
            if pidfile.is_file() and pidfile.read_bytes().strip().isdigit():
                pidfile.unlink()  # of any other content it may not be ours
        if not twistd.get("nodaemon") and not twistd.get("logfile"):
            twistd["logfile"] = f"{self.node.position}.log"
        if twistd.get("pidfile"):
            _check_writable(Path(twistd["pidfile"]))


class StartError(Exception):
    """What keeps the node from starting, in one line."""


class NodeService(Service):
    """One node as a service: opens everything at the start, closes it at the end.

    It opens nothing before ``startService``: by then twistd has become a daemon, if it does.
    """

    def __init__(
        self,
        settings: config.Settings,
        own: config.NodeSettings,
        *,
        fenced: tuple[str, ...] | None = None,
        foreground: bool = True,
    ) -> None:
        """Nothing is opened yet.

        Args:
            settings: of the chain.
            own: of this node.
            fenced: positions that an operator has fenced, if the node is to go on alone.
            foreground: whether somebody reads this process's standard error.
        """
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
        super().startService()
        self._files = _raise_file_limit()
        _collect_garbage_rarely()
        try:
            self._open()
        except (StorageError, CannotListenError, config.ConfigError) as error:
            log.critical("{position}: {error}", position=self._own.position, error=error)
            if self._foreground:
                raise SystemExit(f"chainchat: {error}") from None
            raise StartError(str(error)) from None

    def _open(self) -> None:
        settings, own = self._settings, self._own
        addresses = _addresses(settings)
        self._nodes = {p: replace(n, host=addresses[p]) for p, n in settings.nodes.items()}
        host = self._nodes[own.position].host
        limits = self._limits()
        self._storage = SQLiteStorage(own.data)
        self._begin_life()
        self._admission = Admission(limits, reactor.seconds, lambda: self._node.configuration.epoch)
        self._links = Links(reactor, self._identity, self._nodes)
        reactor.listenTCP(own.chain_port, self._links.factory(), interface=host)
        self._client_port = ClientPort(own.client_port, self._client_factory(), 1024, host, reactor)
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
            reactor,
            founding=settings.founding,
            suspect_after=settings.suspect_after,
            wall=lambda: time.time_ns() // 1_000_000,
            fail=self._fail,
            excluded=self._end_life,
            known=settings.nodes,
            places={p: (n.host, n.chain_port) for p, n in self._nodes.items()},
            longest_pause=settings.rejoin_pause,
            work=time.monotonic,
            space=Space(lambda: free_octets(own.data), settings.stop),
            first_nonce=secrets.randbelow(NONCES),
            refusal_is_death=settings.refusal_is_death,
            new_identity=new_identity,
        )
        self._sessions = Sessions(self._node, reactor)
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
            return Session(self._sessions, connection, reactor, server_info)

        return ClientFactory(new_session, admission=self._admission, clock=reactor)

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
        reactor.callLater(0, reactor.stop)

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], Any, None]:
        """Take no more lines, wait for what was taken, tell the clients where to go, close."""
        super().stopService()
        yield maybeDeferred(self._client_port.stopListening)
        sessions = self._open_sessions()
        for session in sessions:
            session.take_no_more()
        self._sessions.send_marks()
        deadline = reactor.seconds() + STOP_SECONDS
        while reactor.seconds() < deadline and self._node.running and self._unfinished(sessions):
            yield task.deferLater(reactor, 0.01)
        for session in sessions:
            session.shut_down()
        self._sessions.stop()
        self._node.stop()
        yield task.deferLater(reactor, 0)  # let the sockets take what was written
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


def _collect_garbage_rarely() -> None:
    """Nearly everything here is freed by its last reference.

    To look for the rest after every 700 objects costs a fifth of a busy node's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def makeService(options: Options) -> Service:
    """The service that ``twistd`` runs."""
    # Timers must not follow the wall clock: a step back would stop them all. And a confirmation
    # must grow old while the machine sleeps (macOS counts that in CLOCK_MONOTONIC).
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    reactor.seconds = partial(time.clock_gettime, clock)
    foreground = options.parent is None or bool(options.parent.get("nodaemon"))
    return NodeService(options.settings, options.node, fenced=options.fenced, foreground=foreground)


def _addresses(settings: config.Settings) -> dict[str, str]:
    """Every node's address, resolved once.

    Raises:
        ConfigError: a name is not known; or some nodes are on loopback, where the others cannot
            reach them.
    """
    addresses = {p: _address(settings, node) for p, node in settings.nodes.items()}
    local = [p for p, address in addresses.items() if ip_address(address).is_loopback]
    if local and len(local) < len(addresses):
        node = settings.nodes[local[0]]
        raise config.ConfigError(
            f"{settings.path}: [{node.position}] host = {node.host} is this machine to itself "
            f"({addresses[node.position]}), but other nodes are elsewhere; name the address that "
            "the others reach it by"
        )
    return addresses


def _address(settings: config.Settings, node: config.NodeSettings) -> str:
    try:
        found = socket.getaddrinfo(node.host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise config.ConfigError(
            f"{settings.path}: [{node.position}] host = {node.host}: {error.strerror}; "
            "name a host or an IPv4 address"
        ) from None
    address = str(found[0][4][0])
    unusable = objection_to(address)
    if unusable:
        raise config.ConfigError(
            f"{settings.path}: [{node.position}] host = {node.host}: {unusable}; name the address "
            "that the others reach this node by"
        )
    return address


def _check_data(data: Path) -> None:
    """Try whether the node can use its data, while twistd can still say it on the terminal.

    If nobody holds them, whatever process a pid file names is not this node.

    Raises:
        StorageError: it cannot.
    """
    lock = DataLock(data)
    try:
        try_room(data)
    except OSError as error:
        raise StorageError(f"{data}: {error.strerror}") from None
    finally:
        lock.release()
    if (data / DATABASE).exists():
        SQLiteStorage(data).close()


def _check_writable(pidfile: Path) -> None:
    """Try whether twistd can write a process id; it would say so in a traceback.

    Raises:
        SystemExit: it cannot.
    """
    attempt = pidfile.with_name(f"{pidfile.name}.new")
    try:
        try:
            attempt.write_text(f"{os.getpid()}\n")
        finally:
            attempt.unlink(missing_ok=True)
    except OSError as error:
        raise SystemExit(f"chainchat: {pidfile}: {error.strerror}") from None


def _probe_ports(settings: config.Settings, node: config.NodeSettings, host: str) -> None:
    """Try whether the node's ports can be had, while twistd can still say it on the terminal.

    Raises:
        ConfigError: one cannot; which key to change.
    """
    for key, port in (("chain-port", node.chain_port), ("client-port", node.client_port)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                advice = f"stop what uses it or choose another {key}"
                if error.errno == errno.EADDRNOTAVAIL:
                    advice = "choose a host of this machine"
                raise config.ConfigError(
                    f"{settings.path}: [{node.position}] {key} = {port}: cannot listen on {host}: "
                    f"{error.strerror}; {advice}"
                ) from None


def _raise_file_limit() -> int:
    """A connection is an open file: take as many as the system gives. How many these are."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
