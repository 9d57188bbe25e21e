"""Limits of accounts and addresses: who says much is slowed down, and nothing is lost."""

from collections import Counter

import pytest
from sessions_house import HELLO, House
from twisted.internet.task import Clock

from chainchat.chat.accounts import AccountRole
from chainchat.chat.refusals import Code
from chainchat.sessions.buckets import WIDER
from chainchat.sessions.hearing import WAITING_OCTETS
from chainchat.sessions.limits import (
    CHANGE_TOKENS,
    LAST_LOGINS,
    LAST_LOGINS_OF,
    UNLIMITED,
    Limits,
    Ration,
)
from chainchat.sessions.pace import Rate

SAYING = Rate(per_second=10.0, at_once=20)

SLOWED = "you say more than 10 lines a second: the rest waits, and is said at that pace"


@pytest.fixture
def house():
    house = House()
    house.limit(saying=SAYING)
    return house


def sends(first, last):
    return [f"@{number} SEND {number} * :{number}" for number in range(first, last + 1)]


def acknowledged(lines):
    return [int(line.split("@")[1].split()[0]) for line in lines if line.startswith("+OK @")]


def in_time(client, seconds):
    client.house.clock.pump([0.01] * int(seconds * 100))
    return client.reads_at_once()


# --- what is said ------------------------------------------------------------------------


def test_what_a_program_says_too_fast_is_said_later_in_order_and_all_of_it(house):
    alice = house.program("alice")
    alice.reads()
    at_first = acknowledged(alice.says(*sends(1, 60)))
    assert at_first == [*range(1, 21)]
    soon = acknowledged(in_time(alice, 2.0))
    assert 18 <= len(soon) <= 20
    assert [*at_first, *soon, *acknowledged(in_time(alice, 3.0))] == [*range(1, 61)]


def test_nothing_is_refused_so_no_later_message_is_either(house):
    alice = house.program("alice")
    alice.reads()
    lines = alice.says(*sends(1, 200))
    lines += in_time(alice, 30.0)
    assert acknowledged(lines) == [*range(1, 201)]
    assert not [line for line in lines if line.startswith("-ERR")]


def test_a_person_is_slowed_down_too_and_told_once(house):
    alice = house.client("alice", "/notices off")
    lines = alice.says(*[f"line {number}" for number in range(80)])
    lines += in_time(alice, 10.0)
    said = [line for line in lines if line.startswith("+OK ") and line[4:].isdecimal()]
    assert len(said) == 80
    assert lines.count(f"* {SLOWED}") == 1
    assert [line.split(": ", 1)[1] for line in alice.says("/last 80")[1:-1]] == [
        f"line {number}" for number in range(80)
    ]


def test_a_program_is_told_in_a_notice(house):
    alice = house.program("alice")
    alice.reads()
    assert f"NOTE slowed :{SLOWED}" in alice.says(*sends(1, 21))


def test_pings_overtake_what_waits_and_questions_do_not(house):
    alice = house.program("alice")
    alice.reads()
    alice.says(*sends(1, 25), "@w WHO")
    assert alice.says("@p PING", "@c CHAIN")[0] == "+OK @p"
    late = in_time(alice, 1.0)
    assert acknowledged(late) == [*range(21, 26)]
    assert late[-2:] == ["| @w alice", ". @w"]


def test_what_waits_is_read_on_only_so_far(house):
    alice = house.program("alice")
    alice.reads()
    long = [f"@{n} SEND {n} * :{'x' * 1_000}" for n in range(21, 23 + WAITING_OCTETS // 1_000)]
    alice.says(*sends(1, 20), *long)
    assert alice.connection.held
    in_time(alice, 5.0)
    assert not alice.connection.held


def test_each_account_has_a_bucket_of_its_own_which_stays_when_it_comes_again(house):
    alice, bob = house.program("alice"), house.program("bob")
    alice.says(*sends(1, 20))
    bob.reads()
    assert acknowledged(bob.says(*sends(1, 20))) == [*range(1, 21)]
    alice.session.lost()
    house.clock.advance(0)
    again = house.program("alice")
    again.reads()
    assert acknowledged(again.says(*sends(21, 25))) == []
    assert acknowledged(in_time(again, 1.0)) == [*range(21, 26)]


def test_who_is_exempt_says_as_much_as_it_likes(house):
    alice = house.program("alice")
    house.exempt.add(house.node.state.account_named("alice").number)
    alice.reads()
    assert len(acknowledged(alice.says(*sends(1, 500)))) == 500


def test_without_a_rate_nobody_is_slowed_down(house):
    house.limit()
    alice = house.program("alice")
    alice.reads()
    assert len(acknowledged(alice.says(*sends(1, 500)))) == 500


def test_a_new_rate_holds_at_once_for_those_who_are_there(house):
    house.limit()
    alice = house.program("alice")
    alice.reads()
    alice.says(*sends(1, 100))
    house.limit(saying=SAYING)
    assert acknowledged(alice.says(*sends(101, 130))) == [*range(101, 121)]
    house.limit()
    assert acknowledged(in_time(alice, 0.5)) == [*range(121, 131)]


def test_an_answer_costs_what_it_returns_and_no_more_than_some_seconds(house):
    alice = house.program("alice")
    alice.says(*sends(1, 20))
    in_time(alice, 2.0)
    assert house.limits.may_say(alice.session.account) == 20
    assert alice.says("@s SINCE 0 20")[-1] == ". @s"
    assert house.limits.may_say(alice.session.account) == 18
    for number in range(30):
        alice.says(f"@s{number} SINCE 0")
    late = in_time(alice, 20.0)
    assert late[-1] == ". @s29"


def test_who_hangs_up_while_slowed_is_heard_to_the_end_and_then_let_go(house):
    alice = house.client("alice")
    alice.says("/notices off")
    alice.sends(*[f"line {number}" for number in range(60)])
    alice.session.input_ended()
    lines = in_time(alice, 10.0)
    assert [line[:4] for line in lines if line.startswith("+OK")] == ["+OK "] * 60
    assert alice.connection.closed


def test_what_a_stopping_node_has_not_said_for_its_limits_is_listed(house):
    alice = house.program("alice")
    alice.reads()
    alice.says(*sends(1, 21))
    alice.session.take_no_more()
    alice.session.sent_elsewhere("this node stops")
    assert alice.reads_at_once()[0] == "NOTE undone :not done: @21 SEND 21 * :21"


def test_a_change_of_accounts_costs_as_much_as_many_messages(house):
    alice = house.program("alice")
    alice.reads()
    before = house.limits.may_say(alice.session.account)
    assert code(alice.says("@d DELETE nobody")[0]) == Code.NO_SUCH_ACCOUNT
    assert house.limits.may_say(alice.session.account) == before - CHANGE_TOKENS


def test_on_the_last_of_a_disk_only_operators_change_accounts(house):
    alice = house.program("alice")
    house.free = 0
    house.clock.pump([1.0] * 15)
    alice.reads()
    for line in ("@d DELETE nobody", "@k KICK nobody", "@s SECRET none", "@i INVITE bob"):
        assert code(alice.says(line)[0]) == Code.DISK_NEARLY_FULL
    house.node.state.account_named("alice").role = AccountRole.OPERATOR
    assert code(alice.says("@k KICK nobody")[0]) == Code.NO_SUCH_ACCOUNT


def test_nor_do_operators_fill_the_last_of_a_disk(house):
    alice, bob = house.program("alice"), house.program("bob")
    for name in ("alice", "bob"):
        house.node.state.account_named(name).role = AccountRole.OPERATOR
    house.free = 0
    house.clock.pump([1.0] * 15)
    house.exempt = {alice.session.account, bob.session.account}
    alice.reads(), bob.reads()
    alice.sends(*["@k KICK nobody"] * 90)
    bob.sends(*["@k KICK nobody"] * 20)
    house.clock.pump([0.0] * 200)
    kicks = alice.reads() + bob.reads()
    refused = Counter(map(code, kicks))
    assert refused == {Code.NO_SUCH_ACCOUNT: 100, Code.DISK_NEARLY_FULL: 10}
    assert sum(kick.endswith("; or wait 1 s") for kick in kicks) == 10
    committed = house.node.state.applied
    house.clock.pump([1.0])
    alice.says(*["@k KICK nobody"] * 10)
    assert house.node.state.applied == committed + 1


@pytest.fixture
def low(house):
    """A house whose disk is nearly full; alice is away, and bob has a password."""
    house.limit()
    alice, bob = house.client("alice"), house.client("bob")
    for line in ("/password", "a password", "a password"):
        bob.sends(line)
        house.clock.advance(0)
    house.free = 0
    house.clock.pump([1.0] * 15)
    for client in (alice, bob):
        client.session.lost()
    house.clock.advance(0)
    return house


def comes_and_goes(house, number):
    client = house.client(address=f"10.0.0.{number}")
    client.reads()
    [answer, *_] = client.says("alice")
    client.session.lost()
    house.clock.advance(0)
    return answer


def test_nor_do_logins_from_many_addresses(low):
    low.limits.last_logins = Ration(Rate(per_second=5, at_once=3), low.clock.seconds)
    answers = [comes_and_goes(low, number) for number in range(5)]
    assert [answer.split()[0] for answer in answers] == ["+OK"] * 3 + ["-ERR"] * 2
    assert answers[-1].startswith("-ERR 453 ")
    low.clock.advance(0.2)
    assert comes_and_goes(low, 6).startswith("+OK")


def test_one_address_does_not_take_all_of_the_last_logins(low):
    """Else a single stranger would keep everybody out."""
    most = int(LAST_LOGINS_OF[0].at_once)
    answers = [comes_and_goes(low, 1) for _ in range(most + 1)]
    assert all(answer.startswith("+OK") for answer in answers[:most])
    assert answers[-1].startswith("-ERR 453 ")
    assert comes_and_goes(low, 2).startswith("+OK")


def test_nor_does_one_network():
    clock = Clock()
    limits = Limits(UNLIMITED, clock.seconds)
    taken = [limits.take_last_login(f"2001:db8:1:{site:x}::1") for site in range(1_000)]
    assert taken.index(max(taken)) == LAST_LOGINS_OF[1].at_once < LAST_LOGINS.at_once
    assert limits.take_last_login("2001:db8:2::1") == 0


def test_who_is_only_asked_for_a_password_takes_no_login(low):
    low.limits.last_logins = Ration(Rate(per_second=5, at_once=1), low.clock.seconds)
    stranger = low.client(address="10.0.0.1")
    for _ in range(3):
        stranger.sends("bob", "")
        low.clock.advance(0)
    assert b"-ERR 513 " in stranger.connection.data
    assert comes_and_goes(low, 2).startswith("+OK")


def test_who_has_typed_a_password_waits_for_a_login(low):
    low.limits.last_logins = Ration(Rate(per_second=0.5, at_once=1), low.clock.seconds)
    assert comes_and_goes(low, 1).startswith("+OK")
    bob = low.client(address="10.0.0.2")
    for wait, answer in ((0, b"-ERR 453 "), (2, b"+OK you are bob")):
        low.clock.advance(wait)
        for line in ("bob", "a password"):
            bob.sends(line)
            low.clock.advance(0)
        assert answer in bob.connection.data


# --- whose logins are refused ------------------------------------------------------------


def test_few_refused_logins_of_an_address_reach_the_log_and_the_others_get_in(house):
    alice = house.client("alice")
    alice.reads()
    house.limit(refused_logins=Rate(per_second=0.1, at_once=3))
    bob, stranger = house.client(), house.client(HELLO)
    committed = house.node.state.applied
    codes = [code(stranger.says(f"@r RESUME alice {number} after=0")[0]) for number in range(5)]
    assert codes == [Code.BAD_TOKEN] * 3 + [Code.TOO_MANY_ATTEMPTS] * 2
    assert house.node.state.applied == committed + 3
    assert stranger.says("@l LOGIN alice") == [
        "-ERR 435 @l too many logins of your address were refused: wait 10 seconds"
    ]
    alice.session.lost()
    house.clock.advance(0)
    bob.reads()
    assert bob.says("alice")[0].startswith("+OK")
    house.clock.advance(10)
    assert code(stranger.says("@r RESUME alice x after=0")[0]) == Code.BAD_TOKEN
    elsewhere = house.client(HELLO, address="10.0.0.8")
    assert code(elsewhere.says("@r RESUME alice x after=0")[0]) == Code.BAD_TOKEN


# --- who makes an account ----------------------------------------------------------------

FEW = Rate(per_second=0.1, at_once=2)


def login(house, name, **options):
    client = house.client(**options)
    client.reads()
    return client.says(name)[0]


def code(answer):
    return int(answer.split()[1]) if answer.startswith("-ERR") else 0


def test_an_address_makes_few_accounts_others_make_theirs_and_old_ones_log_in(house):
    house.limit(new_accounts=FEW)
    codes = [code(login(house, name)) for name in ("ann", "bea", "cat")]
    assert codes == [0, 0, Code.TOO_MANY_NEW_ACCOUNTS]
    assert code(login(house, "cat", address="10.0.0.8")) == 0
    for client in list(house.sessions.connections):
        client.lost()
    house.clock.advance(0)
    assert code(login(house, "ann")) == 0
    house.clock.advance(10)
    assert [code(login(house, name)) for name in ("dan", "eve")] == [0, 437]


def test_the_refusal_says_what_to_do(house):
    house.limit(new_accounts=Rate(0.1, 1))
    login(house, "ann")
    assert login(house, "bea") == (
        "-ERR 437 account bea was not made: your address has made too many of late; log in with an "
        "existing name, or try again in a minute"
    )


def test_what_makes_no_account_counts_for_nothing(house):
    house.limit(new_accounts=FEW)
    login(house, "ann")
    for name in ("ann", "server", "an.n", "ann"):
        assert code(login(house, name)) in (Code.NAME_IN_USE, 523, 524)
    assert code(login(house, "bea")) == 0


def test_whoever_has_many_networks_of_ipv6_makes_no_more_than_some(house):
    house.limit(new_accounts=Rate(per_second=0.01, at_once=1))
    clients = [house.client(address=f"2001:db8:0:{n:x}::1") for n in range(WIDER + 1)]
    for client in clients:
        client.reads()
    codes = [client.says(f"user{n}")[0].split()[0] for n, client in enumerate(clients)]
    assert codes == ["+OK"] * WIDER + ["-ERR"]


def test_exempt_addresses_make_as_many_as_there_may_be(house):
    house.limit(new_accounts=FEW, most_accounts=4)
    names = ("ann", "bea", "cat", "dan", "eve")
    codes = [code(login(house, name, address="")) for name in names]
    assert codes == [0, 0, 0, 0, Code.TOO_MANY_ACCOUNTS]


def test_an_account_that_is_in_the_log_already_logs_in_though_this_node_does_not_know_it_yet(house):
    house.limit(new_accounts=Rate(0.1, 1), most_accounts=1)
    first, second = house.client(), house.client()
    first.reads(), second.reads()
    first.sends("ann"), second.sends("bea")
    house.sessions.hear()
    assert [code(first.reads()[0]), code(second.reads()[0])] == [0, Code.TOO_MANY_NEW_ACCOUNTS]


# --- names that deceive ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["server", "SYSTEM", "y0u", "every-body", "s.olo", "0ther", "S0L0", "help", "Quit"]
)
def test_no_account_is_called_what_the_server_says(house, name):
    assert login(house, name) == (
        f"-ERR 524 nobody can be named {name}, which others would take for the server or for a "
        "command: choose another name, or type /help"
    )


def test_no_new_account_looks_like_another(house):
    login(house, "alice")
    assert login(house, "AL1CE") == (
        "-ERR 523 alice has an account already, and the two names look alike: choose a name that "
        "nobody takes for theirs, or log in as alice if that is you"
    )
    assert login(house, "alicia") == (
        "+OK you are alicia: type to talk to everybody, /help for all else"
    )
