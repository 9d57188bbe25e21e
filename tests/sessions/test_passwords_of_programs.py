"""Passwords of programs: proved and set, never sent."""

from random import Random

import pytest
import scramp
from sessions_house import HELLO, one
from typists import OTHER, SECRET, operator, person, proof, protected, words

from chainchat.chat.scram import ITERATIONS
from chainchat.sessions.guard import FAILURE_SECONDS
from chainchat.sessions.limits import CHANGE_TOKENS
from chainchat.sessions.pace import Rate


def test_a_program_proves_its_password_and_logs_in(house):
    protected(house, "alice")
    client = house.client(HELLO)
    assert one(client.says("@1 LOGIN alice")).startswith("-ERR 513 @1 a password is needed")
    assert proof(client, "alice", SECRET).startswith("+OK @p :v=")
    assert client.says("@1 LOGIN Alice")[0].startswith("+OK @1 session=")


def test_a_wrong_proof_is_refused_after_a_second_and_the_third_closes(house):
    protected(house, "alice")
    client = house.client(HELLO)
    for _ in range(3):
        assert not client.connection.closed
        assert proof(client, "alice", OTHER).startswith("-ERR 512 @p wrong password")
    assert client.connection.closed


def test_a_name_that_there_is_not_is_challenged_like_any_other(house):
    protected(house, "alice")
    challenges = set()
    for _ in range(2):
        client = house.client(HELLO)
        line = f"@a AUTH nobody SCRAM-SHA-256 :{'n,,n=nobody,r=clientnonce'}"
        challenge = one(client.says(line)).partition(",s=")[2]
        assert challenge.endswith(f",i={ITERATIONS}")
        challenges.add(challenge)
        assert proof(client, "nobody", SECRET).startswith("-ERR 512")
    assert len(challenges) == 1  # as for an account, whose salt stays
    assert len(house.node.state.salting) == 32


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("@1 PROVE :c=biws,r=x,p=eA==", "-ERR 516 @1 AUTH has to come first"),
        ("@1 AUTH alice SCRAM-SHA-256 :n,,n=bob,r=clientnonce", "-ERR 516 @1 n= has to be"),
        ("@1 AUTH alice SCRAM-SHA-256 :nonsense", "-ERR 516 @1 the first message has to be"),
        ("@1 AUTH alice SCRAM-SHA-1 :n,,n=alice,r=clientnonce", "-ERR 501 @1 the right form"),
        ("@1 AUTH alice", "-ERR 501 @1 the right form is @1 AUTH name SCRAM-SHA-256 :n,,"),
        ("@1 PROVE", "-ERR 501 @1 the right form is @1 PROVE :c="),
        ("@1 SECRET i=1", "-ERR 501 @1 the right form is @1 SECRET i="),
        ("@1 SECRET i=4096 s=eA== stored=eA== server=eA==", "-ERR 522 @1 a password is hashed"),
        (f"@1 SECRET i={ITERATIONS} s=eA== stored=eA== server=!", "-ERR 522 @1 a salt has 8 to"),
        (f"@1 SECRET {words(SECRET)}", "-ERR 510 @1 log in first, or AUTH and PROVE"),
    ],
)
def test_a_broken_exchange_is_refused_with_the_reason(house, line, refusal):
    protected(house, "alice")
    assert one(house.client(HELLO).says(line)[-1:]).startswith(refusal)


def spoiled(line, random):
    """A line with a few characters changed, missing, or there twice."""
    characters = list(line)
    for _ in range(random.randrange(1, 4)):
        place = random.randrange(len(characters))
        characters[place] = random.choice(
            ["", "=", ",", " ", "é", "\0", "A", characters[place] * 2]
        )
    return "@z " + "".join(characters)


@pytest.mark.parametrize("number", range(3))
def test_whatever_is_spoiled_of_an_exchange_nobody_is_let_in(house, number):
    protected(house, "alice")
    random, client = Random(number), house.client(HELLO)
    scram = scramp.ScramClient(["SCRAM-SHA-256"], "alice", OTHER)
    first = f"AUTH alice SCRAM-SHA-256 :{scram.get_client_first()}"
    [challenge] = client.says(f"@a {first}")
    scram.set_server_first(challenge.partition(" :")[2])
    lines = [first, f"PROVE :{scram.get_client_final()}", f"SECRET {words(OTHER)}"]
    client.reads()
    for _ in range(100):
        if client.connection.closed:
            client = house.client(HELLO)
        line = spoiled(random.choice(lines), random)
        answers = client.says(line) or client.reads(after=1.0)
        for answer in answers:
            begun = answer.startswith("+OK @z challenge :")
            assert begun or answer.startswith("-ERR "), (line, answers)
    assert proof(house.client(HELLO), "alice", SECRET).startswith(("+OK @p :v=", "-ERR 435"))


def test_a_proof_cannot_be_used_again(house):
    protected(house, "alice")
    client = house.client(HELLO)
    scram = scramp.ScramClient(["SCRAM-SHA-256"], "alice", SECRET)
    first = f"@a AUTH alice SCRAM-SHA-256 :{scram.get_client_first()}"
    [challenge] = client.says(first)[-1:]
    scram.set_server_first(challenge.partition(" :")[2])
    line = f"@p PROVE :{scram.get_client_final()}"
    assert one(client.says(line)).startswith("+OK @p")
    assert one(client.says(line)).startswith("-ERR 516")
    client.says(first)
    assert one(client.says(line)).startswith("-ERR 516")


def test_of_lines_that_prove_something_a_stopping_node_shows_no_more_than_the_verb(house):
    client = house.program("alice")
    lines = (f"@1 SECRET {words(SECRET)}", "@2 PROVE :c=x", "@3 RESUME alice TOKEN after=0")
    client.sends("@0 LIST a", *lines)
    client.session.sent_elsewhere("this node stops")
    said = client.connection.read()
    undone = [line.partition("not done: ")[2] for line in said if "not done" in line]
    assert undone == ["@0 LIST a", "@1 SECRET", "@2 PROVE", "@3 RESUME"]


def test_a_program_sets_and_removes_a_password_that_the_node_never_sees(house):
    client = house.program("alice")
    assert client.says(f"@1 SECRET {words(OTHER)}")[-1] == "+OK @1"
    assert client.says(f"@2 SECRET {words(SECRET)}") == ["+OK @2"]  # it has set the one before
    again = house.client(HELLO)
    assert proof(again, "alice", SECRET).startswith("+OK")
    again.says("@l LOGIN alice")
    client.session.lost()
    assert again.says("@l LOGIN alice")[0].startswith("+OK")
    assert again.says("@3 SECRET none") == ["+OK @3"]
    assert house.node.state.account_named("alice").verifier is None


def test_an_account_is_changed_before_its_login_as_rarely_as_after_it(house):
    protected(house, "alice")
    house.limit(saying=Rate(per_second=1, at_once=2 * CHANGE_TOKENS))
    one_of_two, other = house.client(HELLO), house.client(HELLO)
    for client in (one_of_two, other):
        assert proof(client, "alice", SECRET).startswith("+OK")
    line = f"@s SECRET {words(SECRET)}"
    entries = house.node.state.applied
    assert one_of_two.says(line, line) == ["+OK @s", "+OK @s"]
    refusal = "-ERR 435 @s this account is changed too often: wait 1 seconds"
    assert one_of_two.says(line) == other.says(line) == [refusal]
    assert house.node.state.applied == entries + 2
    house.clock.advance(CHANGE_TOKENS)
    assert one_of_two.says(line) == ["+OK @s"]


def test_a_resumed_session_has_shown_no_password(house):
    protected(house, "alice")
    client = house.client(HELLO)
    proof(client, "alice", SECRET)
    token = client.says("@1 LOGIN alice")[0].split()[2].removeprefix("session=")
    again = house.client(HELLO, f"@1 RESUME alice {token} after=0")
    assert one(again.says("@2 SECRET none")).startswith("-ERR 513 @2 AUTH and PROVE")
    assert one(again.says("@2 AUTH bob SCRAM-SHA-256 :n,,n=bob,r=clientnonce")).startswith(
        "-ERR 511"
    )
    assert proof(again, "alice", SECRET).startswith("+OK")
    assert again.says("@3 SECRET none") == ["+OK @3"]


def test_guesses_are_slowed_down_at_the_account_and_nobody_is_locked_out(house):
    protected(house, "alice")
    for _ in range(11):  # each takes a second
        assert proof(house.client(HELLO), "alice", OTHER).startswith("-ERR 512")
    client = house.client(HELLO)
    refusal = proof(client, "alice", SECRET)
    assert refusal == "-ERR 435 @p too many attempts: wait 9 seconds"
    house.clock.advance(10)
    assert proof(client, "alice", SECRET).startswith("+OK")


def test_who_is_logged_in_does_not_have_one_password_checked_after_the_other(house):
    alice = person(house, "alice", "/password", SECRET, SECRET)
    alice.types()
    for _ in range(10):
        assert b"your new password" in alice.types("/password", SECRET)
        assert b"+OK nothing is changed" in alice.types("")
    refusal = alice.types("/password", SECRET, after=FAILURE_SECONDS)
    assert b"-ERR 435 too many attempts" in refusal
    house.clock.advance(10)
    assert b"your new password" in alice.types(SECRET)


def test_a_proof_of_an_old_password_fills_no_log_with_refused_logins(house):
    protected(house, "alice")
    old = house.client(HELLO)
    assert proof(old, "alice", SECRET).startswith("+OK")
    new = house.client(HELLO)
    assert proof(new, "alice", SECRET).startswith("+OK")
    assert one(new.says(f"@s SECRET {words(OTHER)}")) == "+OK @s"
    assert_few_refused_logins_reach_the_log(house, old, "@l LOGIN alice", "-ERR 434 @l")


def test_nor_does_a_proof_of_a_password_that_has_to_be_changed_first(house):
    typist = operator(house)
    invitation = typist.types("/invite bob")
    password = invitation.decode().split(": ")[-1].strip()
    client = house.client(HELLO)
    assert proof(client, "bob", password).startswith("+OK")
    assert_few_refused_logins_reach_the_log(house, client, "@l LOGIN bob", "-ERR 513 @l")


def assert_few_refused_logins_reach_the_log(house, client, login, refusal):
    house.limit(refused_logins=Rate(per_second=0.1, at_once=3))
    committed = house.node.state.applied
    answers = [one(client.says(login)) for _ in range(10)]
    assert [answer.startswith(refusal) for answer in answers] == [True] * 3 + [False] * 7
    assert all(answer.startswith("-ERR 435 @l too many logins") for answer in answers[3:])
    assert house.node.state.applied == committed + 3
