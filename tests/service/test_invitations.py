"""The owner of a node hands out passwords, under the rules that operators have in the chat."""

import pytest
from sessions_house import House

from chainchat.chat import scram
from chainchat.chat.commands import Invite
from chainchat.chat.refusals import RefusedError
from chainchat.service.owners_invitations import invitation


@pytest.fixture
def house():
    return House()


def made(house, name, *, reset=False):
    results = []
    invitation(house.guard, house.node, name, reset).addCallback(results.append)
    return results[0]


def test_the_password_admits_once_and_fits_its_verifier(house):
    found = made(house, "bob")
    salt, iterations = found.verifier.salt, found.verifier.iterations
    assert scram.admits(found.verifier, scram.salted(found.password, salt, iterations))
    assert found.verifier.once


@pytest.mark.parametrize("name", ["system", "solo", "S-0-l-o"])
def test_nobody_new_is_called_what_the_server_says(house, name):
    with pytest.raises(RefusedError, match=f"524 nobody can be named {name}"):
        invitation(house.guard, house.node, name, reset=False)
    house.node.submit(Invite("", name, made(house, "bob").verifier))
    house.clock.advance(0)
    assert made(house, name, reset=True).verifier.once
