"""A node that is alone, and its clients, without sockets.

``Connection`` takes what a session writes, and time is a ``Clock``.
"""

from msgspec.structs import replace
from twisted.internet.task import Clock

from chainchat.chain.configuration import Member
from chainchat.chain.membership.settings import ChainSettings
from chainchat.chat.lines import TOO_LONG, TelnetFilter
from chainchat.chat.refusals import Code, RefusedError
from chainchat.config import AccountRules
from chainchat.logs.audit import Audit
from chainchat.node.lives import begin_life
from chainchat.node.node import Node
from chainchat.node.space import Space
from chainchat.node.status import Readiness
from chainchat.node.surroundings import NodeSurroundings
from chainchat.sessions.guard import Guard
from chainchat.sessions.interfaces import ServerInfo
from chainchat.sessions.limits import UNLIMITED, Limits
from chainchat.sessions.session import Session
from chainchat.sessions.sessions import Sessions
from chainchat.storage.memory import MemoryStorage

TIME = 1795345387120  # 2026-11-22T11:03:07.120Z
DAY_SECONDS = 86_400
STOP = 100_000_000  # octets of free disk below which it is low
HELLO = "/hello chainchat/1 client=bot"
MAX_LINE = 1_024


class Connection:
    """The bytes of one client, whose machine acknowledges as many as the test says."""

    def __init__(self, address="127.0.0.1"):
        self.address = address
        self.data, self.written = b"", 0
        self.closed = self.held = False
        self.acked = self.silence = None
        self.probed = self.aborted = self.waits_for_reader = False
        self.on_write = lambda: None
        self.encrypted = False
        self.in_the_socket = 0
        self.telnet = TelnetFilter()
        self.conceal, self.reveal = self.telnet.conceal, self.telnet.reveal

    @property
    def conceals(self):
        return self.telnet.conceals

    def logged_in(self):
        self.has_logged_in = True

    def write(self, data):
        assert not self.closed
        self.data += data
        self.written += len(data)
        self.on_write()
        return self.written

    def close(self):
        assert not self.closed
        self.closed = True

    def hold(self, *, held):
        self.held = held

    def expect(self, octets):
        self.expected = octets

    def acknowledged(self):
        return self.acked

    def unread(self):
        return self.in_the_socket

    def silent(self):
        return self.silence

    def probe(self, *, probing):
        self.probed = probing

    def wait_for_reader(self):
        self.waits_for_reader = True

    def abort(self):
        self.aborted = True

    def read(self):
        data, self.data = self.data, b""
        assert data == b"" or data.endswith(b"\r\n")
        return data.decode().split("\r\n")[:-1]


class Hashing:
    """Hashes at once, unless it is ``held``: then in ``go_on``; not at all if ``broken``."""

    def __init__(self):
        self.held, self.waiting, self.broken = False, [], False

    def start(self, work, done, failed, **_):
        if self.broken:
            self.waiting.append(lambda: failed(RefusedError(Code.TOO_MANY_ATTEMPTS, "broken")))
        else:
            self.waiting.append(lambda: done(work()))
        if not self.held:
            self.go_on()

    def go_on(self):
        while self.waiting:
            self.waiting.pop(0)()


class Alone:
    """The network of a node without others."""

    def send(self, to, message):
        raise AssertionError(f"{message} for {to}, who is not there")


class House:
    """A node that is a chain of one, and its sessions.

    ``options``: further arguments of the node. ``price``: seconds of work that pass at each look at
    the clock. ``limits``: of its clients, none at first.
    """

    def __init__(self, *founding, **options):
        self.clock = Clock()
        self.worked = self.price = 0.0
        storage, self.tokens = MemoryStorage(), 0
        self.storage = storage
        self.free = 10 * STOP
        record = begin_life(storage, lambda: "id")
        self.node = Node(
            Member("solo", record.id, record.incarnation),
            record,
            storage,
            Alone(),
            self.clock,
            settings=ChainSettings(founding or ("solo",), suspect_after=10.0),
            surroundings=NodeSurroundings(
                wall=lambda: TIME + int(self.clock.seconds() * 1000),
                fail=self.failed,
                excluded=self.excluded,
                new_identity=lambda: 0,
                work=self.work,
                space=Space(lambda: self.free, STOP),
            ),
            **options,
        )
        self.limits = Limits(UNLIMITED, self.clock.seconds, self.is_exempt)
        self.exempt = set()
        self.sessions = Sessions(self.node, self.clock, self.limits)
        addresses = {"solo": "10.0.0.1:7001", "other": "10.0.0.2:7001"}
        self.hashing = Hashing()
        self.guard = Guard(AccountRules(), self.hashing, self.clock.seconds, positions=addresses)
        audit = Audit("solo", self.clock.callLater)
        self.server_info = ServerInfo("lab", MAX_LINE, addresses, self.new_token, self.guard, audit)
        if not founding:
            self.node.start()
            self.clock.advance(0)

    def work(self):
        self.worked += self.price
        return self.worked

    def is_exempt(self, account):
        return account in self.exempt

    def limit(self, **limits):
        self.limits.current = replace(UNLIMITED, **limits)

    def failed(self, error):
        raise error

    def excluded(self):
        raise AssertionError("there is nobody who could go on without it")

    def cannot_confirm(self):
        """Let the node find that the chain cannot confirm."""
        reason = "the chain cannot confirm: waiting for other"
        self.node.readiness = Readiness(serving=True, waiting_for=("other",), reason=reason)
        self.sessions.readiness_changed()

    def holds_the_chain_still(self):
        """Give turns to the sessions, and none to the chain."""
        for _ in range(4):
            self.sessions.hear()
            self.sessions.flush()

    def new_token(self):
        self.tokens += 1
        return f"token{self.tokens}"

    def client(self, *lines, address="127.0.0.1"):
        """A client that has said these lines and read the answers."""
        client = Client(self, address)
        if lines:
            client.says(*lines)
        return client

    def program(self, name, login="LOGIN"):
        return self.client(HELLO, f"@l {login} {name}")

    def seen(self, name):
        return self.node.state.account_named(name).seen


def octets(line):
    """A line as a client sends it; TOO_LONG stands for a line that is too long."""
    if line is TOO_LONG:
        return b"x" * (MAX_LINE + 1)
    return line.encode() if isinstance(line, str) else line


class Client:
    def __init__(self, house, address):
        self.house = house
        self.connection = Connection(address)
        self.session = Session(house.sessions, self.connection, house.clock, house.server_info)
        self.session.opened()
        house.clock.advance(0)

    def sends(self, *lines):
        """Send lines in one piece, before any turn of the node."""
        data = b"".join(octets(line) + b"\n" for line in lines)
        self.session.received(data, 0, 0)

    def says(self, *lines):
        """The answers to these lines, after whatever was there to read."""
        self.sends(*lines)
        return self.reads()

    def reads(self, after=0):
        self.house.clock.advance(after)
        return self.reads_at_once()

    def reads_in_time(self):
        """What comes within some minutes, since costly work has pauses."""
        self.house.clock.pump([0.5] * 600)
        return self.reads_at_once()

    def reads_at_once(self):
        """What comes before the chain has a turn, so unconfirmed."""
        self.house.holds_the_chain_still()
        return self.connection.read()


def one(lines):
    [line] = lines
    return line
