"""What control commands work with: the node and its service."""

from collections.abc import Callable, Sequence

from msgspec import Struct
from twisted.internet.defer import Deferred

from chainchat.chat.accounts import Verifier
from chainchat.chat.commands import AnyCommand
from chainchat.chat.outcomes import Refused, Result
from chainchat.chat.refusals import Code, RefusedError
from chainchat.logs.audit import Audit
from chainchat.node.node import Node
from chainchat.node.report import Report


class Invitation(Struct, frozen=True):
    """A password, which is shown once, and what the chain keeps of it."""

    password: str
    verifier: Verifier


class Office(Struct, frozen=True):
    """What the service of a node does for its operator.

    Attributes:
        reload: reads chain.ini again; returns lines that say what has changed. RefusedError (541):
            nothing has changed.
        new_invitation: makes a password for an account, in another thread; True to reset one.
            RefusedError: too many are being made (435), or nobody new may have this name (524).
        drain: lets nobody in, and sends the clients elsewhere within so many seconds; True when
            they are gone, False if that was ended.
        stop: begins the polite end of the process.
        log_level: chooses how much is logged, or nothing if empty; returns the level.
            RefusedError (501): there is no such level.
    """

    node: Callable[[], Node]
    report: Callable[[], Report]
    reload: Callable[[], list[str]]
    new_invitation: Callable[[str, bool], Deferred[Invitation]]
    audit: Audit
    drain: Callable[[float], Deferred[bool]]
    undrain: Callable[[], None]
    stop: Callable[[], None]
    log_level: Callable[[str], str]
    refusal_is_death: bool = True


class Desk:
    """Submits operators' commands, and waits for the chain."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self._waiting: set[Deferred[Result]] = set()

    @property
    def node(self) -> Node:
        return self.office.node()

    async def commit(self, command: AnyCommand, explain: Callable[[Refused], str]) -> int:
        """Submit a command; return its entry's id, once that is committed and applied.

        ``explain`` makes a text for people of a refusal.

        Raises:
            RefusedError: this node is no member (421); the chain refuses the command; the outcome
                will not be known (431).
        """
        node = self.node
        if not node.readiness.serving:
            raise RefusedError(Code.NOT_SERVING, f"{node.readiness.reason}; try another node")
        done: Deferred[Result] = Deferred()
        self._waiting.add(done)

        def replied(results: Sequence[Result]) -> None:
            if done in self._waiting:
                self._waiting.remove(done)
                done.callback(results[0])

        node.submit(command, replied)
        result = await done
        if isinstance(result, Refused):
            raise RefusedError(result.code, explain(result))
        return result.id

    def life_ended(self) -> None:
        """Answer those who wait, as the chain goes on without this life."""
        waiting, self._waiting = self._waiting, set()
        text = "the chain goes on without this node: it may or may not have been done; ask again"
        for done in waiting:
            done.errback(RefusedError(Code.SESSION_ENDED, text))
