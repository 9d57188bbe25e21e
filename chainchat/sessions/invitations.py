"""Passwords that operators hand out."""

from collections.abc import Callable

from chainchat.chat.accounts import Verifier
from chainchat.chat.passwords import ONE_TIME_LENGTH, one_time
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.state import ChatState
from chainchat.sessions.explanations import explanation
from chainchat.sessions.guard import Guard


def new_invitation(
    guard: Guard, state: ChatState, name: str, *, reset: bool
) -> tuple[str, Callable[[], Verifier]]:
    """A password, and the slow work for its verifier; ``reset``: for an old account.

    Raises:
        RefusedError: 524, nobody new may have this name.
    """
    if not reset and state.account_named(name) is None and guard.reserves(name):
        raise RefusedError(Code.SERVERS_WORD, explanation(Code.SERVERS_WORD, name))
    password = one_time(guard.random(ONE_TIME_LENGTH))
    return password, guard.hashing_of(password, once=guard.admits_once(reset=reset))
