"""The control commands: a table of verbs, each with its form, and a coroutine that carries it out.

A verb's value becomes one line, as JSON, or pages of such lines if it is a list. Nothing here may
take long in one turn: a page is short, and the next one waits until the client has taken it.
"""

import difflib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred

from chainchat.chat import commands
from chainchat.chat.accounts import Role
from chainchat.chat.outcomes import Refused
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import checked_name
from chainchat.control.desk import Desk
from chainchat.report import Report

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


async def _status(desk: Desk, _: Words) -> Report:
    return desk.office.report()


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
