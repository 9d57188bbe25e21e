"""People who type passwords at a node without sockets."""

from chainchat.chat.accounts import Role
from chainchat.chat.commands import Grant

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


def protected(house, name, secret=SECRET):
    """An account with a password, and nobody on."""
    typist = person(house, name, "/password", secret)
    assert b"+OK your password is set\r\n" in typist.types(secret)
    typist.types("/logout")
    return house.node.state.account_named(name)


def operator(house, name="root"):
    """An operator's connection."""
    protected(house, name)
    house.node.submit(Grant("", name, Role.OPERATOR))
    typist = person(house, name)
    assert b"+OK you are root" in typist.types(SECRET)
    return typist
