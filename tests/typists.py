"""People who type passwords, and programs that prove theirs, at a node without sockets."""

import base64
from dataclasses import replace

import scramp
from sessions_house import one

from chainchat.chat.accounts import AccountRole
from chainchat.chat.commands import Grant
from chainchat.chat.scram import ITERATIONS, salted, verifier_of

ASKS, SHOWS = b"\xff\xfb\x01", b"\xff\xfc\x01"
SECRET, OTHER = "correct horse", "battery staple"


class Typist:
    """A person whose answers may have no line ending of the server's before them."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        return getattr(self.client, name)

    def types(self, *lines, after=0.0):
        """What the node writes when these lines were typed."""
        self.client.sends(*lines)
        house = self.client.house
        house.clock.advance(0)
        house.clock.advance(after)
        house.holds_the_chain_still()
        data, self.connection.data = self.connection.data, b""
        return data


def person(house, *lines):
    typist = Typist(house.client())
    typist.types(*lines)
    return typist


def question(name):
    text = f"* password of {name} (some clients, like nc, show it; an empty line goes back): "
    return ASKS + b"\r" + text.encode()


def question_again(name):
    return question(name).removeprefix(ASKS)


def protected(house, name, secret=SECRET):
    """An account with a password, and nobody on."""
    typist = person(house, name, "/password", secret)
    assert b"+OK your password is set\r\n" in typist.types(secret)
    typist.types("/logout")
    return house.node.state.account_named(name)


def operator(house, name="root"):
    """An operator's connection."""
    protected(house, name)
    house.node.submit(Grant("", name, AccountRole.OPERATOR))
    typist = person(house, name)
    assert b"+OK you are root" in typist.types(SECRET)
    return typist


def rules(house, **changed):
    house.guard.rules = replace(house.guard.rules, **changed)


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
