"""Texts for clients: why something was refused, what has no answer."""

from chainchat.chat import commands
from chainchat.chat.commands import AnyCommand
from chainchat.chat.modes.mode import Mode
from chainchat.chat.outcomes import Removed
from chainchat.chat.refusals import Code
from chainchat.chat.requests import EVERYBODY
from chainchat.sessions.read_marks import STOPPED_SECONDS

LISTED = 20

SILENT_SECONDS = 5
"""A shorter silence is not mentioned."""


EXPLANATIONS = {
    Code.NAME_IN_USE: "the name {about} is in use; log in with another, or try again later",
    Code.TOO_MANY_ACCOUNTS: (
        "account {about} was not made: there are as many as there may be; "
        "log in with an existing name, or try again later"
    ),
    Code.TOO_MANY_NEW_ACCOUNTS: (
        "account {about} was not made: your address has made too many of late; "
        "log in with an existing name, or try again in a minute"
    ),
    Code.NAME_LOOKS_ALIKE: (
        "{about} has an account already, and the two names look alike: choose a name that "
        "nobody takes for theirs, or log in as {about} if that is you"
    ),
    Code.SERVERS_WORD: (
        "nobody can be named {about}, which others would take for the server or for a command: "
        "choose another name, or type /help"
    ),
    Code.PASSWORD_CHANGED: (
        "the password of {about} was changed meanwhile; log in with the new one"
    ),
    Code.PASSWORD_NEEDED: "{about} needs a password of its own first",
    Code.BY_INVITATION: "accounts are made by invitation: ask an operator",
    Code.OPERATORS_ONLY: "only operators may do that",
    Code.NO_SUCH_ACCOUNT: "there is no account {about}; list the accounts to see the names",
    Code.BAD_TOKEN: "this token does not resume {about}; log in",
    Code.NUMBER_REUSED: "this number was used for another message; nothing was sent",
    Code.NUMBER_FORGOTTEN: (
        "this number is too old to be remembered: nothing was sent now, but it may have "
        "been sent before; SINCE shows what was sent, LOGIN tells the next number"
    ),
    Code.TAIL_LOST: (
        "the server that searched is lost, and no other was asked; "
        "ask again, with a pattern that begins plainly, like: al"
    ),
    Code.SEARCH_BROKE: "a bug of the server that searched: tell who runs it",
    Code.PATTERN_TOO_COSTLY: (
        "the search takes too long; use a pattern that begins plainly, like: al"
    ),
    Code.BAD_PATTERN: ("this pattern is too much for the server that searches; use a shorter one"),
}
"""Why a request was refused; ``about``: the name that it was about."""


def explanation(code: Code, about: str) -> str:
    text = EXPLANATIONS.get(code, "this session has ended; connect again")
    return text.format(about=about)


def how_to_log_in(*, everybody: bool, encrypted: bool) -> list[str]:
    """Lines for newcomers; ``everybody``: they may make accounts."""
    how = "a new name makes a new account" if everybody else "accounts are made by invitation"
    first = f"Type your name to log in; {how}. Times are UTC. /help tells more."
    off = [] if encrypted else ["nothing is encrypted here"]
    if everybody:
        off.append("a name without a password is anybody's: /password sets one")
    second = ", and ".join(off)
    return [first, f"{second[:1].upper()}{second[1:]}."] if second else [first]


OUR_BUG = "a bug of this server ended this connection: connect again, and tell who runs the server"

GIVES_WAY = "all places are taken, and others wait: connect again, and log in soon"

STOPPED = (
    f"your terminal took nothing for {STOPPED_SECONDS:.0f} s, so your session has ended: log in "
    "again, and what you missed is shown (Ctrl-S stops a terminal, Ctrl-Q goes on)"
)
"""The last words to a person who stopped their terminal."""

TOOK_NOTHING = (
    "your last connection here ended because nothing was taken from it any more: if you stopped "
    "your terminal (Ctrl-S), Ctrl-Q goes on"
)
"""Told to the same person when they come back."""


def name_held(name: str, silent: int | None) -> str:
    """``silent`` is the seconds of the connection's silence, if known."""
    taken = f"the name {name} is in use"
    if silent is None:
        text = f"{taken}; if its machine is gone it is free in 10 s: try again then"
    elif silent < SILENT_SECONDS:
        text = (
            f"{taken}, by a connection that was heard {silent} s ago: if its machine is gone, "
            "try again in 10 s; if it only hangs, end it there, or ask an operator to /kick it"
        )
    else:
        text = (
            f"{taken}, by a connection that has been silent for {silent} s: it is free within "
            "10 s if nothing answers there; try again then"
        )
    return f"{text}, or log in with another name"


def described(command: AnyCommand) -> list[str]:
    match command:
        case commands.Say():
            return [f"said: {_addressed(saying)}" for saying in command.sayings]
        case commands.Delete():
            return [f"done: /delete {command.name}"]
        case commands.SetSecret():
            return [f"done: the new password of {command.name}"]
        case commands.Salting():
            return ["done: the answer to AUTH"]
        case commands.Invite():
            return [f"done: /{'password reset' if command.reset else 'invite'} {command.name}"]
        case commands.Grant():
            return [f"done: /operator {command.name} {'on' if command.role else 'off'}"]
        case commands.Kick():
            return [f"done: /kick {command.name}"]
        case commands.Login() | commands.Resume():
            return [f"done: the login as {command.name}"]
    return ["done"]


def unanswered(
    unconfirmed: list[str], unheard: list[str], more: int, *, unread: bool
) -> list[tuple[str, str]]:
    """(code, text) of the notices about unanswered requests.

    Args:
        more: unheard ones to count.
        unread: something stands in the socket.
    """
    notices = [("waiting", f"not confirmed, it may or may not have been {a}") for a in unconfirmed]
    notices += [("undone", f"not done: {line}") for line in unheard]
    more += len(notices[LISTED:])
    if more:
        notices[LISTED:] = [("undone", f"and {more} more, not confirmed or not done")]
    if unread:
        notices.append(("undone", "not done: what you sent last, which was not read"))
    return notices


def _addressed(saying: commands.Saying) -> str:
    return saying.text if saying.to == EVERYBODY else f">> {saying.to}: {saying.text}"


def why_ended(reason: str, name: str, by: str) -> tuple[str, str, dict[str, str]] | None:
    """The notice to an ended session, if any: code, text, values.

    Args:
        reason: see ``outcomes.Left``.
        by: who did it; empty for a node's owner.
    """
    match reason:
        case "moved":
            return "moved", "this session goes on elsewhere", {}
        case "deleted" if by != name:
            return "deleted", f"the account {name} was deleted by {by}", {"by": by}
        case "kicked":
            return "kicked", f"{by or 'an operator'} ended your session", {"by": by}
        case "reset":
            text = f"{by or 'an operator'} has given {name} another password"
            return "kicked", text, {"by": by}
    return None


def removed_notice(mode: Mode, removed: Removed) -> str:
    return mode.notice("removed", str(removed), before=str(removed.before))
