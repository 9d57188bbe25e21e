"""The control commands: a table of verbs, each with its form and a coroutine.

A verb's value becomes one line of JSON, or pages of such lines if it is a list.
"""

import difflib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from chainchat.chat import commands
from chainchat.chat.accounts import AccountRole
from chainchat.chat.modes.mode import ChatMessage
from chainchat.chat.modes.verbs import LARGEST
from chainchat.chat.outcomes import Refused
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import checked_name
from chainchat.control.desk import Desk
from chainchat.control.stopping import objection
from chainchat.node.history import NOBODY
from chainchat.node.report import Report
from chainchat.node.times import shown_time

PAGE_ACCOUNTS = PAGE_MESSAGES = 100

DRAIN_SECONDS, MOST_DRAIN_SECONDS = 10, 600
"""Seconds over which clients are sent elsewhere: usual, most."""

Pages = Iterator[Sequence[Struct]]

Words = Sequence[str]


class Verb(Struct, frozen=True):
    """A control command.

    Attributes:
        least, most: words after the verb.
        changes: the audit notes it.
    """

    form: str
    about: str
    least: int
    most: int
    carry_out: Callable[[Desk, Words], Coroutine[Deferred[Any], Any, Struct | Pages]]
    changes: bool = False


def verb_of(word: str, words: Words) -> Verb:
    """Return the verb ``word``, if these words may follow it.

    Raises:
        RefusedError: there is no such verb (500); the words do not fit it (501).
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
    report, unseen = desk.office.report(), desk.node.unseen
    if report.kept_unread is None or unseen is None:
        return report
    name = desk.node.state.accounts[unseen.account].name
    return replace(report, kept_unread=replace(report.kept_unread, account=name))


class AccountShown(Struct, frozen=True):
    """An account; ``protected``: it has a password; ``on``: it has a session."""

    name: str
    role: str
    protected: bool
    on: bool


async def _accounts(desk: Desk, _: Words) -> Pages:
    return _pages_of_accounts(desk)


def _pages_of_accounts(desk: Desk) -> Pages:
    after = ""
    while page := desk.node.state.accounts_after(after, PAGE_ACCOUNTS):
        yield [
            AccountShown(a.name, a.role.name.lower(), a.verifier is not None, bool(a.session))
            for a in page
        ]
        after = page[-1].name


class MayStop(Struct, frozen=True):
    """``may``: the chain would go on without this node; ``reason``: why not."""

    position: str
    may: bool
    reason: str


async def _may_stop(desk: Desk, _: Words) -> MayStop:
    node = desk.node
    reason = objection(node.status, refusal_is_death=desk.office.refusal_is_death)
    return MayStop(node.me.position, not reason, reason)


class Exported(Struct, frozen=True, rename={"sender": "from"}):
    """A message; ``to`` is an account, or ``*`` for everybody."""

    id: int
    time: str
    sender: str
    to: str
    text: str


async def _export(desk: Desk, words: Words) -> Pages:
    after, *names = words
    if not after.isdecimal() or int(after) > LARGEST:
        raise _does_not_fit(VERBS["export"].form)
    account = NOBODY
    for name in names:
        found = desk.node.state.account_named(name)
        if found is None:
            raise RefusedError(Code.NO_SUCH_ACCOUNT, f"there is no account {name}")
        account = found.number
    return _pages_of_messages(desk, account, int(after))


def _pages_of_messages(desk: Desk, account: int, after: int) -> Pages:
    while page := [
        exported(one) for one in desk.node.history.oldest(account, after, PAGE_MESSAGES)
    ]:
        yield page
        after = page[-1].id


def exported(message: ChatMessage) -> Exported:
    time = shown_time(message.time)
    return Exported(message.id, time, message.sender, message.to, message.text)


class Help(Struct, frozen=True):
    """A command that the node understands."""

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
    """An account, and its owner's password, which if ``once`` admits only to choose another."""

    name: str
    password: str
    once: bool


class Reloaded(Struct, frozen=True):
    """Lines that say what came of reading chain.ini again."""

    lines: list[str]


def _no_account(refused: Refused) -> str:
    return f"there is no account {refused.about}"


async def _operator(desk: Desk, words: Words) -> Granted:
    name, *rest = words
    if rest not in ([], ["on"], ["off"]):
        raise _does_not_fit(VERBS["operator"].form)
    role = AccountRole.USER if rest == ["off"] else AccountRole.OPERATOR

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
        if refused.code is Code.NAME_LOOKS_ALIKE:
            about = refused.about
            return (
                f"{about} has an account already, and the two names look alike: choose a name that "
                "nobody takes for theirs"
            )
        return _no_account(refused)

    checked_name(name)
    invitation = await desk.office.new_invitation(name, bool(rest))
    invite = commands.Invite("", name, invitation.verifier, bool(rest), refuse_alike=True)
    await desk.commit(invite, explain)
    return Invited(name, invitation.password, invitation.verifier.once)


async def _kick(desk: Desk, words: Words) -> Named:
    [name] = words
    await desk.commit(commands.Kick("", checked_name(name)), _no_account)
    return Named(name)


async def _reload(desk: Desk, _: Words) -> Reloaded:
    return Reloaded(desk.office.reload())


class Drained(Struct, frozen=True):
    """``left``: clients that have not gone."""

    position: str
    drained: bool
    left: int


async def _drain(desk: Desk, words: Words) -> Drained:
    seconds = words[0] if words else str(DRAIN_SECONDS)
    if not seconds.isdecimal() or int(seconds) > MOST_DRAIN_SECONDS:
        raise _does_not_fit(f"{VERBS['drain'].form}, at most {MOST_DRAIN_SECONDS}")
    if not await desk.office.drain(float(seconds)):
        raise RefusedError(Code.SESSION_ENDED, "it was undrained, or stopped, meanwhile")
    return _drained(desk)


async def _undrain(desk: Desk, _: Words) -> Drained:
    desk.office.undrain()
    return _drained(desk)


def _drained(desk: Desk) -> Drained:
    report = desk.office.report()
    return Drained(report.position, report.drained, report.clients)


class Stopping(Struct, frozen=True):
    """The node stops; the connection ends with the process."""

    position: str
    stopping: bool = True


async def _stop(desk: Desk, _: Words) -> Stopping:
    desk.office.stop()
    return Stopping(desk.node.me.position)


class LogLevel(Struct, frozen=True):
    """How much is logged."""

    level: str


async def _log_level(desk: Desk, words: Words) -> LogLevel:
    return LogLevel(desk.office.log_level("".join(words)))


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
    "may-stop": Verb(
        "may-stop", "tell if the chain would go on without this node", 0, 0, _may_stop
    ),
    "drain": Verb(
        "drain [SECONDS]", "take no clients; send those who are here elsewhere", 0, 1, _drain, True
    ),
    "undrain": Verb("undrain", "take clients again", 0, 0, _undrain, True),
    "stop": Verb("stop", "stop this node politely", 0, 0, _stop, True),
    "export": Verb("export AFTER [NAME]", "list messages above an id", 1, 2, _export, True),
    "log-level": Verb("log-level [LEVEL]", "show or choose how much is logged", 0, 1, _log_level),
    "reload": Verb("reload", "read chain.ini and certificates again", 0, 0, _reload, True),
    "help": Verb("help [COMMAND]", "list the commands", 0, 1, _help),
}
