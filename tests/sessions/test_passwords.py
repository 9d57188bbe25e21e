"""Passwords at one node: asked for, proved, set; who may what in the three modes."""

import base64
from dataclasses import replace
from random import Random

import pytest
import scramp
from sessions_house import HELLO, one
from typists import ASKS, OTHER, SECRET, SHOWS, Typist, operator, person, protected, question

from chainchat.chat.accounts import Role, Verifier
from chainchat.chat.commands import Grant, Invite, Kick, SetSecret
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.scram import ITERATIONS, salted, verifier_of
from chainchat.config import NewAccounts, Plaintext
from chainchat.sessions.guard import FAILURE_SECONDS
from chainchat.sessions.pace import Rate
from tests.chat.applied import present

DO, DONT = b"\xff\xfd\x01", b"\xff\xfe\x01"


def rules(house, **changed):
    house.guard.rules = replace(house.guard.rules, **changed)


# --- people ----------------------------------------------------------------------------------


def test_who_has_no_password_is_not_asked(house):
    assert b"+OK you are alice" in person(house).types("alice")


def test_who_has_a_password_is_asked_after_the_name(house):
    protected(house, "alice")
    typist = person(house)
    assert typist.types("alice") == question("alice")
    assert typist.types(SECRET).startswith(b"+OK you are alice")


def test_a_wrong_password_is_answered_after_a_second(house):
    protected(house, "alice")
    typist = person(house, "alice")
    assert typist.types(OTHER) == b""
    assert typist.types(after=FAILURE_SECONDS - 0.1) == b""
    assert typist.types(after=0.2) == b"-ERR 512 wrong password: try again\r\n"
    assert typist.types("alice") == question("alice")
    assert b"+OK you are alice" in typist.types(SECRET)


def test_three_wrong_passwords_close_the_connection(house):
    protected(house, "alice")
    typist = person(house, "alice")
    for _ in range(2):
        assert b"-ERR 512" in typist.types(OTHER, after=1)
        typist.types("alice")
    refusal = b"-ERR 512 wrong password, 3 times: connect again\r\n"
    assert typist.types(OTHER, after=1) == refusal
    assert typist.connection.closed


def test_the_audit_has_no_unknown_name_which_may_be_a_password(house, monkeypatch):
    lines = []
    monkeypatch.setattr(house.server_info.audit, "_log", lines.append)
    protected(house, "alice")
    rules(house, new=NewAccounts.INVITED)
    lines.clear()
    for name in ("hunter22", "alice"):
        person(house, name, OTHER).types(after=1.0)
        house.clock.advance(60)
    assert lines == [
        "refused: login of an unknown name from 127.0.0.1: 512 wrong password",
        "refused: login of alice from 127.0.0.1: 512 wrong password",
    ]


def test_an_empty_line_goes_back_to_the_name(house):
    protected(house, "alice")
    typist = person(house, "alice")
    assert typist.types("") == b"-ERR 513 no password: type a name to log in\r\n"
    assert b"+OK you are bob" in typist.types("bob")


def test_every_line_is_the_password_even_one_that_looks_like_something_else(house):
    protected(house, "alice", "/chain -- 8")
    typist = person(house, "alice")
    assert b"+OK you are alice" in typist.types("/chain -- 8")


def test_telnet_that_agrees_shows_nothing_and_is_told_when_to_show_again(house):
    protected(house, "alice")
    typist = person(house, "alice")
    data, answer = typist.connection.telnet.feed(DO)
    assert (data, answer) == (b"", b"")
    assert typist.types(SECRET).startswith(b"\r\n" + SHOWS + b"+OK you are alice")


def test_telnet_that_does_not_agree_shows_the_line_itself(house):
    protected(house, "alice")
    typist = person(house, "alice")
    assert typist.connection.telnet.feed(DONT) == (b"", b"")
    assert typist.types(SECRET).startswith(b"+OK you are alice")


@pytest.mark.parametrize(
    "keys", [b"correkt\x7f\x7fct horse", b"cor\xc3\xa9\x08rect horse", b"nonsense\x15correct horse"]
)
def test_backspace_rubs_out_and_control_u_clears(house, keys):
    protected(house, "alice")
    assert b"+OK you are alice" in person(house, "alice").types(keys)


def test_a_line_that_is_not_text_is_a_wrong_password(house):
    protected(house, "alice")
    typist = person(house, "alice")
    assert typist.types(b"\xfe\xfe\x01", after=1) == b"-ERR 512 wrong password: try again\r\n"
    typist.types("alice")
    assert b"-ERR 513" in typist.types(b"x" * 2_000)  # too long: nothing was typed


def test_nobody_learns_at_the_password_whether_somebody_is_on(house):
    typist = person(house, "alice", "/password", SECRET)
    typist.types(SECRET)
    other = person(house, "alice")
    assert b"-ERR 512" in other.types(OTHER, after=1)
    assert typist.connection.data == b""


def test_a_password_that_nobody_had_time_to_check_is_no_attempt(house, monkeypatch):
    protected(house, "alice")

    def refuse(work, done, failed, **_):
        raise RefusedError(Code.TOO_MANY_ATTEMPTS, "too many passwords wait to be checked")

    with monkeypatch.context() as busy:
        busy.setattr(house.hashing, "start", refuse)
        for _ in range(25):
            typist = person(house, "alice")
            assert typist.types(OTHER, after=FAILURE_SECONDS - 0.1) == b""
            assert b"-ERR 435 too many passwords wait" in typist.types(after=0.2)
            typist.session.lost()
    assert b"+OK you are alice" in person(house, "alice").types(SECRET)


def test_a_password_that_could_not_be_hashed_is_refused_and_is_no_attempt(house):
    protected(house, "alice")
    house.hashing.broken = True
    typist = person(house)
    for _ in range(25):
        assert b"-ERR 435 broken" in typist.types("alice", SECRET, after=1)
    house.hashing.broken = False
    assert b"+OK you are alice" in typist.types("alice", SECRET)


def test_who_has_tried_too_often_does_not_learn_so_at_once(house):
    protected(house, "alice")
    for number in range(11):  # one more is admitted meanwhile
        typist = person(house, "alice")
        typist.connection.address = f"10.0.0.{number}"
        assert b"-ERR 512" in typist.types(OTHER, after=1)
        typist.session.lost()
    typist = person(house, "alice")
    typist.connection.address = "10.0.0.99"
    assert typist.types(OTHER, after=FAILURE_SECONDS - 0.1) == b""
    assert b"-ERR 435 too many attempts: wait " in typist.types(after=0.2)
    assert b"+OK you are alice" in person(house, "alice").types(SECRET)  # where she was before


def test_who_would_wait_for_ever_because_of_a_mistake_of_ours_is_hung_up_on(house, monkeypatch):
    protected(house, "alice")
    typist = person(house, "alice")
    monkeypatch.setattr("chainchat.chat.scram.admits", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        typist.types(SECRET)
    typist.types()
    assert typist.connection.closed


def test_the_end_of_input_at_a_question_is_an_empty_line(house):
    protected(house, "alice")
    typist = person(house, "alice")
    typist.session.input_ended()
    assert typist.types() == b"-ERR 513 no password: type a name to log in\r\n"
    assert typist.connection.closed


@pytest.mark.parametrize(("secret", "answer"), [(SECRET, b"+OK you are"), (OTHER, b"-ERR 512")])
def test_the_end_of_input_waits_for_what_was_typed_before(house, secret, answer):
    protected(house, "alice")
    house.hashing.held = True
    typist = person(house, "alice")
    typist.sends(secret)
    typist.session.input_ended()
    typist.types()
    assert typist.session.busy
    assert not typist.connection.closed
    house.hashing.go_on()
    assert answer in typist.types(after=FAILURE_SECONDS)
    assert typist.connection.closed


def test_a_stopping_node_does_not_wait_for_an_answer_and_shows_no_line_that_may_be_one(house):
    protected(house, "alice")
    typist = person(house, "alice")
    assert not typist.session.busy
    typist.session.received(SECRET.encode() + b"\n", 0, 0)
    typist.session.sent_elsewhere("this node stops")
    said = typist.connection.data
    assert b"this node stops" in said
    assert SECRET.encode() not in said


def test_what_follows_slash_password_is_shown_to_nobody(house):
    typist = person(house, "alice")
    typist.sends("hello", "/password", SECRET, SECRET)
    typist.session.sent_elsewhere("this node stops")
    said = typist.connection.data
    assert b"* not done: hello\r\n* not done: /password\r\n" in said
    assert SECRET.encode() not in said


def test_a_password_changed_while_it_is_checked_is_refused(house):
    account = protected(house, "alice")
    typist = person(house, "alice")
    house.hashing.held = True
    typist.types(SECRET)
    verifier = verifier_of(salted(OTHER, b"s" * 16, 4096), b"s" * 16, 4096)
    house.node.submit(SetSecret("", account.number, "alice", account.secret, verifier))
    house.clock.advance(0)
    house.hashing.go_on()
    text = "-ERR 434 the password of alice was changed meanwhile; log in with the new one\r\n"
    assert typist.types() == text.encode()
    assert typist.types("alice") == question("alice")
    typist.types(OTHER)
    house.hashing.go_on()
    assert b"+OK you are alice" in typist.types()


def test_a_password_removed_since_it_was_shown_is_asked_for_no_more(house):
    protected(house, "alice")
    typist = person(house, "alice", SECRET)
    other = person(house, "alice")
    assert b"-ERR 433" in other.types(SECRET, after=1)
    typist.types("/password remove", SECRET)
    typist.types("/logout")
    assert b"+OK you are alice" in other.types("alice")


def test_who_lets_much_be_hashed_comes_after_a_newcomer(house, monkeypatch):
    ranks = []
    start = house.hashing.start

    def noting(*work, rank, **rest):
        ranks.append(rank)
        start(*work, rank=rank, **rest)

    protected(house, "alice")
    protected(house, "mallory")
    on = person(house, "mallory", SECRET)
    assert on.session.id
    monkeypatch.setattr(house.hashing, "start", noting)
    for _ in range(20):  # each is right, and refused as the name is in use
        assert b"-ERR 433" in person(house, "mallory").types(SECRET, after=1)
    before, ranks = ranks, []
    typist = Typist(house.client(address="10.0.0.9"))
    assert b"+OK you are alice" in typist.types("alice", SECRET)
    assert before[0] < ranks[0] < before[-1]


def test_others_are_heard_while_a_password_is_hashed(house):
    protected(house, "alice")
    bob = house.client("bob")
    typist = person(house, "alice")
    house.hashing.held = True
    assert typist.types(SECRET) == b""
    assert one(bob.says("hello")).startswith("+OK")
    house.hashing.go_on()
    assert b"+OK you are alice" in typist.types()


def test_a_connection_that_ended_drops_the_result(house):
    protected(house, "alice")
    typist = person(house, "alice")
    house.hashing.held = True
    typist.types(SECRET)
    typist.session.lost()
    house.hashing.go_on()
    house.clock.advance(0)
    assert present(house.node.state) == []
    assert house.sessions.count == 0


# --- changing it -----------------------------------------------------------------------------


def test_a_password_is_set_by_typing_it_twice(house):
    typist = person(house, "alice")
    asked = typist.types("/password")
    text = b"* your new password (8 to 128 characters; some clients, like nc, show it): "
    assert asked == ASKS + b"\r" + text
    assert typist.types(SECRET) == b"\r* the same again (some clients, like nc, show it): "
    assert typist.types(SECRET) == b"+OK your password is set\r\n"
    assert house.node.state.account_named("alice").verifier is not None


def test_who_changes_a_password_types_the_old_one_first(house):
    protected(house, "alice")
    typist = person(house, "alice", SECRET)
    assert b"* your password now (" in typist.types("/password")
    assert b"-ERR 512" in typist.types(OTHER, after=1)
    typist.types("/password", SECRET, OTHER)
    assert typist.types(OTHER) == b"+OK your password is set\r\n"
    typist.types("/logout")
    assert b"+OK you are alice" in person(house, "alice").types(OTHER)


@pytest.mark.parametrize(
    ("first", "again", "refusal"),
    [
        ("short", "", "-ERR 522 a password has 8 to 128 characters"),
        ("x" * 129, "", "-ERR 522 a password has 8 to 128 characters"),
        (SECRET, OTHER, "-ERR 522 that was not the same: nothing is changed"),
        ("", "", "+OK nothing is changed"),
        ("\U0001f600" * 8, "", "-ERR 522 a password cannot hold a character that no password"),
    ],
)
def test_what_is_no_password_changes_nothing(house, first, again, refusal):
    typist = person(house, "alice", "/password")
    said = typist.types(first, again) if again else typist.types(first)
    assert refusal.encode() in said
    assert house.node.state.account_named("alice").verifier is None


def test_a_password_can_be_removed(house):
    protected(house, "alice")
    typist = person(house, "alice", SECRET)
    typist.types("/password remove")
    text = b"+OK your password is removed: anybody can log in as you\r\n"
    assert typist.types(SECRET) == text
    assert typist.types("/password remove") == b"+OK you have no password\r\n"
    typist.types("/logout")
    assert b"+OK you are alice" in person(house).types("alice")


def test_nothing_is_pushed_into_a_question_and_nothing_is_missed(house):
    bob = house.client("bob")
    typist = person(house, "alice", "/password")
    bob.says("one", "two")
    assert typist.types() == b""
    said = typist.types("")
    assert said.startswith(b"+OK nothing is changed\r\n")
    assert b" bob: one\r\n" in said + typist.types()


def test_nothing_overtakes_a_password(house):
    protected(house, "alice")
    bob, alice = person(house, "bob"), person(house, "alice", SECRET, "/password")
    house.limit(saying=Rate(1.0, 3.0))
    house.limits.said(alice.session.account, 5)
    house.cannot_confirm()
    said = alice.types(SECRET, "/chain")  # which as the answer would leave the password to be said
    for _ in range(10):
        said += alice.types(after=1)
    assert b"* your new password" in said
    assert SECRET.encode() not in bob.types()


# --- programs --------------------------------------------------------------------------------


def proof(client, name, secret):
    """The answer to PROVE."""
    scram = scramp.ScramClient(["SCRAM-SHA-256"], name, secret)
    [challenge] = client.says(f"@a AUTH {name} SCRAM-SHA-256 :{scram.get_client_first()}")
    assert challenge.startswith("+OK @a challenge :")
    scram.set_server_first(challenge.partition(" :")[2])
    client.sends(f"@p PROVE :{scram.get_client_final()}")
    answer = one(client.reads(after=0) or client.reads(after=1.0))
    if answer.startswith("+OK @p :"):
        scram.set_server_final(answer.partition(" :")[2])
    return answer


def words(secret):
    salt = b"0123456789abcdef"
    verifier = verifier_of(salted(secret, salt, ITERATIONS), salt, ITERATIONS)
    s, stored, server = (
        base64.b64encode(octets).decode()
        for octets in (verifier.salt, verifier.stored, verifier.server)
    )
    return f"i={ITERATIONS} s={s} stored={stored} server={server}"


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
    assert b"your new password" in alice.types("/password", SECRET)


# --- modes and roles -------------------------------------------------------------------------


def test_in_an_open_room_everybody_deletes_everybody_unless_the_operator_says_no(house):
    house.client("bob")
    typist = person(house, "alice")
    rules(house, delete_others=False)
    assert typist.types("/delete bob yes") == b"-ERR 515 only operators may do that\r\n"
    rules(house, delete_others=True)
    assert typist.types("/delete bob yes") == b"+OK bob is deleted\r\n"


def test_who_is_in_is_not_told_of_accounts_when_the_old_password_is_wrong(house):
    typist = person(house, "alice", "/password", SECRET, SECRET)
    typist.types()
    rules(house, new=NewAccounts.INVITED)
    typist.types("/password")
    assert typist.types(OTHER, after=1) == b"-ERR 512 wrong password: try again\r\n"


@pytest.mark.parametrize("mode", [NewAccounts.INVITED, NewAccounts.CLOSED])
def test_where_accounts_are_made_by_invitation_people_delete_only_themselves(house, mode):
    house.client("bob")
    typist = person(house, "alice")
    rules(house, new=mode)
    assert b"-ERR 515" in typist.types("/delete bob yes")
    assert b"+OK alice is deleted" in typist.types("/delete alice yes")


@pytest.mark.parametrize("mode", [NewAccounts.INVITED, NewAccounts.CLOSED])
def test_where_accounts_are_made_by_invitation_no_name_is_new_to_strangers(house, mode):
    protected(house, "alice")
    rules(house, new=mode)
    typist = Typist(house.client())
    assert b"* Type your name to log in; accounts are made by invitation." in typist.types()
    assert typist.types("nobody") == question("nobody")
    text = b"-ERR 512 wrong password, or no such account: accounts are made by invitation\r\n"
    assert typist.types(SECRET, after=1) == text
    client = house.client(HELLO)
    assert one(client.says("@1 LOGIN nobody")[-1:]).startswith("-ERR 513 @1 ")
    for name in ("alice", "nobody"):
        text = f"-ERR 532 @2 this token does not resume {name}; log in"
        assert client.says(f"@2 RESUME {name} TOKEN after=0") == [text]
    assert house.node.state.account_named("nobody") is None


def test_who_has_no_password_logs_in_whatever_the_mode(house):
    house.client("alice").says("/logout")
    rules(house, new=NewAccounts.INVITED)
    assert b"+OK you are alice" in person(house).types("alice")


def invited(said):
    return said.decode().strip().rpartition(": ")[2]


def test_an_invitation_admits_to_choose_a_password_and_nothing_else(house):
    root = operator(house)
    rules(house, new=NewAccounts.INVITED)
    said = root.types("/invite bob")
    assert said.startswith(b"+OK the password of bob, to choose another with, shown only this once")
    secret = invited(said)
    client = house.client(HELLO)
    assert proof(client, "bob", secret).startswith("+OK")
    text = "-ERR 513 @1 bob needs a password of its own first"
    assert one(client.says("@1 LOGIN bob")) == text
    bob = person(house, "bob")
    assert b"* choose a password for bob (8 to 128 characters;" in bob.types(secret)
    assert b"the same again" in bob.types(OTHER)
    assert b"+OK you are bob" in bob.types(OTHER)
    again = person(house, "bob")
    assert b"-ERR 512" in again.types(secret, after=1)


def test_of_two_who_have_an_invitation_one_chooses_the_password(house):
    secret = invited(operator(house).types("/invite bob"))
    first, second = person(house, "bob", secret), person(house, "bob", secret)
    program = house.client(HELLO)
    assert proof(program, "bob", secret).startswith("+OK")
    first.types(OTHER)
    second.types("staple battery")
    assert b"+OK you are bob" in first.types(OTHER)
    assert b"-ERR 434" in second.types("staple battery")
    assert one(program.says(f"@1 SECRET {words('staple battery')}")).startswith("-ERR 434")
    assert one(program.says("@2 LOGIN bob")).startswith("-ERR 434")
    first.types("/logout")
    for wrong in ("staple battery", secret):
        assert b"-ERR 512" in person(house, "bob").types(wrong, after=1)


def test_who_chose_no_password_after_an_invitation_is_asked_again(house):
    secret = invited(operator(house).types("/invite bob"))
    bob = person(house, "bob", secret)
    assert b"-ERR 513 bob needs a password of its own" in bob.types("")
    assert bob.types("bob") == question("bob")


def test_an_operator_whose_session_ends_meanwhile_invites_nobody(house):
    root = operator(house)
    house.hashing.held = True
    root.types("/invite bob")
    house.sessions.flush = lambda: False  # other clients take the turn's whole time
    house.node.submit(Kick("", "root"))
    house.clock.advance(0)
    assert root.session.is_open
    house.hashing.go_on()
    root.types()
    assert house.node.state.account_named("bob") is None


def test_an_invited_program_sets_its_password_before_the_login(house):
    root = operator(house)
    secret = invited(root.types("/invite bob"))
    client = house.client(HELLO)
    assert proof(client, "bob", secret).startswith("+OK")
    assert client.says(f"@1 SECRET {words(OTHER)}") == ["+OK @1"]
    assert client.says("@2 LOGIN bob")[0].startswith("+OK @2 session=")


def test_who_leaves_the_choice_is_not_logged_in_and_may_come_again(house):
    secret = invited(operator(house).types("/invite bob"))
    bob = person(house, "bob", secret)
    assert b"-ERR 513 bob needs a password of its own: type a name to log in" in bob.types("")
    assert b"* choose a password for bob" in person(house, "bob").types(secret)


def test_in_a_closed_room_the_password_of_the_operator_stays(house):
    root = operator(house)
    rules(house, new=NewAccounts.CLOSED)
    said = root.types("/invite bob")
    assert said.startswith(b"+OK the password of bob, until it is changed, shown only this once: ")
    assert b"+OK you are bob" in person(house, "bob").types(invited(said))


def test_an_account_that_is_somebodys_is_not_invited_and_can_be_reset(house):
    root = operator(house)
    bob = person(house, "bob", "/password", SECRET, SECRET)
    said = root.types("/invite bob")
    assert said == b"-ERR 433 there is an account bob: /password reset bob is for it\r\n"
    secret = invited(root.types("/password reset bob"))
    assert bob.types().endswith(b"* root has given bob another password\r\n")
    assert bob.connection.closed
    assert b"* choose a password for bob" in person(house, "bob").types(secret)


def test_an_operator_makes_operators_and_kicks(house):
    root = operator(house)
    bob = person(house, "bob", "/password", SECRET, SECRET)
    assert bob.types("/kick root") == b"-ERR 515 only operators may do that\r\n"
    assert bob.types("/invite eve") == b"-ERR 515 only operators may do that\r\n"
    assert bob.types("/password reset root") == b"-ERR 515 only operators may do that\r\n"
    assert bob.types("/operator bob on") == b"-ERR 515 only operators may do that\r\n"
    assert root.types("/operator bob on") == b"+OK bob is an operator now\r\n"
    assert b"+OK the session of root is ended\r\n" in bob.types("/kick root")
    assert root.types().endswith(b"* bob ended your session\r\n")
    assert root.connection.closed
    assert bob.types("/operator bob off") == b"+OK bob is no operator now\r\n"
    house.client("eve")
    assert b"-ERR 515" in bob.types("/kick eve")


def test_no_other_program_does_what_operators_do(house):
    operator(house)
    eve = house.program("eve")
    eve.reads()
    for verb in ("INVITE bob", "RESET root", "OPERATOR eve on", "KICK root", "OPERATOR root off"):
        assert one(eve.says(f"@1 {verb}")) == "-ERR 515 @1 only operators may do that"
        assert one(house.client(HELLO).says(f"@1 {verb}")[-1:]) == "-ERR 510 @1 log in first"
    assert not house.node.state.account_named("eve").role
    assert house.node.state.account_named("root").session


def operators_program(house):
    protected(house, "root")
    house.node.submit(Grant("", "root", Role.OPERATOR))
    client = house.client(HELLO)
    proof(client, "root", SECRET)
    client.says("@l LOGIN root quiet")
    return client


def test_an_operator_whose_role_is_taken_meanwhile_is_refused_when_it_is_applied(house):
    client = operators_program(house)
    house.node.submit(Grant("", "root", Role.USER))  # not applied yet
    house.client("eve")
    client.sends("@1 KICK eve", "@2 OPERATOR eve on", "@3 RESET eve")
    assert [line[:8] for line in client.reads(1)] == ["-ERR 515"] * 3
    assert house.node.state.account_named("eve").session


def test_a_program_is_shown_no_password_where_others_can_read_it(house):
    client = operators_program(house)
    rules(house, plaintext=Plaintext.REFUSE)
    assert one(client.says("@1 INVITE bob")).startswith("-ERR 507 @1 passwords are not taken here")
    assert house.node.state.account_named("bob") is None


def test_programs_of_operators_do_what_operators_type(house):
    operator(house).types("/logout")
    root = house.client(HELLO)
    assert proof(root, "root", SECRET).startswith("+OK")
    root.says("@1 LOGIN root")
    secret = one(root.says("@2 INVITE bob")).removeprefix("+OK @2 password=")
    bob = person(house, "bob")
    assert b"* choose a password for bob" in bob.types(secret)
    bob.types(OTHER)
    assert b"+OK you are bob" in bob.types(OTHER)
    text = "-ERR 433 @3 there is an account bob: RESET bob is for it"
    assert root.says("@3 INVITE bob")[-1] == text
    assert root.says("@4 OPERATOR bob on")[-1] == "+OK @4"
    assert house.node.state.account_named("bob").role is Role.OPERATOR
    assert root.says("@5 OPERATOR bob off")[-1] == "+OK @5"
    assert root.says("@6 KICK bob")[0] == "+OK @6"
    assert bob.types().endswith(b"* root ended your session\r\n")
    secret = one(root.says("@7 RESET bob")).removeprefix("+OK @7 password=")
    assert b"* choose a password for bob" in person(house, "bob").types(secret)


def test_nobody_new_is_invited_under_a_name_that_deceives(house):
    root = operator(house)
    for name in ("server", "solo", "S.0lo"):
        assert root.types(f"/invite {name}").startswith(b"-ERR 524 nobody can be named ")
    assert root.types("/invite r00t").startswith(b"-ERR 523 root has an account already")
    house.node.submit(Invite("", "system", Verifier(b"salt", 4096, b"", b"")))  # as was possible
    assert b"+OK the password of system, " in root.types("/password reset system")
    assert not house.node.state.account_named("r00t")


def test_nobody_becomes_an_operator_without_a_password(house):
    root = operator(house)
    person(house, "bob")
    text = b"-ERR 513 bob needs a password of its own first\r\n"
    assert root.types("/operator bob on") == text


# --- passwords in the clear ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plaintext", "tls", "address", "encrypted", "taken"),
    [
        (Plaintext.AUTO, "", "10.0.0.9", False, True),
        (Plaintext.AUTO, "10.0.0.1:7201", "10.0.0.9", False, False),
        (Plaintext.AUTO, "10.0.0.1:7201", "127.0.0.1", False, True),
        (Plaintext.AUTO, "10.0.0.1:7201", "10.0.0.9", True, True),
        (Plaintext.ALLOW, "10.0.0.1:7201", "10.0.0.9", False, True),
        (Plaintext.REFUSE, "10.0.0.1:7201", "127.0.0.1", False, False),
        (Plaintext.REFUSE, "", "127.0.0.1", False, False),
        (Plaintext.REFUSE, "", "10.0.0.9", True, True),
    ],
)
def test_a_password_is_typed_where_others_cannot_read_it(  # noqa: PLR0917 - a table
    house, plaintext, tls, address, encrypted, taken
):
    protected(house, "alice")
    rules(house, plaintext=plaintext)
    house.guard.tls = tls
    typist = person(house)
    typist.connection.address, typist.connection.encrypted = address, encrypted
    said = typist.types("alice")
    if taken:
        assert said == question("alice")
    else:
        place = f"over TLS only, at {tls}" if tls else "are not taken here"
        assert said.startswith(b"-ERR 507 passwords are ")
        assert place in said.decode()
    client = house.client(HELLO)
    client.connection.address, client.connection.encrypted = address, encrypted
    assert proof(client, "alice", SECRET).startswith("+OK")  # nothing to read
    said = one(client.says(f"@s SECRET {words(OTHER)}"))
    assert said == "+OK @s" if taken else said.startswith("-ERR 507 @s passwords are ")
    assert one(client.says("@n SECRET none")) == "+OK @n"
