"""Requests in several steps: a person is asked, a password is hashed, a command applied.

A procedure is a generator: it yields each step, gets what came of it, and returns the lines of its
reply, or raises a RefusedError.
"""

import secrets
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from msgspec import Struct

from chainchat.chat.commands import AnyCommand
from chainchat.chat.lines import TOO_LONG, Line, typed
from chainchat.chat.outcomes import Refused, Result
from chainchat.chat.passwords import KEY_OCTETS, TypedPasswords
from chainchat.chat.refusals import RefusedError
from chainchat.chat.requests import Login
from chainchat.node.interfaces import Clock, Timer
from chainchat.sessions.hashing import Hashing
from chainchat.sessions.interfaces import Client
from chainchat.sessions.isolation import isolated_for
from chainchat.sessions.replies import Replies, Reply


class Ask(Struct, frozen=True):
    """Ask for a line; gives the octets that the person typed.

    Attributes:
        refusal: of the line before, for which this asks again: the next may be a secret, too.
    """

    question: str
    refusal: RefusedError | None = None


class Hash(Struct, frozen=True):
    """Do slow work by ``Hashing``; gives what it returned."""

    work: Callable[[], Any]
    rank: float
    rest: float


class Submit(Struct, frozen=True):
    """Submit a command; gives its result."""

    command: AnyCommand


class Wait(Struct, frozen=True):
    """Wait; gives None."""

    seconds: float


Step = Ask | Hash | Submit | Wait


class Enter(Struct, frozen=True):
    """Log in instead, with the password that entry ``checked`` set."""

    login: Login
    checked: int


Ending = Sequence[str] | Enter

Procedure = Generator[Step, Any, Ending]


class Submitting(Protocol):
    """The part of a ``Handler`` that procedures use."""

    replies: Replies

    def submit(
        self,
        command: AnyCommand,
        answer: Callable[[Sequence[Result]], Sequence[str]],
        *,
        holds_later: bool = False,
    ) -> None: ...

    def refused(self, tag: str, refused: Refused) -> str: ...

    def submit_for(
        self, reply: Reply, command: AnyCommand, done: Callable[[Sequence[Result]], None]
    ) -> None: ...


class Procedures:
    """Runs the procedures of one client, one at a time: later requests wait for the reply.

    ``running``: from a procedure's beginning to its last command.
    """

    __slots__ = (
        "_answered",
        "_asked",
        "_client",
        "_clock",
        "_enter",
        "_gave_up",
        "_handler",
        "_hashing",
        "_timer",
        "_typed",
        "running",
    )

    def __init__(
        self,
        client: Client,
        handler: Submitting,
        hashing: Hashing,
        clock: Clock,
        enter: Callable[[Reply, str, Login, int], None],
    ) -> None:
        self._client = client
        self._enter = enter
        self._handler = handler
        self._hashing = hashing
        self._clock = clock
        self._answered: Callable[[bytes], None] | None = None
        self._timer: Timer | None = None
        self._asked = False
        self._gave_up = False
        self._typed = TypedPasswords(secrets.token_bytes(KEY_OCTETS))
        self.running = False

    @property
    def asking(self) -> bool:
        return self._answered is not None

    def begin(self, tag: str, procedure: Procedure) -> None:
        self.running = True
        self._asked = self._gave_up = False

        def start(reply: Reply) -> None:
            self._go_on(tag, procedure, reply, lambda: next(procedure))

        self._handler.replies.reserve(start, holds_later=True)

    def stop(self) -> None:
        self._answered = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def answer(self, line: Line) -> None:
        answered, self._answered = self._answered, None
        assert answered is not None
        self._client.answered()
        text = b"" if line is TOO_LONG else typed(line)
        self._gave_up = self._gave_up or not text
        self._typed.add(text)
        answered(text)

    def was_typed(self, line: Line) -> bool:
        """True if the line, or what is left of it, answered a question before."""
        return line is not TOO_LONG and typed(line) in self._typed

    def _go_on(
        self, tag: str, procedure: Procedure, reply: Reply, step: Callable[[], Step]
    ) -> None:
        isolated_for(self._client, self._take)(tag, procedure, reply, step)

    def _take(self, tag: str, procedure: Procedure, reply: Reply, step: Callable[[], Step]) -> None:
        if not self._client.is_open:
            procedure.close()
            return

        def gave(value: object) -> None:
            self._go_on(tag, procedure, reply, lambda: procedure.send(value))

        def refused(refusal: RefusedError) -> None:
            self._go_on(tag, procedure, reply, lambda: procedure.throw(refusal))

        try:
            self._carry_out(step(), reply, gave, refused)
        except StopIteration as end:
            self._over()
            self._end(tag, reply, end.value)
            if self._gave_up:
                self._client.turned_away()
        except RefusedError as refusal:
            self._over()
            text = self._client.mode.refused(tag, refusal.code, refusal.text)
            self._handler.replies.complete(reply, text)
            if self._asked:
                self._client.turned_away()

    def _carry_out(
        self,
        step: Step,
        reply: Reply,
        gave: Callable[[object], None],
        refused: Callable[[RefusedError], None],
    ) -> None:
        match step:
            case Ask(question, refusal):
                if refusal is not None:
                    text = self._client.mode.refused("", refusal.code, refusal.text)
                    self._handler.replies.add(reply, text)
                    self._client.turned_away()
                    if not self._client.is_open:
                        return
                self._asked = True
                self._answered = gave
                self._client.ask(question)
            case Hash(work, rank, rest):
                try:
                    self._hashing.start(work, gave, refused, rank=rank, rest=rest)
                except RefusedError as busy:
                    refused(busy)
            case Submit(command):
                self.running = False
                self._handler.submit_for(reply, command, lambda results: gave(results[0]))
            case Wait(seconds):
                self._timer = self._clock.callLater(seconds, gave, None)

    def _over(self) -> None:
        self.running = False
        self._client.asked_all()

    def _end(self, tag: str, reply: Reply, ending: Ending) -> None:
        if isinstance(ending, Enter):
            self._enter(reply, tag, ending.login, ending.checked)
        else:
            self._handler.replies.complete(reply, *ending)
