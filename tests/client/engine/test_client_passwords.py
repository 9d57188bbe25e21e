"""The bundled client and passwords: proved, chosen, changed; what is kept, and what never is."""

import json
import random
import stat

import pytest
from sessions_house import House

from chainchat.chat import scram
from chainchat.chat.commands import Invite, Kick
from chainchat.chat.refusals import RefusedError
from chainchat.client.engine import events
from chainchat.client.engine.engine import Engine
from chainchat.client.engine.proof import Keys, Proof, new_key
from chainchat.client.engine.wire import ProtocolError
from chainchat.client.kept.kept_keys import KeptKeys
from chainchat.client.model.questions import Asking

SECRET, OTHER = "correct horse", "battery staple"
SALT = b"0123456789abcdef"


class Run:
    """An engine that talks with a real session of ``house``."""

    def __init__(self, house, name="alice", **options):
        self.house = house
        options.setdefault("asks", True)
        self.engine = Engine(name, "bot", [("a", 1)], random.Random(1), **options)
        self.events = []
        self.client = None
        self.engine.start(0.0)
        self.go_on()

    def go_on(self, after=0.0):
        """Carry events and octets to and fro until all is quiet."""
        if after:
            self.go_on()
        self.house.clock.advance(after)
        for _ in range(20):
            taken = self.engine.take_events()
            self.engine.seen()
            for event in taken:
                self._carry_out(event)
            if self.client is None:
                continue
            data = self.engine.take_bytes()
            if data:
                self.client.session.received(data, len(data), 0)
            self.house.clock.advance(0)
            data, self.client.connection.data = self.client.connection.data, b""
            if data:
                self.engine.received(data, 0.0)

    def _carry_out(self, event):
        match event:
            case events.ConnectTo():
                self.client = self.house.client()
                self.engine.connected(0.0)
            case events.Disconnect():
                self.client = None
            case _:
                self.events.append(event)

    def told(self, kind):
        """The events of this kind since the last look."""
        found = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if event not in found]
        return found


def protected(house, name="alice", secret=SECRET):
    run = Run(house, name)
    run.engine.change_password("", secret)
    run.go_on()
    assert run.told(events.PasswordChanged) == [events.PasswordChanged(removed=False)]
    run.engine.logout()
    run.go_on()
    return run


@pytest.fixture
def house():
    return House()


def test_a_password_that_is_known_is_proved_and_never_sent(house):
    protected(house)
    run = Run(house, password=SECRET, asks=False)
    assert run.told(events.LoggedIn)
    assert not run.told(events.PasswordNeeded)


def test_without_a_password_the_program_is_asked_for_it(house):
    protected(house)
    run = Run(house)
    assert [event.new for event in run.told(events.PasswordNeeded)] == [False]
    run.engine.password(SECRET)
    run.go_on()
    assert run.told(events.LoggedIn)


def test_where_nobody_answers_the_login_is_refused(house):
    protected(house)
    [ended] = Run(house, asks=False).told(events.Ended)
    assert (ended.reason, ended.code) == ("refused", 513)
    run = Run(house, asks=False, password=OTHER)
    run.go_on(after=1.0)
    [ended] = run.told(events.Ended)
    assert (ended.reason, ended.code) == ("refused", 512)


def test_a_wrong_password_is_asked_for_again(house):
    protected(house)
    run = Run(house)
    run.engine.password(OTHER)
    run.go_on(after=1.0)
    assert [event.text for event in run.told(events.PasswordNeeded)] == [
        "alice needs a password",
        "wrong password: try again",
    ]
    run.engine.password(SECRET)
    run.go_on()
    assert run.told(events.LoggedIn)


def test_the_key_is_kept_and_the_password_is_not_asked_for_again(house):
    keys = Keys()
    protected(house)
    run = Run(house, keys=keys)
    run.engine.password(SECRET)
    run.go_on()
    run.engine.logout()
    run.go_on()
    assert keys.key is not None
    again = Run(house, keys=keys)
    assert again.told(events.LoggedIn)
    assert not again.told(events.PasswordNeeded)


def test_a_password_changed_elsewhere_is_asked_for(house):
    keys = Keys()
    protected(house)
    run = Run(house, keys=keys, password=SECRET)
    run.engine.change_password(SECRET, OTHER)
    run.go_on()
    run.engine.logout()
    run.go_on()
    old = Keys()
    old.accepted(new_key(SECRET, SALT))
    again = Run(house, keys=old)
    assert again.told(events.PasswordNeeded)
    assert old.key is None
    again.engine.password(OTHER)
    again.go_on()
    assert again.told(events.LoggedIn)
    assert Run(house, keys=keys) is not None


def test_the_old_password_is_needed_for_a_new_one(house):
    protected(house)
    run = Run(house, password=SECRET)
    assert run.engine.has_password
    run.engine.change_password(OTHER, "anything else")
    run.go_on(after=1.0)
    assert [event.code for event in run.told(events.PasswordRefused)] == [512]
    run.engine.change_password(SECRET, "")
    run.go_on()
    assert run.told(events.PasswordChanged) == [events.PasswordChanged(removed=True)]
    assert not run.engine.has_password


def test_a_break_in_between_is_told(house):
    protected(house)
    run = Run(house, password=SECRET)
    run.engine.change_password(SECRET, OTHER)
    run.engine.lost(0.0)
    run.go_on()
    assert [event.code for event in run.told(events.PasswordRefused)] == [0]


def test_an_invitation_is_answered_with_a_password_of_ones_own(house):
    salted = scram.salted("one-time-only", SALT, scram.ITERATIONS)
    verifier = scram.verifier_of(salted, SALT, scram.ITERATIONS)
    once = type(verifier)(SALT, scram.ITERATIONS, verifier.stored, verifier.server, once=True)
    house.node.submit(Invite("", "bob", once))
    house.clock.advance(0)
    run = Run(house, "bob", password="one-time-only")
    assert [event.new for event in run.told(events.PasswordNeeded)] == [True]
    with pytest.raises(RefusedError, match="522"):
        run.engine.password("short")
    run.engine.password(SECRET)
    run.go_on()
    assert run.told(events.LoggedIn)
    assert not house.node.state.account_named("bob").verifier.once


def test_who_is_kicked_does_not_come_back_by_itself(house):
    bob = Run(house, "bob")
    house.node.submit(Kick("", "bob"))
    bob.go_on()
    [ended] = bob.told(events.Ended)
    assert (ended.reason, ended.text) == ("kicked", "an operator ended your session")


# --- the exchange ----------------------------------------------------------------------------


def exchanged(proof, iterations=scram.ITERATIONS):
    verifier = scram.verifier_of(scram.salted(SECRET, SALT, iterations), SALT, iterations)
    exchange = scram.Exchange(scram.ClientFirst.read(proof.first), verifier, "nonce")
    return exchange, proof.final(exchange.challenge)


def test_fewer_iterations_than_ever_before_are_refused():
    keys = Keys()
    keys.accepted(new_key(SECRET, SALT))
    proof = Proof("alice", keys, random.randbytes, SECRET)
    with pytest.raises(ProtocolError, match=r"hashed 4096 times, and it was 100000 times before"):
        exchanged(proof, 4096)
    with pytest.raises(ProtocolError, match="hashed 1024 times"):
        exchanged(Proof("alice", Keys(), random.randbytes, SECRET), 1024)


def test_a_server_that_does_not_know_the_verifier_is_found_out():
    proof = Proof("alice", Keys(), random.randbytes, SECRET)
    exchange, final = exchanged(proof)
    signature = exchange.signature(final)
    assert proof.is_signed(signature)
    assert not proof.is_signed("v=" + "A" * 43 + "=")


@pytest.mark.parametrize(
    "challenge",
    ["", "r=other,s=MDEy,i=100000", "r=NONCEx,s=!,i=100000", "r=NONCEx,s=MDEy,i=0", "r=NONCEx"],
)
def test_a_challenge_of_another_exchange_is_refused(challenge):
    proof = Proof("alice", Keys(), random.randbytes, SECRET)
    nonce = proof.first.partition("r=")[2]
    with pytest.raises(ProtocolError):
        proof.final(challenge.replace("NONCE", nonce))


# --- what is kept ----------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "chainchat"


def test_keys_are_kept_in_a_file_that_only_the_owner_reads(state):
    keys = KeptKeys("Alice")
    keys.accepted(new_key(SECRET, SALT))
    [file] = state.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert SECRET not in file.read_text()
    again = KeptKeys("alice")
    assert (again.key, again.most) == (keys.key, scram.ITERATIONS)
    again.forget()
    assert KeptKeys("alice").key is None
    assert KeptKeys("alice").most == scram.ITERATIONS
    assert KeptKeys("bob").key is None


@pytest.mark.parametrize("content", ["", "{", json.dumps({"most": "many"}), "x" * 9_000])
def test_a_file_that_cannot_be_used_is_no_error(state, content):
    state.mkdir(parents=True)
    (state / "alice.json").write_text(content)
    assert KeptKeys("alice").key is None


def test_where_no_file_can_be_the_password_is_asked_for(state):
    state.parent.mkdir()
    state.write_text("a file")
    keys = KeptKeys("alice")
    keys.accepted(new_key(SECRET, SALT))
    assert keys.key is not None
    assert KeptKeys("alice").key is None


# --- what is asked ---------------------------------------------------------------------------


class Wishes:
    """An engine that notes what it is told."""

    name, has_password = "alice", True

    def __init__(self):
        self.told = []

    def password(self, password):
        self.told.append(("password", password))

    def change_password(self, old, new):
        self.told.append(("change", old, new))

    def logout(self):
        self.told.append(("logout",))


def test_a_person_is_asked_for_the_password_and_leaves_with_an_empty_line():
    asking = Asking(engine := Wishes())
    asking.log_in(new=False)
    assert asking.question == "password of alice"
    assert asking.answer(SECRET) == []
    assert asking.question == ""
    asking.log_in(new=False)
    asking.answer("")
    assert engine.told == [("password", SECRET), ("logout",)]


def test_a_new_password_is_asked_for_until_it_is_one():
    asking = Asking(engine := Wishes())
    asking.log_in(new=True)
    assert asking.answer("short") == ["-ERR 522 a password has 8 to 128 characters"]
    assert asking.question == (
        "choose a password of your own (8 to 128 characters; an empty line leaves)"
    )
    asking.answer(SECRET)
    assert asking.question == "the same again (an empty line leaves)"
    asking.answer(SECRET)
    assert engine.told == [("password", SECRET)]
    for answers in ([""], [SECRET, ""]):
        asking.log_in(new=True)
        for answer in answers:
            asking.answer(answer)
    assert engine.told[1:] == [("logout",)] * 2


def test_a_password_is_changed_after_the_old_one_and_twice_the_new():
    asking = Asking(engine := Wishes())
    asking.change(remove=False)
    assert asking.question == "your password now (an empty line goes back)"
    asking.answer(SECRET)
    asking.answer(OTHER)
    asking.answer(OTHER)
    asking.change(remove=True)
    asking.answer(OTHER)
    assert engine.told == [("change", SECRET, OTHER), ("change", OTHER, "")]


@pytest.mark.parametrize("answers", [[""], [SECRET, ""], [SECRET, OTHER, ""]])
def test_an_empty_line_changes_nothing(answers):
    asking = Asking(engine := Wishes())
    asking.change(remove=False)
    *first, last = answers
    for answer in first:
        assert asking.answer(answer) == []
    assert asking.answer(last) == ["+OK nothing is changed"]
    assert engine.told == []


@pytest.mark.parametrize(
    ("answers", "shown"),
    [
        (["short"], "-ERR 522 a password has 8 to 128 characters"),
        ([OTHER, SECRET], "-ERR 522 that was not the same: choose again"),
    ],
)
def test_after_what_is_no_new_password_it_is_asked_for_again(answers, shown):
    asking = Asking(engine := Wishes())
    asking.change(remove=False)
    asking.answer(SECRET)
    *first, last = answers
    for answer in first:
        assert asking.answer(answer) == []
    assert asking.answer(last) == [shown]
    assert asking.question == ("your new password (8 to 128 characters; an empty line goes back)")
    asking.answer(OTHER)
    asking.answer(OTHER)
    assert engine.told == [("change", SECRET, OTHER)]


@pytest.mark.parametrize("remove", [False, True])
def test_after_a_refusal_by_the_server_it_is_asked_for_again(remove):
    asking = Asking(engine := Wishes())
    asking.change(remove=remove)
    for answer in ["a wrong one", *([] if remove else [OTHER, OTHER])]:
        asking.answer(answer)
    assert asking.question == ""
    asking.change_refused()
    assert asking.question == "your password now (an empty line goes back)"
    for answer in [SECRET, *([] if remove else [OTHER, OTHER])]:
        asking.answer(answer)
    new = "" if remove else OTHER
    assert engine.told == [("change", "a wrong one", new), ("change", SECRET, new)]


def test_what_is_asked_meanwhile_is_not_asked_anew():
    asking = Asking(Wishes())
    asking.change(remove=True)
    asking.answer(SECRET)
    asking.change(remove=False)
    asking.answer(SECRET)
    asking.change_refused()
    assert asking.question == "your new password (8 to 128 characters)"


def test_what_was_typed_as_a_password_is_known():
    asking = Asking(Wishes())
    asking.change(remove=True)
    asking.answer(SECRET)
    assert asking.was_typed(SECRET)
    assert asking.is_secret(f"pasted\n {SECRET} \nlines")
    assert not asking.was_typed(OTHER)
    assert not asking.is_secret(OTHER)
    asking.change(remove=True)
    assert asking.is_secret(OTHER)
