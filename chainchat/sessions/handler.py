"""Carries out one client's requests, and answers them in order.

Changes go through the chain, pipelined. The tail answers reads: a read waits for all earlier
answers, and later requests wait for it, so a client reads what it has written.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from zlib import crc32

from chainchat.chain.log import MAX_COMMAND
from chainchat.chat import commands, queries, requests
from chainchat.chat.commands import TO_EVERYBODY, UNKNOWN, AnyCommand
from chainchat.chat.modes import AFTER_HELLO
from chainchat.chat.modes.mode import date_of
from chainchat.chat.outcomes import Accepted, AllAccepted, Refused, Result
from chainchat.chat.queries import Page, Query
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import EVERYBODY
from chainchat.node.interfaces import Clock
from chainchat.node.status import nearly_full
from chainchat.node.times import DAY
from chainchat.sessions.entrance import Entrance
from chainchat.sessions.explanations import described, explanation, removed_notice
from chainchat.sessions.interfaces import Client, Connection, ServerInfo
from chainchat.sessions.isolation import isolated_for
from chainchat.sessions.replies import Replies, Reply
from chainchat.sessions.sessions import Sessions

SAYING_OVERHEAD = 72
"""The most octets of a message besides its text: a name of 32, numbers, a checksum."""

SAYINGS_OCTETS = MAX_COMMAND - 256

ALLOWED_BEFORE_LOGIN = (
    requests.Hello,
    requests.Login,
    requests.Resume,
    requests.Authenticate,
    requests.Prove,
    requests.SetVerifier,
    requests.Chain,
    requests.Help,
    requests.Ping,
    requests.Logout,
)

ANSWERED_HERE = (requests.Chain, requests.Help, requests.Ping)
"""Requests that the node answers itself, whatever the chain does."""


class Handler:
    """Carries out the requests of one client.

    Attributes:
        replies: still owed; logins, reads and some others hold back later requests.
        on_their_way: messages and other changes without an answer.
    """

    __slots__ = (  # there can be thousands
        "_client",
        "_node",
        "_refused_send",
        "_server_info",
        "_sessions",
        "entrance",
        "on_their_way",
        "replies",
    )

    def __init__(
        self,
        client: Client,
        connection: Connection,
        sessions: Sessions,
        clock: Clock,
        server_info: ServerInfo,
    ) -> None:
        self.replies = Replies(client)
        self._client = client
        self._sessions = sessions
        self._node = sessions.node
        self._server_info = server_info
        self.entrance = Entrance(client, connection, sessions, clock, server_info, handler=self)
        self.on_their_way = 0
        self._refused_send: int | None = None

    def carry_out(self, tag: str, request: requests.Request) -> None:
        """Begin a request; unless ``is_answered_at_once``, its reply waits for the earlier ones.

        Raises:
            RefusedError: the node itself refuses it.
        """
        mode = self._client.mode
        if not self._client.id and not isinstance(request, ALLOWED_BEFORE_LOGIN):
            raise RefusedError(Code.LOG_IN_FIRST, "log in first")
        match request:
            case requests.Say():
                self.send([(tag, request)])
            case requests.Hello():
                self._hello(request)
            case requests.Acknowledge():
                reply, done = self.replies.reserve(), mode.done(tag, "")
                self._sessions.marks.acknowledge(
                    self._client.account,
                    request.id,
                    isolated_for(self._client, lambda: self.replies.complete(reply, done)),
                )
            case requests.Since():
                count = (1 << 62) if request.count is None else request.count
                self._ask(tag, queries.Later(self._client.account, request.id, count))
            case requests.Last():
                self._ask(tag, queries.Recent(self._client.account, request.count))
            case requests.List():
                self._ask(tag, queries.Accounts(queries.checked_pattern(request.pattern)))
            case requests.Who():
                self._ask(tag, queries.Present())
            case requests.Chain() | requests.Help() | requests.Ping():
                self.replies.answer_locally(
                    lambda: self._local_answer(tag, request),
                    at_once=self.is_answered_at_once(request),
                )
            case requests.Notices():
                self._client.notices = request.on
                what = "shown" if request.on else "not shown"
                self.replies.answer(mode.done(tag, f"who comes and goes is {what}"))
            case _:
                self.entrance.carry_out(tag, request)

    def refuse(self, tag: str, code: Code, text: str) -> None:
        self._node.tally.refused[code] += 1
        self.replies.answer(self._client.mode.refused(tag, code, text))

    def unconfirmed(self) -> list[str]:
        """Unconfirmed requests in order, like ``said: hello`` or ``done: /delete bob``."""
        return [what for command in self.replies.unconfirmed for what in described(command)]

    def refused(self, tag: str, refused: Refused) -> str:
        self._node.tally.refused[refused.code] += 1
        text = explanation(refused.code, refused.about)
        return self._client.mode.refused(tag, refused.code, text, again=refused.again)

    # --- submitting

    def submit(
        self,
        command: AnyCommand,
        answer: Callable[[Sequence[Result]], Sequence[str]],
        *,
        holds_later: bool = False,
    ) -> None:
        """Submit a command; ``answer`` turns its results into lines."""
        reply = self.replies.reserve(holds_later=holds_later, command=command)
        self.submit_for(
            reply, command, lambda results: self.replies.complete(reply, *answer(results))
        )

    def submit_for(
        self, reply: Reply, command: AnyCommand, done: Callable[[Sequence[Result]], None]
    ) -> None:
        """Submit a command; ``done`` completes the reply, now or later."""
        reply.command = command
        self.on_their_way += commands.span(command)

        def replied(results: Sequence[Result]) -> None:
            self.on_their_way -= len(results)
            if not isinstance(command, commands.Say):
                self.entrance.audit(command, results[0])
            done(results)

        self._sessions.submit(self._client.account, command, isolated_for(self._client, replied))

    # --- what needs nobody else

    def is_answered_at_once(self, request: requests.Request) -> bool:
        """True if it waits for no earlier reply.

        Where clients pipeline, tags say which reply is which. Others wait, except while the chain
        cannot confirm.
        """
        stuck = self._node.readiness.reason != ""
        return isinstance(request, ANSWERED_HERE) and (self._client.mode.pipelines or stuck)

    def _local_answer(self, tag: str, request: requests.Request) -> Sequence[str]:
        mode = self._client.mode
        match request:
            case requests.Chain():
                return mode.chain(tag, self._node.view())
            case requests.Help():
                try:
                    return mode.help(tag, request.verb)
                except RefusedError as refusal:
                    return [mode.refused(tag, refusal.code, refusal.text)]
        return [mode.done(tag, "")]

    # --- hello, login, logout

    def _hello(self, request: requests.Hello) -> None:
        mode = AFTER_HELLO.get(request.protocol)
        if mode is None:
            known = " or ".join(AFTER_HELLO)
            text = f"this node speaks {known} only: begin with /hello {known} client=ID"
            raise RefusedError(Code.UNKNOWN_VERSION, text)
        self.entrance.program = request.client
        self._client.notices, self._client.mode = request.notices, mode
        info, sessions = self._server_info, self._sessions.count + 1
        nodes = list(info.addresses.values())
        self.replies.answer(mode.greeting(self._node.me.position, info.max_line, nodes, sessions))

    # --- saying

    def send(self, sends: Sequence[tuple[str, requests.Say]]) -> None:
        """Submit messages that came together, with their tags, in as few commands as possible.

        One that the node itself refuses is answered in its turn.
        """
        self._sessions.limits.said(self._client.account, len(sends))
        low = self._node.readiness.low
        if not low and self._refused_send is None:  # a hundred thousand a second
            self._submit_messages(sends)
            return
        for tag, say in sends:
            try:
                if say.number and self._refused_send is not None:
                    self._check_number(say.number)
                if low:
                    self._refuse_for_room(say.number, low)
            except RefusedError as refusal:
                self.refuse(tag, refusal.code, refusal.text)
            else:
                self._submit_messages([(tag, say)])

    def _submit_messages(self, sends: Sequence[tuple[str, requests.Say]]) -> None:
        contents = [f"{say.to}\0{say.text}".encode() for _, say in sends]
        while sum(map(len, contents), start=len(sends) * SAYING_OVERHEAD) > SAYINGS_OCTETS:
            octets = accumulate([len(content) + SAYING_OVERHEAD for content in contents])
            fitting = bisect_right([*octets], SAYINGS_OCTETS) or 1
            self._submit_command(sends[:fitting], contents[:fitting])
            sends, contents = sends[fitting:], contents[fitting:]
        if sends:
            self._submit_command(sends, contents)

    def _submit_command(
        self, sends: Sequence[tuple[str, requests.Say]], contents: Sequence[bytes]
    ) -> None:
        addressees = {name: self._addressee(name) for name in {say.to for _, say in sends}}
        sayings = [
            commands.Saying(
                say.text, *addressees[say.to], say.number, crc32(content) if say.number else 0
            )
            for (_, say), content in zip(sends, contents, strict=True)
        ]
        client = self._client
        self.submit(
            commands.Say(
                client.id, client.account, client.name, self.entrance.program, tuple(sayings)
            ),
            partial(self._all_said, [tag for tag, _ in sends]),
        )

    def _addressee(self, name: str) -> tuple[int, str]:
        if name == EVERYBODY:
            return TO_EVERYBODY, EVERYBODY
        account = self._node.state.account_named(name)
        return (UNKNOWN, name) if account is None else (account.number, account.name)

    def _all_said(self, tags: Sequence[str], results: Sequence[Result]) -> Sequence[str]:
        if isinstance(results, AllAccepted):
            return self._client.mode.all_sent(tags, results.ids)
        return [*map(self._said, tags, results)]

    def _said(self, tag: str, result: Result) -> str:
        if isinstance(result, Accepted):
            return self._client.mode.sent(tag, result.id, again=result.again)
        return self.refused(tag, result)

    def _check_number(self, number: int) -> None:
        """Refuse later numbers after a refused one, until that comes again."""
        if self._refused_send is not None and number > self._refused_send:
            raise RefusedError(
                Code.EARLIER_REFUSED, f"not sent: SEND {self._refused_send} has to come first"
            )
        self._refused_send = None

    def _refuse_for_room(self, number: int, low: tuple[str, ...]) -> None:
        """Refuse a SEND for want of room; its number is not consumed."""
        self._refused_send = number or None
        raise RefusedError(Code.DISK_NEARLY_FULL, nearly_full(low))

    # --- reading

    def _ask(self, tag: str, query: Query) -> None:
        """Ask page after page, no faster than the client reads."""
        mode = self._client.mode
        shows_days = mode.day(0) is not None  # programs get whole times
        count, day = 0, -1

        def show_page(page: Page) -> None:
            self._client.when_writable(lambda: write(page))

        show = isolated_for(self._client, show_page)

        def write(page: Page) -> None:
            nonlocal count, day
            lines = [mode.item(tag, name) for name in page.names]
            viewer = self._client.name
            if page.removed is not None:
                lines.append(removed_notice(mode, page.removed))
            count += len(page.names) + len(page.messages)
            for message in page.messages:
                if shows_days and message.time // DAY != day:
                    day = message.time // DAY
                    lines.append(mode.item(tag, date_of(message.time)))
                lines.append(mode.message_item(tag, message, viewer))
            self._sessions.limits.read(self._client.account, len(lines))
            self.replies.add(reply, *lines)
            more = page.more
            if page.refused is not None:
                self.replies.complete(reply, self.refused(tag, Refused(page.refused)))
            elif more is not None:
                self._node.ask(more, show)
            else:
                self.replies.complete(reply, mode.end(tag, _counted(count, query)))

        reply = self.replies.reserve(lambda _: self._node.ask(query, show), holds_later=True)


def _counted(count: int, query: Query) -> str:
    what = "message" if isinstance(query, queries.Recent | queries.Later) else "account"
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
