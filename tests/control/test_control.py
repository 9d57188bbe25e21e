"""The control socket: what it answers, and to whom."""

import json
import os
import socket
import stat
import sys

import pytest
import pytest_twisted
from control_room import PASSWORD, Room, unusable
from tcp import a_moment, until
from twisted.internet.defer import Deferred

from chainchat import __version__, config
from chainchat.chat.accounts import AccountRole
from chainchat.chat.refusals import Code, RefusedError
from chainchat.control.listener import (
    IDLE_SECONDS,
    MOST_CONNECTIONS,
    MOST_LINES,
    MOST_OCTETS,
    READ_OCTETS,
    ControlFactory,
    listen,
)
from chainchat.control.verbs import PAGE_ACCOUNTS
from chainchat.network.control_socket import LONGEST, objection_to, socket_of

pytestmark = pytest.mark.reactor


@pytest.fixture
def room(tmp_path):
    room = Room(tmp_path / "data")
    yield room
    room.close()


def value(lines):
    [line] = lines
    assert line.startswith("+OK @1 "), line
    return json.loads(line.removeprefix("+OK @1 "))


def items(lines):
    *found, end = lines
    assert end == ". @1"
    return [json.loads(line.removeprefix("| @1 ")) for line in found]


# --- looking


@pytest_twisted.ensureDeferred
async def test_status_tells_what_chain_shows_as_data(room):
    room.has("alice")
    found = value(await room.ask("@1 status"))
    assert found["shown"][-1] == f"you are on solo, the only node, chainchat {__version__}"
    told = {
        "version": __version__,
        "chain": "lab",
        "position": "solo",
        "started": "2026-11-22T11:03:00Z",
        "epoch": 1,
        "members": ["solo"],
        "role": "only",
        "serving": True,
        "confirms": True,
        "reason": "",
        "since": "2026-11-22T11:03:07Z",
        "waiting_for": [],
        "away": [],
        "low": [],
        "committed": room.house.node.state.applied,
        "in_flight": 0,
        "clock_behind": 0.0,
        "writes_paused": 0.0,
        "learners": {},
        "clients": 1,
    }
    assert {key: found[key] for key in told} == told


@pytest_twisted.ensureDeferred
async def test_status_tells_that_the_chain_cannot_confirm(room):
    room.house.cannot_confirm()
    found = value(await room.ask("@1 STATUS"))
    assert (found["serving"], found["confirms"]) == (True, False)
    assert found["reason"] == "the chain cannot confirm: waiting for other"
    assert found["waiting_for"] == ["other"]


@pytest_twisted.ensureDeferred
async def test_accounts_are_listed_with_role_password_and_presence(room):
    room.has("bob", password=False)
    _, carol = room.has("alice", "Carol")
    carol.says("/quit")
    room.house.node.state.account_named("alice").role = AccountRole.OPERATOR
    assert items(await room.ask("@1 accounts")) == [
        {"name": "alice", "role": "operator", "protected": True, "on": True},
        {"name": "bob", "role": "user", "protected": False, "on": True},
        {"name": "Carol", "role": "user", "protected": True, "on": False},
    ]


def test_a_list_comes_a_page_at_a_time_as_it_is_read(room):
    names = [f"user{number:03}" for number in range(2 * PAGE_ACCOUNTS + 1)]
    room.has(*names, password=False)
    transport = room.talk_without_socket("@1 accounts")
    assert transport.value() == b""
    shown = []
    for count in (PAGE_ACCOUNTS, PAGE_ACCOUNTS, 1):
        transport.producer.resumeProducing()
        lines = transport.value().decode().split("\n")[:-1]
        transport.clear()
        assert len(lines) == count
        shown += [json.loads(line.removeprefix("| @1 "))["name"] for line in lines]
    assert shown == names
    transport.producer.resumeProducing()
    assert transport.value() == b". @1\n"
    transport.producer.resumeProducing()
    assert transport.producer is None


def test_nothing_more_is_heard_until_the_answer_is_read(room):
    transport = room.talk_without_socket("@1 status\n@2 status")
    transport.producer.resumeProducing()
    room.house.clock.advance(1)
    assert transport.value().count(b"\n") == 1
    transport.producer.resumeProducing()
    room.house.clock.advance(0)
    transport.producer.resumeProducing()
    assert transport.value().count(b"\n") == 2


def test_who_never_reads_is_closed(room):
    transport = room.talk_without_socket("@1 status")
    transport.producer.resumeProducing()
    room.house.clock.advance(IDLE_SECONDS)
    assert transport.disconnected


@pytest_twisted.ensureDeferred
async def test_a_line_may_come_in_pieces(room):
    asker = await room.call()
    for piece in (b"@1 st", b"at", b"us\n"):
        asker.transport.write(piece)
        await a_moment(0.01)
    await until(lambda: asker.lines)
    assert value(asker.lines)


@pytest_twisted.ensureDeferred
async def test_help_lists_all_commands_or_tells_of_one(room):
    assert [item["form"] for item in items(await room.ask("@1 help"))] == [
        "status",
        "accounts",
        "operator NAME [on|off]",
        "invite NAME [reset]",
        "kick NAME",
        "may-stop",
        "drain [SECONDS]",
        "undrain",
        "stop",
        "export AFTER [NAME]",
        "log-level [LEVEL]",
        "reload",
        "help [COMMAND]",
    ]
    [kick] = items(await room.ask("@1 help kick"))
    assert kick == {"form": "kick NAME", "about": "end somebody's session"}


# --- changing


@pytest_twisted.ensureDeferred
async def test_an_operator_is_made_and_unmade_through_the_log(room):
    room.has("alice")
    before = room.house.node.state.applied
    assert value(await room.ask("@1 operator alice")) == {"name": "alice", "role": "operator"}
    assert room.house.node.state.applied > before
    assert room.house.node.state.account_named("alice").role is AccountRole.OPERATOR
    assert value(await room.ask("@1 operator alice off")) == {"name": "alice", "role": "user"}
    assert room.house.node.state.account_named("alice").role is AccountRole.USER
    assert room.logged[-2:] == [
        f"control, by {me()}: operator alice: done",
        f"control, by {me()}: operator alice off: done",
    ]


def me():
    return f"uid {os.getuid()}" if sys.platform == "linux" else "the owner"


@pytest_twisted.ensureDeferred
async def test_a_change_is_answered_only_when_it_is_committed(room):
    room.has("alice")
    room.stand_still()
    asker = await room.call()
    asker.transport.write(b"@1 operator alice\n")
    await until(lambda: room.desk._waiting)
    await a_moment()
    assert asker.lines == []
    room.turn()
    await until(lambda: asker.lines)
    assert value(asker.lines)["role"] == "operator"


@pytest_twisted.ensureDeferred
async def test_who_has_no_account_or_no_password_becomes_no_operator(room):
    room.has("bob", password=False)
    [line] = await room.ask("@1 operator alice")
    assert line.startswith("-ERR 521 @1 there is no account alice: log in as alice once")
    [line] = await room.ask("@1 operator bob")
    assert line.startswith("-ERR 513 @1 bob has no password, and anybody could log in as")
    assert room.logged[-1].startswith(f"control, by {me()}: operator bob: refused: 513 ")


@pytest_twisted.ensureDeferred
async def test_an_invitation_makes_an_account_and_shows_the_password_once(room):
    assert value(await room.ask("@1 invite bob")) == {
        "name": "bob",
        "password": PASSWORD,
        "once": True,
    }
    assert room.house.node.state.account_named("bob").verifier.once
    assert not [line for line in room.logged if PASSWORD in line]


@pytest_twisted.ensureDeferred
async def test_a_name_that_is_somebodys_is_reset_on_demand_only(room):
    room.has("alice")
    [line] = await room.ask("@1 invite alice")
    assert line.startswith("-ERR 433 @1 alice is somebody's already")
    assert line.endswith("invite alice reset")
    assert value(await room.ask("@1 invite alice reset"))["password"] == PASSWORD
    assert room.house.node.state.account_named("alice").verifier.once


@pytest_twisted.ensureDeferred
async def test_while_too_many_passwords_are_hashed_an_invitation_is_refused(room):
    busy = Deferred()
    busy.errback(RefusedError(Code.TOO_MANY_ATTEMPTS, "wait 2 seconds"))
    room.invitations.append(busy)
    assert await room.ask("@1 invite bob") == ["-ERR 435 @1 wait 2 seconds"]
    assert room.house.node.state.account_named("bob") is None


@pytest_twisted.ensureDeferred
async def test_nobody_new_is_invited_whose_name_looks_like_anothers(room):
    room.has("alice")
    [line] = await room.ask("@1 invite AL1CE")
    assert line.startswith("-ERR 523 @1 alice has an account already")
    assert room.house.node.state.account_named("al1ce") is None


@pytest_twisted.ensureDeferred
async def test_a_kick_ends_the_session(room):
    [alice] = room.has("alice")
    assert value(await room.ask("@1 kick ALICE")) == {"name": "ALICE"}
    await until(lambda: alice.connection.closed)
    assert await room.ask("@1 kick bob") == ["-ERR 521 @1 there is no account bob"]


@pytest_twisted.ensureDeferred
async def test_a_reload_tells_what_came_of_it_or_why_not(room):
    assert value(await room.ask("@1 reload")) == {"lines": ["[limits] per-address: 64 -> 8"]}
    room.reloads = unusable()
    assert await room.ask("@1 reload") == [
        "-ERR 541 @1 nothing has changed: chain.ini: line 7: nonsense"
    ]


@pytest_twisted.ensureDeferred
async def test_only_what_changes_something_is_in_the_audit(room):
    for line in ("@1 status", "@1 accounts", "@1 help", "@1 nonsense", "@1 kick"):
        await room.ask(line)
    assert not [line for line in room.logged if line.startswith("control")]


# --- when the chain does not go on


@pytest_twisted.ensureDeferred
async def test_a_node_that_serves_nobody_changes_nothing_and_still_tells_how_it_is(room):
    reason = "this node is catching up with the chain (head, tail)"
    readiness = room.house.node.readiness
    room.house.node.readiness = type(readiness)(serving=False, waiting_for=(), reason=reason)
    [line] = await room.ask("@1 kick alice")
    assert line == f"-ERR 421 @1 {reason}; try another node"
    assert value(await room.ask("@1 status"))["reason"] == reason


@pytest_twisted.ensureDeferred
async def test_a_life_that_ends_leaves_nobody_waiting(room):
    room.has("alice")
    room.stand_still()
    asker = await room.call()
    asker.transport.write(b"@1 kick alice\n")
    await until(lambda: room.desk._waiting)
    room.desk.life_ended()
    await until(lambda: asker.lines)
    assert asker.lines[0].startswith("-ERR 431 @1 the chain goes on without this node")
    room.turn()  # the answer of the old life comes too late, and does no harm
    assert value(await room.ask("@1 status", asker))


@pytest_twisted.ensureDeferred
async def test_who_hangs_up_meanwhile_is_forgotten(room):
    room.has("alice")
    room.stand_still()
    asker = await room.call()
    asker.transport.write(b"@1 kick alice\n")
    await until(lambda: room.desk._waiting)
    asker.transport.abortConnection()
    await until(lambda: not room.factory.conversations)
    room.turn()
    await until(lambda: room.logged and "kick alice: done" in room.logged[-1])


@pytest_twisted.ensureDeferred
async def test_a_bug_ends_the_connection_and_is_logged(room, logged_failures):
    room.reloads = ZeroDivisionError("made up")
    asker = await room.call()
    asker.transport.write(b"@1 reload\n")
    await until(lambda: asker.closed)
    assert "made up" in logged_failures.pop()


# --- lines, and how many


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"status\n", "-ERR 501 @- no tag: the right form is @tag VERB arguments, as in @1 status"),
        (b"@1\n", "-ERR 501 @1 no verb: "),
        (b"@1 kik bob\n", "-ERR 500 @1 there is no command 'kik': did you mean kick?"),
        (b"@1 zzz\n", "-ERR 500 @1 there is no command 'zzz': the commands are status, "),
        (b"@1 kick\n", "-ERR 501 @1 the right form is kick NAME"),
        (b"@1 kick a b\n", "-ERR 501 @1 the right form is kick NAME"),
        (b"@1 export 9223372036854775808\n", "-ERR 501 @1 the right form is export AFTER [NAME]"),
        (b"@1 operator a maybe\n", "-ERR 501 @1 the right form is operator NAME [on|off]"),
        (b"@1 kick b\xc3\xb6b\n", "-ERR 520 @1 a name has 1 to 32 letters"),
        (b"@1 kick \xff\n", "-ERR 503 @1 "),
        (b"@1 kick \x1b[2J\n", "-ERR 504 @1 "),
        (b"@1 " + b"x" * MOST_OCTETS + b"\n", "-ERR 502 @- a command has at most 256 octets"),
        (b"\n@1 help nonsense\n", "-ERR 500 @1 there is no command 'nonsense'"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_line_that_cannot_be_read_is_refused_and_the_next_one_heard(room, line, answer):
    asker = await room.call()
    [refused] = await room.ask(line, asker)
    assert refused.startswith(answer)
    assert value(await room.ask("@1 status", asker))


@pytest_twisted.ensureDeferred
async def test_commands_are_answered_one_after_the_other(room):
    room.has("alice")
    asker = await room.call()
    count = 3 * MOST_LINES
    said = "".join(f"@{n} {'accounts' if n % 3 else 'kick alice'}\n" for n in range(count))
    asker.transport.write(said.encode())
    await until(lambda: len([x for x in asker.lines if x[:1] in "+."]) == count)
    ends = [line.split()[1] for line in asker.lines if line[:1] in "+."]
    assert ends == [f"@{n}" for n in range(count)]


@pytest_twisted.ensureDeferred
async def test_while_many_lines_wait_no_more_are_read(room):
    room.stand_still()
    asker = await room.call()
    asker.transport.write(b"@1 kick alice\n" * 100_000)
    await until(lambda: any(each._lines for each in room.factory.conversations))
    [conversation] = room.factory.conversations
    waiting = len(conversation._lines)
    assert MOST_LINES <= waiting < READ_OCTETS
    await a_moment()
    assert len(conversation._lines) == waiting
    asker.transport.abortConnection()


@pytest_twisted.ensureDeferred
async def test_so_many_connections_and_no_more(room):
    askers = [await room.call() for _ in range(MOST_CONNECTIONS)]
    await until(lambda: len(room.factory.conversations) == MOST_CONNECTIONS)
    refused = await room.call()
    await until(lambda: refused.closed)
    assert refused.lines[0].startswith("-ERR 422 @- 8 programs have this socket open already")
    askers[0].transport.loseConnection()
    await until(lambda: len(room.factory.conversations) < MOST_CONNECTIONS)
    assert value(await room.ask("@1 status"))


def test_who_says_nothing_for_long_is_closed_but_not_who_waits(room):
    room.invitations.append(Deferred())
    idle = room.talk_without_socket("@1 status")
    idle.producer.resumeProducing()
    idle.producer.resumeProducing()
    waiting = room.talk_without_socket("@1 invite bob")
    room.house.clock.advance(IDLE_SECONDS - 1)
    assert not idle.disconnected
    room.house.clock.advance(2)
    assert idle.disconnected
    assert not waiting.disconnected


# --- the socket


def test_only_the_owner_can_open_it(room):
    found = room.path.lstat().st_mode
    assert stat.S_ISSOCK(found)
    assert stat.S_IMODE(found) == 0o600


@pytest.fixture
def dead_socket(tmp_path):
    path = socket_of(tmp_path / "data")
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    return path


@pytest_twisted.ensureDeferred
async def test_the_socket_of_a_killed_process_is_replaced(dead_socket, room):
    assert room.path == dead_socket
    assert value(await room.ask("@1 status"))


def test_a_file_in_its_place_is_left_alone(tmp_path):
    path = tmp_path / "control"
    path.write_text("mine")
    with pytest.raises(config.ConfigError, match="is in the way of the control socket"):
        listen(path, ControlFactory(None, None), None)
    assert path.read_text() == "mine"


def test_a_path_that_is_too_long_is_told_before(tmp_path):
    room_left = LONGEST - len(str(socket_of(tmp_path / "x")))
    just_fits = tmp_path / ("x" * (room_left + 1))
    assert objection_to(just_fits) == ""
    too_long = tmp_path / ("x" * (room_left + 2))
    assert f"has {LONGEST + 1} octets, and the system takes {LONGEST}" in objection_to(too_long)
    just_fits.mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(socket_of(just_fits)))  # the limit is the system's
        with pytest.raises(OSError, match="too long"):
            bound.bind(str(socket_of(too_long)))
