"""How a session hears and speaks: the interface that human mode and machine mode share.

A mode is a grammar, without state beyond what its methods are given: ``parse`` turns a line into a
request, the other methods turn outcomes into lines (without their line ending; always one line each
unless a list is returned).
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from chainchat.chat.refusals import Code
from chainchat.chat.requests import Request


class ChatMessage(Struct, frozen=True):
    """A message as it is shown.

    Attributes:
        id: its sequence number.
        previous: id of the previous message pushable to the viewer, 0 if there is none.
        time: UTC milliseconds since 1970.
        sender: the sender's name.
        to: the recipient's name, ``*`` for a broadcast.
        text: what was said.
    """

    id: int
    previous: int
    time: int
    sender: str
    to: str
    text: str


class ChainView(Struct, frozen=True):
    """What ``/chain`` shows: a node's own view of its chain.

    Attributes:
        epoch: of the configuration.
        members: positions in chain order.
        node: the position of the node that answers.
        role: its role: ``head``, ``middle``, ``tail``, ``only`` (a chain of one) or why it has
            none.
        committed: the newest id that is on every member's disk.
        away: positions of the chain that this node cannot reach.
        notes: further lines for people: lag, clock, progress of a catch-up.
    """

    epoch: int
    members: tuple[str, ...]
    node: str
    role: str
    committed: int
    away: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Mode(Protocol):
    """One of the two grammars.

    Attributes:
        same_to_all: whether a broadcast is the same line to everybody.
    """

    same_to_all: bool

    def parse(self, line: str, *, logged_in: bool) -> tuple[str, Request]:
        """The tag (empty in human mode) and the request of one clean, non-empty line.

        A person's first line, before ``logged_in``, is the login.

        Raises:
            RefusedError: the line is no request.
        """

    def may_be_answered_at_once(self, line: bytes) -> bool:
        """A quick look whether a line may be a request that the node answers by itself.

        So that of the many lines that can wait behind each other, few have to be read out of turn.
        """

    def logged_in(
        self, tag: str, name: str, token: str, *, high: int, mark: int, missed: int, number: int
    ) -> str:
        """A LOGIN was done; the ``missed`` messages after the read mark follow as pushes.

        ``number``: the lowest that a new SEND of this program can have.
        """

    def resumed(self, tag: str, high: int, number: int) -> str:
        """A RESUME was done. ``number``: as above."""

    def sent(self, tag: str, id: int, *, again: bool) -> str:  # noqa: A002 - the protocol's word
        """A message is on every member's disk as ``id``; ``again``: it already was."""

    def done(self, tag: str, text: str) -> str:
        """Anything else was done; ``text`` tells a person what."""

    def refused(self, tag: str, code: Code, text: str, *, again: bool = False) -> str:
        """A request was refused; ``again``: this is a remembered refusal."""

    def item(self, tag: str, text: str) -> str:
        """One line of a list."""

    def end(self, tag: str, text: str) -> str:
        """The end of a list; ``text`` sums it up for a person."""

    def message_item(self, tag: str, message: ChatMessage, viewer: str) -> str:
        """A message as one line of a list, for the account named ``viewer``."""

    def chain(self, tag: str, view: ChainView) -> Sequence[str]:
        """The answer to ``/chain``, complete."""

    def help(self, tag: str, verb: str) -> Sequence[str]:
        """The answer to ``/help``, complete.

        Raises:
            RefusedError: there is no such verb.
        """

    def message(self, message: ChatMessage, viewer: str) -> str:
        """A push of ``message`` to the account named ``viewer``."""

    def day(self, time: int) -> str | None:
        """The line before the first message of another UTC day, if this mode has one."""

    def notice(self, code: str, text: str, **values: str) -> str:
        """A notice that nobody asked for: a NOTE code, what it says to people, and its values."""
