"""The interface of all modes: how a session hears and speaks."""

import datetime
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from chainchat.chat.lines import Line
from chainchat.chat.refusals import Code
from chainchat.chat.requests import Request, Say

_EPOCH = datetime.datetime(1970, 1, 1)  # UTC, like every time here

NO_TAG = "-"
"""The tag of a line without one."""


class ChatMessage(Struct, frozen=True):
    """A message as shown.

    Attributes:
        previous: id of the previous message pushable to the viewer; 0: none.
        time: UTC milliseconds since 1970.
        to: the recipient's name, ``*`` for a broadcast.
    """

    id: int
    previous: int
    time: int
    sender: str
    to: str
    text: str


class ChainView(Struct, frozen=True):
    """What ``/chain`` shows: one node's view.

    Attributes:
        role: ``head``, ``middle``, ``tail``, ``only``, or why it has none.
        committed: the newest id on every member's disk.
        away: positions that the node cannot reach.
    """

    epoch: int
    members: tuple[str, ...]
    node: str
    role: str
    committed: int
    away: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    version: str = ""


def date_of(time: int) -> str:
    """Return the UTC day of milliseconds since 1970, like ``2026-11-21``."""
    return (_EPOCH + datetime.timedelta(milliseconds=time)).isoformat()[:10]


class LoggedIn(Struct, frozen=True):
    """What a login is answered with.

    Attributes:
        token: resumes the session.
        high: the newest id.
        mark: the read mark.
        missed: messages after it, which follow; with ``more``, there are more than these.
        number: the lowest that this program's new SEND can have.
    """

    name: str
    token: str
    high: int
    mark: int
    missed: int
    number: int
    more: bool = False


class Mode(Protocol):
    """A grammar: ``parse`` reads requests; the others give lines, without endings.

    Attributes:
        same_to_all: a broadcast is one line for everybody.
        pipelines: clients tell answers apart by tags.
        acknowledges: clients say what they have read; else their machine's acknowledgement counts.
        counts_missed: missed messages that a login counts, at most.
        asks: clients are asked for passwords; else they prove that they know them.
    """

    same_to_all: bool
    pipelines: bool
    acknowledges: bool
    counts_missed: int
    asks: bool = False

    def greeting(self, node: str, max_line: int, nodes: Sequence[str], sessions: int) -> str:
        """Answer a ``/hello`` that chose this mode.

        Args:
            node: the position that answers.
            max_line: most octets of a client's line.
            nodes: each one's ``host:port``.
            sessions: here, the client's own included.
        """

    def parse(self, line: str, *, logged_in: bool) -> tuple[str, Request]:
        """Return the tag (empty in human mode) and the request of a clean, non-empty line.

        Before ``logged_in``, a person's line is the login.

        Raises:
            RefusedError: it is no request.
        """

    def leading_messages(self, lines: Sequence[Line]) -> list[tuple[str, Say]]:
        """Return tags and requests of the first lines, while they say something: one command."""

    def tag_of(self, line: Line) -> str:
        """Return the tag of an unreadable line, or ``NO_TAG``."""

    def may_be_answered_at_once(self, line: bytes) -> bool:
        """Return whether the node may answer a line by itself."""

    def logged_in(self, tag: str, login: LoggedIn) -> str:
        """Answer a LOGIN."""

    def resumed(self, tag: str, token: str, high: int, number: int) -> str:
        """Answer a RESUME; ``token``: for the next one."""

    def question(self, text: str) -> str: ...

    def told(self, tag: str, words: str) -> str:
        """Say that another request was done; ``words`` are its answer."""

    def invited(self, tag: str, name: str, password: str, *, once: bool) -> str:
        """Tell an account's new password; ``once``: only to choose another."""

    def precedes_secret(
        self,
        line: Line,  # noqa: ARG002 - a mode's methods take what any mode needs
        *,
        logged_in: bool,  # noqa: ARG002
    ) -> bool:
        """Return whether what was typed behind this refused line may be a password."""
        return False

    def without_secrets(
        self,
        lines: Sequence[str],  # noqa: ARG002 - a mode's methods take what any mode needs
        *,
        logged_in: bool,  # noqa: ARG002
    ) -> list[str]:
        """Return a client's unheard lines, without what may be a password, token or proof."""
        return []

    def sent(self, tag: str, id: int, *, again: bool) -> str:  # noqa: A002 - the protocol's word
        """Say that a message is on every member's disk; ``again``: it already was."""

    def all_sent(self, tags: Sequence[str], ids: Sequence[int]) -> list[str]:
        return [self.sent(tag, id_, again=False) for tag, id_ in zip(tags, ids, strict=True)]

    def done(self, tag: str, text: str) -> str:
        """Say that another request was done; ``text`` tells a person which."""

    def refused(self, tag: str, code: Code, text: str, *, again: bool = False) -> str: ...

    def item(self, tag: str, text: str) -> str: ...

    def end(self, tag: str, text: str) -> str:
        """End a list; ``text`` sums it up for a person."""

    def message_item(self, tag: str, message: ChatMessage, viewer: str) -> str: ...

    def chain(self, tag: str, view: ChainView) -> Sequence[str]: ...

    def help(self, tag: str, verb: str) -> Sequence[str]:
        """Answer ``/help``.

        Raises:
            RefusedError: there is no such verb.
        """

    def message(self, message: ChatMessage, viewer: str) -> str: ...

    def day(self, time: int) -> str | None:
        """Return the line before the first message of another UTC day, if any."""

    def notice(self, code: str, text: str, **values: str) -> str:
        """Tell something: ``text`` is for people, ``code`` and ``values`` for programs."""


# --- the chain, drawn

_ROLES = {
    "head": "the head",
    "middle": "between head and tail",
    "tail": "the tail",
    "only": "the only node",
    "founding": "which waits for the chain to be founded",
    "wedged": "which waits to be taken back",
    "learner": "which is no member",
}


def drawn(view: ChainView) -> list[str]:
    """Draw ``epoch 3   head -> middle (away) -> [tail]   committed 1042``, then notes."""
    drawing = " -> ".join(
        (f"[{position}]" if position == view.node else position)
        + (" (away)" if position in view.away else "")
        for position in view.members
    )
    drawing = drawing or "no chain yet"
    outside = [position for position in view.away if position not in view.members]
    if outside:
        drawing += f"   away: {', '.join(outside)}"
    version = f", chainchat {view.version}" if view.version else ""
    return [
        f"epoch {view.epoch}   {drawing}   committed {view.committed}",
        *view.notes,
        f"you are on {view.node}, {_ROLES.get(view.role, view.role)}{version}",
    ]
