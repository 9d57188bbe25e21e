"""The verbs of ``chainchatctl``.

A verb of the control socket that has no options needs one line in the table.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from chainchat.ctl.asking import WAIT_FOR_CHAIN
from chainchat.ctl.health import described

Answer = dict[str, Any]


@dataclass(frozen=True)
class Verb:
    """What follows a verb, and how its answer is shown.

    Attributes:
        arguments, optional: names of what follows, and of what may follow then.
        choices: one of these may follow then.
        refused: the answer means no: the exit status is 1.
        waiting: what a terminal shows if the answer takes long.
    """

    about: str
    show: Callable[[Answer], Iterator[str]]
    arguments: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    refused: Callable[[Answer], bool] = lambda _: False
    waiting: str = WAIT_FOR_CHAIN


def _account(answer: Answer) -> Iterator[str]:
    password = "with a password" if answer["protected"] else "no password"
    presence = "on" if answer["on"] else "away"
    yield f"{answer['name']:<32} {answer['role']:<9} {presence:<5} {password}"


def _operator(answer: Answer) -> Iterator[str]:
    what = "an operator" if answer["role"] == "operator" else "no operator any more"
    yield f"{answer['name']} is {what}"


def _invitation(answer: Answer) -> Iterator[str]:
    use = "to choose another with" if answer["once"] else "until it is changed"
    yield f"the password of {answer['name']}, {use}, shown only this once:"
    yield answer["password"]


def _kicked(answer: Answer) -> Iterator[str]:
    yield f"{answer['name']} is logged out, and can log in again"


def _may_stop(answer: Answer) -> Iterator[str]:
    if answer["may"]:
        yield f"{answer['position']} may stop: the chain goes on without it"
    else:
        yield f"{answer['position']} may not stop: {answer['reason']}"


def _drained(answer: Answer) -> Iterator[str]:
    if answer["drained"]:
        yield f"{answer['position']} takes no clients; {answer['left']} are left"
    else:
        yield f"{answer['position']} takes clients"


def _stopping(answer: Answer) -> Iterator[str]:
    yield f"{answer['position']} stops"


def _log_level(answer: Answer) -> Iterator[str]:
    yield answer["level"]


def _reloaded(answer: Answer) -> Iterator[str]:
    yield from answer["lines"]


def _message(answer: Answer) -> Iterator[str]:
    yield "#{id} {time} {from} to {to}: {text}".format(**answer)


def _help(answer: Answer) -> Iterator[str]:
    yield f"{answer['form']:<24} {answer['about']}"


VERBS = {
    "status": Verb("show how a node is, or all of them", described),
    "accounts": Verb("list all accounts", _account),
    "operator": Verb(
        "make somebody an operator, or no more", _operator, ("NAME",), choices=("on", "off")
    ),
    "invite": Verb(
        "make an account, or reset its password", _invitation, ("NAME",), choices=("reset",)
    ),
    "kick": Verb("end somebody's session", _kicked, ("NAME",)),
    "may-stop": Verb(
        "tell if the chain would go on without this node: exit status 0 if it would, 1 if not",
        _may_stop,
        refused=lambda answer: not answer["may"],
    ),
    "drain": Verb(
        "take no clients; send those who are here to other nodes, spread over SECONDS",
        _drained,
        optional=("SECONDS",),
        waiting="sending the clients elsewhere; Ctrl-C ends only the waiting, undrain the rest",
    ),
    "undrain": Verb("take clients again", _drained),
    "stop": Verb("stop a node politely; wait for its end", _stopping),
    "export": Verb("write messages as JSON lines", _message),
    "log-level": Verb(
        "show how much is logged, or choose it: debug, info, warn, error or critical",
        _log_level,
        optional=("LEVEL",),
    ),
    "reload": Verb("read chain.ini and certificates again", _reloaded),
    "help": Verb("list what the node understands", _help),
}
