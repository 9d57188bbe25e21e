"""What is said to those who ask for messages that were removed: plainly, and to nobody else."""

import pytest
from sessions_house import House

from chainchat.chat.commands import Forget

GONE = "messages before 8 were removed after 90 days"
NOTE = f"NOTE removed before=8 :{GONE}"


@pytest.fixture
def house():
    """A room in which alice has said ten lines, the first of them in message 3; bob has left."""
    made = House()
    alice = made.client("alice", *(f"line {number}" for number in range(10)))
    alice.says("/logout")
    return made


def forget(house, before=8, days=90):
    house.node.submit(Forget(before, unread=True, days=days))
    house.clock.advance(0)


def ids(lines):
    return [int(line.split("#")[1].split()[0]) for line in lines if "#" in line]


def test_who_asks_for_more_than_is_left_is_told_what_is_gone(house):
    alice = house.client("alice")
    first = ids(alice.says("/last 100"))[0]
    assert first < 8
    forget(house)
    gone, day, *shown, end = alice.says("/last 100")
    assert (gone, day) == (f"* {GONE}", "| 2026-11-22")
    assert ids(shown)[0] == 8
    assert end == f". {len(shown)} messages"


def test_who_asks_for_what_is_there_is_told_nothing(house):
    alice = house.client("alice")
    forget(house)
    answer = alice.says("/last 3")
    assert len(ids(answer)) == 3
    assert not any("removed" in line for line in answer)


def test_if_everything_is_gone_that_is_said(house):
    alice = house.client("alice")
    house.node.submit(Forget(1_000, unread=True))
    house.clock.advance(0)
    gone, end = alice.says("/last 10")
    assert gone.endswith("were removed to make room")
    assert end == ". 0 messages"


@pytest.mark.parametrize("after", [0, 3, 6])
def test_a_program_that_asks_for_what_is_gone_gets_a_notice_in_the_answer(house, after):
    program = house.program("robot")
    forget(house)
    note, *shown, end = program.says(f"@s SINCE {after}")
    assert note == NOTE
    assert [int(line.split()[3]) for line in shown][:1] == [8]
    assert end.startswith(". @s")


@pytest.mark.parametrize("after", [7, 8])
def test_a_program_that_asks_for_what_is_there_gets_none(house, after):
    program = house.program("robot")
    forget(house)
    first, *_ = program.says(f"@s SINCE {after}")
    assert first.startswith("| @s MSG")


def late(house):
    """bob, who has seen nothing since he made his account, and comes back when much is gone."""
    house.client("bob").says("/logout")
    assert house.seen("bob") < 17
    alice = house.client("alice", *(f"more {number}" for number in range(10)))
    alice.says("/logout")
    forget(house, before=house.node.state.applied - 3)
    return house.node.state.removed


def test_who_comes_late_is_told_what_is_gone_before_what_is_left(house):
    removed = late(house)
    said = house.client().says("bob")
    [told] = [line for line in said if line == f"* {removed}"]
    shown = [line for line in said if "alice: more" in line]
    assert ids(shown)[0] >= removed.before
    assert said.index(told) < said.index(shown[0])


def test_a_program_that_comes_late_or_resumes_is_told_so_and_a_quiet_one_is_not(house):
    removed = late(house)
    note = f"NOTE removed before={removed.before} :{removed}"
    program = house.client("/hello chainchat/1 client=bot", "@l LOGIN bob quiet")
    assert note not in program.says("@p PING")
    session = house.node.state.account_named("bob").session
    assert session
    program.says("@o LOGOUT")
    again = house.client("/hello chainchat/1 client=bot")
    logged_in, told, *_ = again.says("@l LOGIN bob")
    assert told == note
    token = logged_in.split("session=")[1].split()[0]
    resumed = house.client("/hello chainchat/1 client=bot")
    answer, told, *_ = resumed.says(f"@r RESUME bob {token} after=0")
    assert answer.startswith("+OK @r")
    assert told == note


def test_who_missed_nothing_of_what_is_gone_is_told_nothing(house):
    house.client("bob").says("/logout")
    forget(house)
    assert not any("removed" in line for line in house.client().says("bob"))
    assert not any("removed" in line for line in house.client().says("carol"))
