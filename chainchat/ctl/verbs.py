"""The verbs of ``chainchatctl``: what may follow each, and how its answer is shown to people.

A new verb of the control socket that needs no options is one line of the table.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Answer = dict[str, Any]
"""One line of an answer, from its JSON."""


@dataclass(frozen=True)
class Verb:
    """A verb.

    Attributes:
        about: what it does.
        show: the lines that show one line of its answer.
        arguments: names of what follows, as ``argparse`` shows them.
        choices: what may follow then, or may not.
    """

    about: str
    show: Callable[[Answer], Iterator[str]]
    arguments: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


def _status(answer: Answer) -> Iterator[str]:
    yield "{position} of {chain}, chainchat {version}, started {started}".format(**answer)
    yield from answer["shown"]
    state = "serving" if answer["serving"] else "not serving"
    if answer["serving"] and not answer["confirms"]:
        state = "not confirming"
    yield "{0} since {since}, {clients} clients".format(state, **answer)


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


def _reloaded(answer: Answer) -> Iterator[str]:
    yield from answer["lines"]


def _help(answer: Answer) -> Iterator[str]:
    yield f"{answer['form']:<24} {answer['about']}"


VERBS = {
    "status": Verb("show a node, and the chain as it looks from there", _status),
    "accounts": Verb("list all accounts", _account),
    "operator": Verb("make somebody an operator, or no more", _operator, ("NAME",), ("on", "off")),
    "invite": Verb("make an account, or reset its password", _invitation, ("NAME",), ("reset",)),
    "kick": Verb("end somebody's session", _kicked, ("NAME",)),
    "reload": Verb("read chain.ini and certificates again", _reloaded),
    "help": Verb("list what the node understands", _help),
}
"""All verbs, in the order in which they are listed."""
