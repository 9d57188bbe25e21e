"""Passwords that the owner of a node hands out, as operators do in the chat."""

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from chainchat.chat import scram
from chainchat.chat.refusals import Code, RefusedError
from chainchat.control.desk import Invitation
from chainchat.node.node import Node
from chainchat.sessions.explanations import explanation
from chainchat.sessions.guard import Guard


def invitation(guard: Guard, node: Node, name: str, reset: bool) -> Deferred[Invitation]:
    """Make a password for the account ``name``; hashed in another thread.

    Args:
        reset: the account exists, and has it in place of its own.

    Raises:
        RefusedError: 435, too many are being hashed; 524, nobody new may have this name.
    """
    if not reset and node.state.account_named(name) is None and guard.reserves(name):
        raise RefusedError(Code.SERVERS_WORD, explanation(Code.SERVERS_WORD, name))
    password, once = guard.new_one_time(), guard.admits_once(reset=reset)
    salt, iterations = guard.new_salt(), scram.ITERATIONS
    made: Deferred[Invitation] = Deferred()

    def done(salted: bytes) -> None:
        verifier = scram.verifier_of(salted, salt, iterations)
        made.callback(Invitation(password, replace(verifier, once=once)))

    guard.hashing.start(lambda: scram.salted(password, salt, iterations), done, made.errback)
    return made
