"""The control commands: a table of verbs, each with its form, and a coroutine that carries it out.

A verb's value becomes one line, as JSON, or pages of such lines if it is a list. Nothing here may
take long in one turn: a page is short, and the next one waits until the client has taken it.
"""

import datetime
import difflib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred

from chainchat import __version__
from chainchat.chat import commands
from chainchat.chat.accounts import Role
from chainchat.chat.modes.mode import drawn
from chainchat.chat.outcomes import Refused
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import checked_name
from chainchat.control.desk import Desk

PAGE_ACCOUNTS = 100
"""Accounts in a page."""

Pages = Iterator[Sequence[Struct]]
"""A list, a page at a time."""

Words = Sequence[str]
"""What follows the verb."""


class Verb(Struct, frozen=True):
    """A control command.

    Attributes:
        form: how it is written.
        about: what it does, for people.
        least: words after the verb, at least.
        most: likewise, at most.
        carry_out: does it; returns a value, or pages.
        changes: True if it changes something, and belongs in the audit.
    """

    form: str
    about: str
    least: int
    most: int
    carry_out: Callable[[Desk, Words], Coroutine[Deferred[Any], Any, Struct | Pages]]
    changes: bool = False


def verb_of(word: str, words: Words) -> Verb:
    """The verb ``word``, which these words follow.

    Raises:
        RefusedError: 500, there is none; 501, the words do not fit it.
    """
    verb = VERBS.get(word.lower())
    if verb is None:
        raise _unknown(word)
    if not verb.least <= len(words) <= verb.most:
        raise _does_not_fit(verb.form)
    return verb


def _unknown(word: str) -> RefusedError:
    word = word[:32]
    near = difflib.get_close_matches(word.lower(), VERBS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(VERBS)}"
    return RefusedError(Code.UNKNOWN_VERB, f"there is no command '{word}': {hint}")


def _does_not_fit(form: str) -> RefusedError:
    return RefusedError(Code.BAD_ARGUMENTS, f"the right form is {form}")


# --- looking


class Status(Struct, frozen=True):
    """A node, and the chain as it looks from there.

    Attributes:
        version: of chainchat.
        chain: the chain's name.
        position: the node's.
        started: when its process began.
        epoch: of the newest configuration that it knows.
        members: positions in chain order.
        role: ``head``, ``middle``, ``tail``, ``only``, or why it has none.
        serving: True for a member.
        confirms: True if the chain confirms what is said.
        reason: what is wrong, for people; empty if nothing is.
        since: since when these three are as they are.
        waiting_for: positions that keep the chain from answering.
        away: positions that this node does not hear.
        low: positions whose disks are nearly full.
        committed: the newest number that is on every member's disk.
        in_flight: numbers in the log here that are not known to be committed.
        clock_behind: seconds that this machine's clock is behind the newest message.
        writes_paused: seconds since writes stand still.
        learners: how far each other learner has come, by position.
        clients: sessions at this node.
        shown: the lines of ``/chain``.
    """

    version: str
    chain: str
    position: str
    started: str
    epoch: int
    members: tuple[str, ...]
    role: str
    serving: bool
    confirms: bool
    reason: str
    since: str
    waiting_for: tuple[str, ...]
    away: tuple[str, ...]
    low: tuple[str, ...]
    committed: int
    in_flight: int
    clock_behind: float
    writes_paused: float
    learners: dict[str, str]
    clients: int
    shown: tuple[str, ...]


def status_of(desk: Desk) -> Status:
    """The status now."""
    node, office = desk.node, desk.office
    seen = node.status
    readiness = seen.readiness
    return Status(
        version=__version__,
        chain=office.chain,
        position=seen.node,
        started=_time(office.started),
        epoch=seen.configuration.epoch,
        members=tuple(seen.configuration.positions),
        role=seen.standing,
        serving=readiness.serving,
        confirms=readiness.serving and (readiness.confirms or not readiness.reason),
        reason=readiness.reason,
        since=_time(node.readiness_since),
        waiting_for=readiness.waiting_for,
        away=seen.silent,
        low=readiness.low,
        committed=seen.committed,
        in_flight=max(0, seen.in_flight),
        clock_behind=max(0.0, round(seen.clock_behind, 3)),
        writes_paused=round(seen.writes_paused, 3),
        learners=dict(seen.learners),
        clients=office.clients(),
        shown=tuple(drawn(seen.view)),
    )


def _time(milliseconds: int) -> str:
    """``2026-11-22T11:03:07Z``."""
    moment = datetime.datetime.fromtimestamp(milliseconds // 1000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


async def _status(desk: Desk, _: Words) -> Status:
    return status_of(desk)


class AccountShown(Struct, frozen=True):
    """An account; ``protected``: it has a password; ``on``: it has a session."""

    name: str
    role: str
    protected: bool
    on: bool


async def _accounts(desk: Desk, _: Words) -> Pages:
    return _pages_of_accounts(desk)


def _pages_of_accounts(desk: Desk) -> Pages:
    """All accounts, as this node knows them when their page is made."""
    after = ""
    while page := desk.node.state.accounts_after(after, PAGE_ACCOUNTS):
        yield [
            AccountShown(a.name, a.role.name.lower(), a.verifier is not None, bool(a.session))
            for a in page
        ]
        after = page[-1].name


class Help(Struct, frozen=True):
    """A command."""

    form: str
    about: str


async def _help(_: Desk, words: Words) -> Pages:
    for word in words:
        if word.lower() not in VERBS:
            raise _unknown(word)
    chosen = [VERBS[word.lower()] for word in words] or VERBS.values()
    return iter([[Help(verb.form, verb.about) for verb in chosen]])


# --- changing


class Named(Struct, frozen=True):
    """An account that was changed."""

    name: str


class Granted(Struct, frozen=True):
    """An account and its role."""

    name: str
    role: str


class Invited(Struct, frozen=True):
    """An account, and the password to hand to its owner, which is shown nowhere else.

    ``once``: it admits only to choose another.
    """

    name: str
    password: str
    once: bool


class Reloaded(Struct, frozen=True):
    """What came of reading chain.ini again, a line each."""

    lines: list[str]


def _no_account(refused: Refused) -> str:
    return f"there is no account {refused.about}"


async def _operator(desk: Desk, words: Words) -> Granted:
    name, *rest = words
    if rest not in ([], ["on"], ["off"]):
        raise _does_not_fit(VERBS["operator"].form)
    role = Role.USER if rest == ["off"] else Role.OPERATOR

    def explain(refused: Refused) -> str:
        if refused.code is Code.PASSWORD_NEEDED:
            return (
                f"{refused.about} has no password, and anybody could log in as an operator: "
                f"{refused.about} sets one with /password first"
            )
        return f"{_no_account(refused)}: log in as {refused.about} once, or invite that name"

    await desk.commit(commands.Grant("", checked_name(name), role), explain)
    return Granted(name, role.name.lower())


async def _invite(desk: Desk, words: Words) -> Invited:
    name, *rest = words
    if rest not in ([], ["reset"]):
        raise _does_not_fit(VERBS["invite"].form)

    def explain(refused: Refused) -> str:
        if refused.code is Code.NAME_IN_USE:
            about = refused.about
            return f"{about} is somebody's already; for a new password: invite {about} reset"
        return _no_account(refused)

    checked_name(name)
    invitation = await desk.office.new_invitation(bool(rest))
    invite = commands.Invite("", name, invitation.verifier, reset=bool(rest))
    await desk.commit(invite, explain)
    return Invited(name, invitation.password, invitation.verifier.once)


async def _kick(desk: Desk, words: Words) -> Named:
    [name] = words
    await desk.commit(commands.Kick("", checked_name(name)), _no_account)
    return Named(name)


async def _reload(desk: Desk, _: Words) -> Reloaded:
    return Reloaded(desk.office.reload())


VERBS = {
    "status": Verb("status", "show this node, and the chain as it looks from there", 0, 0, _status),
    "accounts": Verb("accounts", "list all accounts", 0, 0, _accounts),
    "operator": Verb(
        "operator NAME [on|off]", "make somebody an operator, or no more", 1, 2, _operator, True
    ),
    "invite": Verb(
        "invite NAME [reset]", "make an account, or reset its password", 1, 2, _invite, True
    ),
    "kick": Verb("kick NAME", "end somebody's session", 1, 1, _kick, True),
    "reload": Verb("reload", "read chain.ini and certificates again", 0, 0, _reload, True),
    "help": Verb("help [COMMAND]", "list the commands", 0, 1, _help),
}
"""All control commands."""
