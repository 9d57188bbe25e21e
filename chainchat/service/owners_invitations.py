"""Passwords that a node's owner hands out, as operators do in the chat."""

from twisted.internet.defer import Deferred

from chainchat.chat.accounts import Verifier
from chainchat.control.desk import Invitation
from chainchat.node.node import Node
from chainchat.sessions.guard import Guard
from chainchat.sessions.invitations import new_invitation


def invitation(guard: Guard, node: Node, name: str, reset: bool) -> Deferred[Invitation]:
    """Make a password in another thread; ``reset`` for an old account.

    Raises:
        RefusedError: 435, too many are being hashed; 524, nobody new may have this name.
    """
    password, hashing = new_invitation(guard, node.state, name, reset=reset)
    made: Deferred[Invitation] = Deferred()

    def done(verifier: Verifier) -> None:
        made.callback(Invitation(password, verifier))

    guard.hashing.start(hashing, done, made.errback)
    return made
