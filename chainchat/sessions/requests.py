"""Carries out one client's requests, and answers them in order.

Changes go through the chain, pipelined. The tail answers reads: a read starts when all earlier
requests are answered, and later requests wait for it, so a client always reads what it has written.
What the node knows by itself may be answered out of order.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from zlib import crc32

from chainchat.chain.log import MAX_COMMAND
from chainchat.chat import commands, queries, requests
from chainchat.chat.commands import TO_EVERYBODY, UNKNOWN, AnyCommand
from chainchat.chat.modes import AFTER_HELLO
from chainchat.chat.queries import Page, Query
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import EVERYBODY
from chainchat.chat.state import Accepted, AllAccepted, Refused, Result
from chainchat.node.status import nearly_full
from chainchat.sessions.explanations import described, explanation, name_held
from chainchat.sessions.interfaces import Client, ServerInfo
from chainchat.sessions.replies import Replies, Reply
from chainchat.sessions.sessions import Sessions

_EVERYBODY = TO_EVERYBODY, EVERYBODY

SAYING_OVERHEAD = 72
"""Octets of an encoded message besides its text, at most: a name of 32, numbers, a checksum."""

SAYINGS_OCTETS = MAX_COMMAND - 256
"""Octets of the messages in one command; leaves room for the other fields."""

ALLOWED_BEFORE_LOGIN = (
    requests.Hello,
    requests.Login,
    requests.Resume,
    requests.Chain,
    requests.Help,
    requests.Ping,
    requests.Logout,
)

ANSWERED_HERE = (requests.Chain, requests.Help, requests.Ping)
"""Requests that the node answers by itself, whatever the chain does."""


class Handler:
    """Carries out the requests of one client.

    Attributes:
        replies: the replies still owed. A login, a read or a deletion holds back later requests.
        on_their_way: how many messages, logins and deletions were submitted and have no answer yet.
    """

    __slots__ = (  # there can be thousands
        "_client",
        "_node",
        "_program",
        "_refused_send",
        "_server_info",
        "_sessions",
        "on_their_way",
        "replies",
    )

    def __init__(self, client: Client, sessions: Sessions, server_info: ServerInfo) -> None:
        self.replies = Replies(client)
        self._client = client
        self._sessions = sessions
        self._node = sessions.node
        self._server_info = server_info
        self._program = ""
        self.on_their_way = 0
        self._refused_send: int | None = None

    def carry_out(self, tag: str, request: requests.Request) -> None:
        """Begin a request. Its reply waits for the earlier ones, unless ``is_answered_at_once``.

        Raises:
            RefusedError: the node refuses the request itself.
        """
        mode = self._client.mode
        if not self._client.id and not isinstance(request, ALLOWED_BEFORE_LOGIN):
            raise RefusedError(Code.LOG_IN_FIRST, "log in first")
        match request:
            case requests.Say():
                self.send([(tag, request)])
            case requests.Hello():
                self._hello(request)
            case requests.Login() | requests.Resume():
                self._log_in(tag, request)
            case requests.Acknowledge():
                reply, done = self.replies.reserve(), mode.done(tag, "")
                self._sessions.marks.acknowledge(
                    self._client.account, request.id, lambda: self.replies.complete(reply, done)
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
            case requests.Delete():
                self._delete(tag, request)
            case requests.Chain() | requests.Help() | requests.Ping():
                self.replies.answer_locally(
                    lambda: self._local_answer(tag, request),
                    at_once=self.is_answered_at_once(request),
                )
            case requests.Notices():
                self._client.notices = request.on
                what = "shown" if request.on else "not shown"
                self.replies.answer(mode.done(tag, f"who comes and goes is {what}"))
            case requests.Logout():
                self._log_out(tag, finished=request.finished)

    def refuse(self, tag: str, code: Code, text: str) -> None:
        """Refuse a request, behind the earlier replies."""
        self.replies.answer(self._client.mode.refused(tag, code, text))

    def unconfirmed(self) -> list[str]:
        """Unconfirmed requests in order, like ``said: hello`` or ``done: /delete bob``."""
        return [what for command in self.replies.unconfirmed for what in described(command)]

    def _refused(self, tag: str, refused: Refused) -> str:
        text = explanation(refused.code, refused.about)
        return self._client.mode.refused(tag, refused.code, text, again=refused.again)

    def _submit(
        self,
        command: AnyCommand,
        answer: Callable[[Sequence[Result]], Sequence[str]],
        *,
        holds_later: bool = False,
    ) -> None:
        """Submit a command; ``answer`` turns its results into lines."""
        self._submit_with(
            command,
            lambda reply, results: self.replies.complete(reply, *answer(results)),
            holds_later=holds_later,
        )

    def _submit_with(
        self,
        command: AnyCommand,
        done: Callable[[Reply, Sequence[Result]], None],
        *,
        holds_later: bool,
    ) -> None:
        """Submit a command; ``done`` completes the reply, now or later."""
        reply = self.replies.reserve(holds_later=holds_later, command=command)
        self.on_their_way += commands.span(command)

        def replied(results: Sequence[Result]) -> None:
            self.on_their_way -= len(results)
            done(reply, results)

        self._sessions.submit(self._client.account, command, replied)

    # --- what needs nobody else

    def is_answered_at_once(self, request: requests.Request) -> bool:
        """True if a request does not wait for the earlier ones.

        In a mode that pipelines, tags say which reply is which. In another mode the request waits,
        except while the chain cannot confirm: then the client asks to see why.
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
        self._program = request.client
        self._client.notices, self._client.mode = request.notices, mode
        info, sessions = self._server_info, self._sessions.count + 1
        nodes = list(info.addresses.values())
        self.replies.answer(mode.greeting(self._node.me.position, info.max_line, nodes, sessions))

    def _log_in(self, tag: str, request: requests.Login | requests.Resume) -> None:
        client = self._client
        if client.id:
            raise RefusedError(Code.LOGGED_IN_ALREADY, f"you are logged in, as {client.name}")
        low = self._node.readiness.low
        if low and self._node.state.account_named(request.name) is None:
            raise RefusedError(Code.DISK_NEARLY_FULL, f"no new account: {nearly_full(low)}")
        session = client.id = self._sessions.new_session()
        token = ""
        command: AnyCommand
        if isinstance(request, requests.Login):
            token = self._server_info.new_token() if self._program else ""
            command = commands.Login(session, request.name, self._program, _hashed(token))
        else:
            command = commands.Resume(session, request.name, self._program, _hashed(request.token))

        def done(reply: Reply, results: Sequence[Result]) -> None:
            [result] = results
            if isinstance(result, Accepted):
                self.replies.complete(reply, self._logged_in(tag, request, token, result.id))
                return
            client.id = ""
            holder = self._node.state.account_named(request.name)
            if result.code is Code.NAME_IN_USE and holder is not None and holder.session:
                self._sessions.contests.ask(
                    holder.session,
                    lambda silent: self.replies.complete(reply, self._held(tag, result, silent)),
                )
            else:
                self.replies.complete(reply, self._refused(tag, result))

        self._submit_with(command, done, holds_later=True)

    def _held(self, tag: str, refused: Refused, silent: int | None) -> str:
        """The refusal of a name in use; ``silent``: seconds of its holder's silence, if known."""
        text = name_held(refused.about, silent)
        return self._client.mode.refused(tag, refused.code, text)

    def _logged_in(
        self, tag: str, request: requests.Login | requests.Resume, token: str, high: int
    ) -> str:
        """Attach the session to its account, so that delivery begins. Returns the reply."""
        client = self._client
        account = self._node.state.account_of(client.id)
        assert account is not None
        number = self._node.state.next_number(account.number, self._program)
        if isinstance(request, requests.Resume):
            client.attach(account, min(request.after, high), quiet=False)
            return client.mode.resumed(tag, high, number)
        mark = account.seen
        client.attach(account, mark, quiet=request.quiet)
        missed, most = 0, client.mode.counts_missed
        if most:
            missed = self._node.history.count_missed(account.number, mark, most + 1)
        return client.mode.logged_in(
            tag, account.name, token, high=high, mark=mark, missed=missed, number=number
        )

    def _log_out(self, tag: str, *, finished: bool) -> None:
        reply = self.replies.reserve(holds_later=True)

        def replied(_: Sequence[Result] = ()) -> None:
            self.replies.complete(reply, self._client.mode.done(tag, "goodbye"))
            self._client.close()

        if self._client.id:
            program = self._program if finished else ""
            logout = commands.Logout(self._client.id, self._client.seen, program)
            self._sessions.submit(self._client.account, logout, replied)
        else:
            replied()

    # --- saying and deleting

    def send(self, sends: Sequence[tuple[str, requests.Say]]) -> None:
        """Submit messages that came together, with their tags, in as few commands as possible.

        A message that the node refuses itself is left out and answered in its turn.
        """
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
        while sends:
            octets = accumulate([len(content) + SAYING_OVERHEAD for content in contents])
            fitting = bisect_right([*octets], SAYINGS_OCTETS) or 1
            self._submit_command(sends[:fitting], contents[:fitting])
            sends, contents = sends[fitting:], contents[fitting:]

    def _submit_command(
        self, sends: Sequence[tuple[str, requests.Say]], contents: Sequence[bytes]
    ) -> None:
        """Submit messages as one command; ``contents``: of each, for its checksum."""
        sayings = [
            commands.Saying(
                say.text,
                *(_EVERYBODY if say.to == EVERYBODY else self._addressee(say.to)),
                say.number,
                crc32(content) if say.number else 0,
            )
            for (_, say), content in zip(sends, contents, strict=True)
        ]
        client = self._client
        self._submit(
            commands.Say(client.id, client.account, client.name, self._program, tuple(sayings)),
            lambda results: self._all_said([tag for tag, _ in sends], results),
        )

    def _addressee(self, name: str) -> tuple[int, str]:
        account = self._node.state.account_named(name)
        return (UNKNOWN, name) if account is None else (account.number, account.name)

    def _all_said(self, tags: Sequence[str], results: Sequence[Result]) -> Sequence[str]:
        if isinstance(results, AllAccepted):
            return self._client.mode.all_sent(tags, results.ids)
        return [*map(self._said, tags, results)]

    def _said(self, tag: str, result: Result) -> str:
        if isinstance(result, Accepted):
            return self._client.mode.sent(tag, result.id, again=result.again)
        return self._refused(tag, result)

    def _check_number(self, number: int) -> None:
        """Keep a program's SENDs in order: after a 4xx, refuse later numbers before that one."""
        if self._refused_send is not None and number > self._refused_send:
            raise RefusedError(
                Code.EARLIER_REFUSED, f"not sent: SEND {self._refused_send} has to come first"
            )
        self._refused_send = None

    def _refuse_for_room(self, number: int, low: tuple[str, ...]) -> None:
        """Refuse a message while disks are nearly full; a refused SEND consumes no number."""
        self._refused_send = number or None
        raise RefusedError(Code.DISK_NEARLY_FULL, nearly_full(low))

    def _delete(self, tag: str, request: requests.Delete) -> None:
        name = request.name or self._client.name
        account = self._node.state.account_named(name)
        if not request.confirmed:
            if account is None:
                raise RefusedError(Code.NO_SUCH_ACCOUNT, explanation(Code.NO_SUCH_ACCOUNT, name))
            raise RefusedError(
                Code.CONFIRM_DELETION,
                f"this deletes {account.name} and all that waits for it: "
                f"type /delete {account.name} yes",
            )

        def answer(results: Sequence[Result]) -> Sequence[str]:
            [result] = results
            if isinstance(result, Accepted):
                return [self._client.mode.done(tag, f"{name} is deleted")]
            return [self._refused(tag, result)]

        number = account.number if account else UNKNOWN
        delete = commands.Delete(self._client.id, number, name)
        self._submit(delete, answer, holds_later=True)

    # --- reading

    def _ask(self, tag: str, query: Query) -> None:
        """Ask the tail page after page, no faster than the client reads the answer."""
        mode = self._client.mode
        count = 0

        def show(page: Page) -> None:
            self._client.when_writable(lambda: write(page))

        def write(page: Page) -> None:
            nonlocal count
            lines = [mode.item(tag, name) for name in page.names]
            viewer = self._client.name
            lines += [mode.message_item(tag, message, viewer) for message in page.messages]
            count += len(lines)
            self.replies.add(reply, *lines)
            more = page.more
            if page.refused is not None:
                text = explanation(page.refused, "")
                self.replies.complete(reply, mode.refused(tag, page.refused, text))
            elif more is not None:
                self._node.ask(more, show)
            else:
                self.replies.complete(reply, mode.end(tag, _counted(count, query)))

        reply = self.replies.reserve(lambda: self._node.ask(query, show), holds_later=True)


def _counted(count: int, query: Query) -> str:
    what = "message" if isinstance(query, queries.Recent | queries.Later) else "account"
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _hashed(text: str) -> bytes:
    """SHA-256, or nothing for an empty text."""
    return hashlib.sha256(text.encode()).digest() if text else b""
