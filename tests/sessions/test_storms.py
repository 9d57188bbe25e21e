"""Storms: random clients, faults and orders at one node, of which nothing may stop it.

A ``Storm`` is one random sequence, the same for the same seed; a failure shows its steps.
"""

import base64
import hashlib
import re
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest
from sessions_house import HELLO, House

from chainchat.chat import scram
from chainchat.chat.accounts import AccountRole
from chainchat.chat.commands import Grant, Invite, Kick
from chainchat.chat.lines import TOO_LONG
from chainchat.chat.refusals import Code, RefusedError
from chainchat.config import NewAccounts, Plaintext
from chainchat.node.status import Readiness
from chainchat.sessions.hashing import MOST_WAITING
from chainchat.sessions.limits import UNLIMITED
from chainchat.sessions.pace import Rate

SEEDS = range(250)
STEPS = 80
NAMES = ("alice", "Alice", "bob", "root", "a-l-i-c-e", "system")
SECRETS = ("hidden-one", "hidden-two", "hidden-three")
MARK = b"hidden-"
TELNET = (
    b"\xff\xfd\x01",
    b"\xff\xfe\x01",
    b"\xff\xfb\x01",
    b"\xff\xf4\xff\xfd\x06",
    b"\xff",
    b"\xfa",
)
NOISE = (b"", b" ", TOO_LONG, b"\xc3(", b"\x1b[A", b"GET / HTTP/1.1", b"\x15", b"\xff\xff")
FINAL = re.compile(rb"(?:\+OK|-ERR \d+|\.) @([a-z]+\d+)(?=[ \r])")


def quickly_salted(password, salt, iterations):
    return hashlib.sha256(password.encode() + salt + b"%d" % iterations).digest()


class LimitedHashing:
    """Hashing that goes on when the storm says, and takes no more than a node does."""

    def __init__(self):
        self.waiting = []

    def start(self, work, done, failed, **_):
        if len(self.waiting) >= MOST_WAITING:
            raise RefusedError(Code.TOO_MANY_ATTEMPTS, "too many")
        self.waiting.append(lambda: done(work()))

    def go_on(self, random):
        if self.waiting:
            self.waiting.pop(random.randrange(len(self.waiting)))()


class Stranger:
    """A client that says anything."""

    def __init__(self, storm, number):
        self.storm, self.random, self.number = storm, storm.random, number
        address = self.random.choice(("127.0.0.1", "192.0.2.7"))
        self.client = storm.house.client(address=address)
        self.connection, self.session = self.client.connection, self.client.session
        self.program = False
        self.asked, self.ended, self.gone = [], False, False
        self.first = ""
        self.said = False

    @property
    def silent(self):
        return self.ended or self.gone

    @property
    def is_asked(self):
        entrance = self.session._hearing.handler.entrance
        return entrance.asking and not self.session._hearing

    def sends(self, *lines):
        self.storm.note(self.number, "sends", lines)
        self.said = True
        self.client.sends(*lines)

    def speaks(self):
        if self.silent or self.connection.held:
            return
        if self.is_asked:
            self.answers()
            return
        if not self.program and not self.said and self.random.random() < 0.4:
            self.program = True
            self.sends(HELLO)
            return
        choose = self.tagged if self.program else self.line
        self.sends(*(choose() for _ in range(self.random.choice((1, 1, 1, 2, 5)))))

    def answers(self):
        """What a person types who was asked: then nobody may see it."""
        lines = [self.random.choice((*SECRETS, *SECRETS, "", TOO_LONG, b"hidden-\xc3("))]
        more = ("/chain", "/password", "/who", "/logout", "hi")
        lines += self.random.sample(more, self.random.choice((0, 0, 1)))
        self.sends(*lines)

    def line(self):
        name, other = self.random.choice(NAMES), self.random.choice(NAMES)
        verbs = (
            name,
            name,
            name,
            f"{name}",
            "hi all",
            f">> {other}: psst",
            "/password",
            "/password",
            "/password remove",
            f"/password reset {other}",
            f"/invite {other}",
            f"/kick {other}",
            f"/operator {other} {self.random.choice(('on', 'off'))}",
            f"/delete {other} yes",
            "/delete",
            f"/delete {other}",
            "/who",
            "/list",
            "/list (",
            "/last",
            "/chain",
            "/help",
            "/notices on",
            "/logout",
            "/nonsense",
            self.random.choice(NOISE),
        )
        return self.random.choice(verbs)

    def tagged(self):
        if self.random.random() < 0.03:
            return self.random.choice(NOISE[1:])
        tag = f"t{self.storm.next_tag()}"
        self.asked.append(tag)
        return f"@{tag} {self.request()}"

    def request(self):
        name, other = self.random.choice(NAMES), self.random.choice(NAMES)
        verbs = (
            f"LOGIN {name}",
            f"LOGIN {name} quiet",
            f"RESUME {name} token1 after=0",
            f"RESUME {name} token2 after=9",
            self.auth(name),
            self.auth(name),
            self.auth(name),
            self.prove(),
            self.prove(),
            self.prove(),
            self.secret(),
            self.secret(),
            "SECRET none",
            "SECRET i=1 s=AA stored=AA server=AA",
            "PROVE :c=biws,r=x,p=ab=",
            "PROVE :",
            f"AUTH {name} {scram.MECHANISM} :n,,n={other},r=noncenonce",
            f"AUTH {name} PLAIN :x",
            f"SEND {self.random.randrange(9)} * :hi",
            f"SEND {self.random.randrange(9)} {other} :x",
            "ACK 3",
            "SINCE 0",
            "SINCE 0 2",
            "LIST",
            "LIST (",
            "WHO",
            f"DELETE {other}",
            "CHAIN",
            "PING",
            "LOGOUT",
            "LOGOUT finished",
            "NONSENSE",
            "",
        )
        return self.random.choice(verbs)

    def auth(self, name):
        self.first = f"n={name},r=nonce{self.storm.next_tag():04}"
        return f"AUTH {name} {scram.MECHANISM} :n,,{self.first}"

    def prove(self):
        """A proof by one of the passwords, of the last challenge."""
        found = re.findall(rb"challenge :(r=([^,]+),s=([^,]+),i=(\d+))", self.connection.data)
        if not found:
            return "PROVE :c=biws,r=nonce,p=AAAA"
        challenge, nonce, salt, iterations = found[-1]
        without = f"c=biws,r={nonce.decode()}"
        secret = self.random.choice(SECRETS)
        salted = quickly_salted(secret, base64.b64decode(salt), int(iterations))
        said = f"{self.first},{challenge.decode()},{without}".encode()
        proof = base64.b64encode(scram.client_proof(salted, said)).decode()
        return f"PROVE :{without},p={proof}"

    def secret(self):
        v = self.storm.verifier()
        octets = [base64.b64encode(part).decode() for part in (v.salt, v.stored, v.server)]
        return "SECRET i={} s={} stored={} server={}".format(v.iterations, *octets)

    def sends_octets(self):
        if not self.silent and not self.connection.held:
            self.storm.note(self.number, "octets")
            self.said = True
            octets = self.random.choice(TELNET[:4] if self.program else TELNET)
            data, answer = self.connection.telnet.feed(octets)
            if answer:
                self.session.answer_telnet(answer)
            self.session.received(data, len(octets), 1)

    def ends(self):
        if not self.silent:
            self.storm.note(self.number, "ends")
            self.ended = True
            self.session.input_ended()

    def loses(self):
        if not self.gone:
            self.storm.note(self.number, "loses")
            self.gone = True
            self.session.lost()

    def fills(self):
        if not self.gone and not self.connection.closed:
            full = not self.session.is_full
            self.storm.note(self.number, "full", full)
            self.session.output_full(full=full)

    def acknowledges(self):
        self.connection.acked = self.connection.written
        self.connection.silence = self.random.choice((None, 0.0, 20.0))

    def check(self):
        data = self.connection.data
        assert MARK not in data
        answered = FINAL.findall(data)
        assert len(answered) == len(set(answered)), "an answer too many"
        return answered

    def check_end(self):
        """Everything was answered, or the connection is closed."""
        answered = {tag.decode() for tag in self.check()}
        if not self.gone and not self.connection.closed and not self.session.is_full:
            assert not self.session.busy
            assert [tag for tag in self.asked if tag not in answered] == []


class Storm:
    def __init__(self, seed):
        self.random = Random(seed)
        self.house = House()
        self.hashing = LimitedHashing()
        self.house.guard.hashing = self.hashing
        self.strangers, self.tags, self.steps = [], 0, []
        self.stops = False
        self.submit, self.house.node.submit = self.house.node.submit, self.client_submits
        self.house.price = self.random.choice((0.0, 0.0, 0.001, 0.01))

    def client_submits(self, command, replied=None):
        """Submit what a session does: without one it would be an order of the node's owner."""
        assert not isinstance(command, Grant | Kick | Invite) or command.session
        self.submit(command, replied)

    def note(self, *what):
        self.steps.append(what)

    def next_tag(self):
        self.tags += 1
        return self.tags

    def verifier(self, *, once=False):
        salt = b"saltsalt"
        salted = quickly_salted(self.random.choice(SECRETS), salt, scram.ITERATIONS)
        made = scram.verifier_of(salted, salt, scram.ITERATIONS)
        return scram.Verifier(made.salt, made.iterations, made.stored, made.server, once=once)

    # --- steps

    def connects(self):
        if len(self.strangers) < 8 and not self.stops:
            self.note("connects")
            self.strangers.append(Stranger(self, len(self.strangers)))

    def somebody(self, does):
        if self.strangers:
            does(self.random.choice(self.strangers))

    def has_turns(self):
        self.note("turns")
        for _ in range(self.random.choice((1, 3))):
            self.house.clock.advance(0)

    def hears_only(self):
        self.note("hears only")
        self.house.holds_the_chain_still()

    def lets_time_pass(self):
        seconds = self.random.choice((0.01, 0.1, 0.6, 1.1, 10, 70))
        self.note("passes", seconds)
        self.house.clock.advance(seconds)

    def hashes(self):
        self.note("hashes")
        self.hashing.go_on(self.random)

    def fills_hashing(self):
        self.note("hashing is full")
        with suppress(RefusedError):
            while True:
                self.hashing.start(lambda: None, lambda _: None, lambda _: None)

    def changes_rules(self):
        new, plaintext = self.random.choice([*NewAccounts]), self.random.choice([*Plaintext])
        self.note(new, plaintext)
        self.house.guard.rules = replace(
            self.house.guard.rules,
            new=new,
            plaintext=plaintext,
            delete_others=self.random.random() < 0.5,
        )

    def changes_limits(self):
        if self.random.random() < 0.5:
            self.house.limits.current = UNLIMITED
        else:
            rate = Rate(self.random.choice((0.5, 20.0)), self.random.choice((1.0, 3.0)))
            self.house.limit(new_accounts=rate, most_accounts=5, saying=rate)
        self.note(self.house.limits.current)

    def changes_readiness(self):
        self.note("readiness")
        if self.house.node.readiness.reason:
            self.house.node.readiness = Readiness(serving=True, waiting_for=(), reason="")
            self.house.sessions.readiness_changed()
        else:
            self.house.cannot_confirm()

    def gives_orders(self):
        name = self.random.choice(NAMES)
        orders = (
            Grant("", name, AccountRole.OPERATOR),
            Grant("", name, AccountRole.USER),
            Kick("", name),
            Invite("", name, self.verifier(once=True), reset=self.random.random() < 0.7),
        )
        order = self.random.choice(orders)
        self.note(order)
        self.submit(order)

    def begins_to_stop(self):
        if self.random.random() < 0.05:
            self.note("takes no more")
            self.stops = True
            for session in [*self.house.sessions.connections]:
                session.take_no_more()

    def rages(self, steps=STEPS):
        does = self.somebody
        choices = (
            *[lambda: does(Stranger.speaks)] * 24,
            *[self.has_turns] * 10,
            *[self.hashes] * 6,
            *[self.connects] * 4,
            *[self.lets_time_pass] * 3,
            *[self.hears_only] * 2,
            *[self.gives_orders] * 2,
            lambda: does(Stranger.sends_octets),
            lambda: does(Stranger.ends),
            lambda: does(Stranger.loses),
            lambda: does(Stranger.fills),
            lambda: does(Stranger.acknowledges),
            self.fills_hashing,
            self.changes_rules,
            self.changes_limits,
            self.changes_readiness,
            self.begins_to_stop,
        )
        for _ in range(steps):
            self.random.choice(choices)()

    def calms_down(self):
        """Let all that waits go on, and check what everybody got."""
        self.house.limits.current = UNLIMITED
        if self.house.node.readiness.reason:
            self.changes_readiness()
        for stranger in self.strangers:
            if stranger.session.is_full:
                stranger.fills()
        for _ in range(12):
            while self.hashing.waiting:
                self.hashes()
            self.house.clock.pump([0.2] * 5)
        for stranger in self.strangers:
            stranger.check_end()

    def shuts_down(self):
        for session in [*self.house.sessions.connections]:
            session.sent_elsewhere("this node stops")
        for _ in range(3):
            self.house.clock.advance(1)
            self.hashes()
        for stranger in self.strangers:
            stranger.check()
            stranger.loses()
        self.house.clock.advance(1)
        assert not self.house.sessions.connections
        while self.hashing.waiting:
            self.hashes()
        self.house.clock.advance(2)


def weather(seed):
    """One storm."""
    storm = Storm(seed)
    try:
        storm.rages()
        if storm.random.random() < 0.7:
            storm.calms_down()
        storm.shuts_down()
    except Exception as error:
        for step in storm.steps:
            error.add_note(str(step))
        raise


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(scram, "salted", quickly_salted)


def test_no_storm_stops_a_node():
    for seed in SEEDS:
        weather(seed)
