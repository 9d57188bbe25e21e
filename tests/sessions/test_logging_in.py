"""Sessions: the greeting, the login, and lines that are no requests."""

import node_house
import pytest
from sessions_house import HELLO, Connection, Hashing, House, one

from chainchat import __version__
from chainchat.chat.bounds import Bounds
from chainchat.chat.lines import TOO_LONG
from chainchat.config import AccountRules
from chainchat.logs.audit import Audit
from chainchat.node.limits import NodeLimits
from chainchat.sessions.entrance import LOGIN_SECONDS
from chainchat.sessions.guard import Guard
from chainchat.sessions.interfaces import ServerInfo
from chainchat.sessions.session import Session
from chainchat.sessions.sessions import Sessions
from tests.chat.applied import names


def test_a_client_is_greeted_and_asked_for_a_name(house):
    assert house.client().reads() == [
        f"* chainchat {__version__}: node solo of chain lab",
        "* Type your name to log in; a new name makes a new account. Times are UTC. "
        "/help tells more.",
        "* Nothing is encrypted here, and a name without a password is anybody's: /password sets "
        "one.",
    ]


def greeted(chain, position):
    """The connection of a newcomer to a node of a chain."""
    connection = Connection()
    chain.clock.advance(0)
    addresses = {position: "10.0.0.1:7001", "other": "10.0.0.2:7001"}
    guard = Guard(AccountRules(), Hashing(), chain.clock.seconds)
    audit = Audit(position, chain.clock.callLater)
    server_info = ServerInfo("lab", 1024, addresses, str, guard, audit)
    Session(Sessions(chain[position], chain.clock), connection, chain.clock, server_info).opened()
    chain.clock.advance(0)
    return connection


def test_a_node_that_serves_nobody_shows_the_chain_says_why_names_others_and_closes():
    chain = node_house.House("head", "middle")
    chain.start("head")
    connection = greeted(chain, "head")
    assert connection.read() == [
        f"* chainchat {__version__}: node head of chain lab",
        "* epoch 0   no chain yet   away: middle   committed 0",
        f"* you are on head, which waits for the chain to be founded, chainchat {__version__}",
        "-ERR 421 the chain is not founded yet: waiting for middle; try 10.0.0.2:7001",
    ]
    assert connection.closed


def test_a_node_that_is_catching_up_shows_how_far_it_is():
    chain = node_house.founded()
    chain.start("newcomer")
    chain.run()
    connection = greeted(chain, "newcomer")
    greeting, drawn, *notes, where, refusal = connection.read()
    assert greeting == f"* chainchat {__version__}: node newcomer of chain lab"
    assert drawn == "* epoch 1   head -> middle -> tail   committed 1"
    assert [note for note in notes if note.startswith("* copied 1 entries (")]
    assert where == f"* you are on newcomer, which is no member, chainchat {__version__}"
    assert refusal == (
        "-ERR 421 this node is catching up with the chain (head, middle, tail); try 10.0.0.2:7001"
    )
    assert connection.closed


def test_a_name_logs_in(house):
    greeted = house.client()
    greeted.reads()
    assert one(greeted.says("alice")) == (
        "+OK you are alice: type to talk to everybody, /help for all else"
    )


def test_lines_that_come_with_the_login_wait_for_it(house):
    house.client("bob")
    alice = house.client()
    alice.reads()
    replies = alice.says("alice", "hello", "/who")
    assert [reply[:9] for reply in replies] == [
        "+OK you a",
        "+OK 4",
        "| alice",
        "| bob",
        ". 2 accou",
    ]


def test_a_login_that_makes_one_account_too_many_is_told_what_to_do():
    house = House(limits=NodeLimits(bounds=Bounds(accounts=0)))
    client = house.client()
    client.reads()
    assert one(client.says("alice")) == (
        "-ERR 436 account alice was not made: there are as many as there may be; "
        "log in with an existing name, or try again later"
    )


def test_a_name_in_use_is_refused_and_another_can_be_tried(house):
    house.client("alice")
    client = house.client()
    client.reads()
    assert one(client.says("Alice")).startswith("-ERR 433 the name alice is in use")
    assert one(client.says("bob")).startswith("+OK you are bob")
    assert not client.connection.closed


@pytest.mark.parametrize("line", ["/who", "/list", "/last", "/delete bob yes", "/notices on"])
def test_what_needs_a_login_is_refused_before_it(house, line):
    client = house.client()
    client.reads()
    assert one(client.says(line)) == "-ERR 510 log in first"


def test_programs_are_refused_before_the_login_too(house):
    program = house.client(HELLO)
    program.reads()
    replies = program.says("@1 SEND 1 * :hi", "@2 ACK 1", "@3 PING")
    assert replies == ["-ERR 510 @1 log in first", "-ERR 510 @2 log in first", "+OK @3"]


def test_nobody_stays_without_a_login(house):
    silent, refused, alice = house.client(), house.client("not a name"), house.client("alice")
    for client in (silent, refused, alice):
        client.reads()
    assert silent.reads(LOGIN_SECONDS) == refused.reads() == ["-ERR 423 no login within 60 seconds"]
    assert silent.connection.closed
    assert (alice.reads(), alice.connection.closed) == ([], False)


def test_the_time_for_a_login_ends_with_it(house):
    house.client("alice").reads()
    due = [call.getTime() - house.clock.seconds() for call in house.clock.getDelayedCalls()]
    assert LOGIN_SECONDS not in due


# --- lines that are no requests ----------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code"), [(TOO_LONG, 502), (b"caf\xe9", 503), (b"a\x1bb", 504), (b"/nonsense", 500)]
)
def test_a_bad_line_is_refused_and_the_next_is_heard(house, line, code):
    alice = house.client("alice")
    alice.reads()
    bad, good = alice.says(line, "hello")
    assert bad.startswith(f"-ERR {code} ")
    assert good == "+OK 3"


def test_a_programs_bad_line_is_answered_with_its_tag(house):
    program = house.program("alice")
    program.reads()
    replies = program.says(
        b"@7 SEND 1 * :\x1b", b"@8 NONSENSE", b"no tag", b"x" * 2000, b"@9 SEND 1"
    )
    assert [reply.split()[1:3] for reply in replies] == [
        ["504", "@7"], ["500", "@8"], ["501", "@-"], ["502", "@-"], ["501", "@9"],
    ]  # fmt: skip


def test_a_web_browser_is_told_and_the_connection_closed(house):
    browser = house.client()
    browser.reads()
    assert browser.says("GET / HTTP/1.1", "Host: lab", "alice") == [
        "-ERR 505 this is a chat, not a web server: use telnet or nc"
    ]
    assert browser.connection.closed
    assert names(house.node.state) == []


def test_empty_lines_are_ignored(house):
    alice = house.client("alice")
    alice.reads()
    assert alice.says("", "  ", "hello") == ["+OK 3"]
