"""Carries out what one client asks about accounts."""

import hashlib
from collections.abc import Sequence
from math import ceil

from msgspec.structs import replace

from chainchat.chat import commands, requests
from chainchat.chat.accounts import Account, AccountRole
from chainchat.chat.commands import UNKNOWN, AnyCommand
from chainchat.chat.lines import Line
from chainchat.chat.modes.mode import LoggedIn
from chainchat.chat.outcomes import Accepted, Refused, Result
from chainchat.chat.refusals import Code, RefusedError
from chainchat.node.interfaces import Clock, Timer
from chainchat.node.status import nearly_full
from chainchat.sessions.contests import Waiting
from chainchat.sessions.explanations import TOOK_NOTHING, explanation, name_held, removed_notice
from chainchat.sessions.interfaces import Client, Connection, ServerInfo
from chainchat.sessions.isolation import isolated_for
from chainchat.sessions.passwords import Passwords
from chainchat.sessions.procedures import Procedure, Procedures, Submitting
from chainchat.sessions.replies import Reply
from chainchat.sessions.sessions import Sessions

LOGIN_SECONDS = 60.0

COUNT_SECONDS = 0.001
"""The most work for counting what one person missed: many may log in together."""

CHANGES = (
    requests.SetVerifier,
    requests.ChangePassword,
    requests.Invite,
    requests.ResetPassword,
    requests.Grant,
    requests.Kick,
    requests.Delete,
)
"""Requests for an entry, which have a limit, and are refused when a disk is nearly full."""


class Entrance:
    """The entrance of one client; ``program`` is its ID, empty for a person."""

    __slots__ = (  # there can be thousands
        "_client",
        "_clock",
        "_connection",
        "_deadline",
        "_guard",
        "_handler",
        "_node",
        "_passwords",
        "_procedures",
        "_replies",
        "_server_info",
        "_sessions",
        "program",
    )

    def __init__(
        self,
        client: Client,
        connection: Connection,
        sessions: Sessions,
        clock: Clock,
        server_info: ServerInfo,
        *,
        handler: Submitting,
    ) -> None:
        self._client = client
        self._connection = connection
        self._sessions = sessions
        self._clock = clock
        self._server_info = server_info
        self._handler = handler
        self._replies = handler.replies
        self._guard = server_info.guard
        self._node = sessions.node
        self._passwords: Passwords | None = None
        """Made when needed, like the next: most clients have none."""
        self._procedures: Procedures | None = None
        self.program = ""
        self._deadline: Timer | None = None

    def begin(self) -> None:
        end = isolated_for(self._client, self._took_too_long)
        self._deadline = self._clock.callLater(LOGIN_SECONDS, end)

    def _took_too_long(self) -> None:
        if self._client.id:  # the chain has not answered the login yet
            self.begin()
        else:
            text = f"no login within {int(LOGIN_SECONDS)} seconds"
            self._client.close_with(Code.LOGIN_TIMEOUT, text)

    def _met_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()

    def carry_out(self, tag: str, request: requests.Request) -> None:
        """Begin a request about accounts.

        Raises:
            RefusedError: the node itself refuses it.
        """
        if isinstance(request, CHANGES):
            self._count_change()
        match request:
            case requests.Login() | requests.Resume():
                self._log_in(tag, request)
            case requests.Authenticate():
                self._check_own_name(request.name)
                self._begin(tag, self.passwords.begin_proof(tag, request))
            case requests.Prove():
                self._begin(tag, self.passwords.end_proof(tag, request))
            case requests.SetVerifier():
                self._begin(tag, self.passwords.set_verifier(tag, request))
            case requests.ChangePassword():
                self._begin(tag, self.passwords.change(request))
            case requests.Invite():
                self._begin(tag, self.passwords.invite(tag, request.name, reset=False))
            case requests.ResetPassword():
                self._begin(tag, self.passwords.invite(tag, request.name, reset=True))
            case requests.Grant():
                role = AccountRole.OPERATOR if request.operator else AccountRole.USER
                grant = commands.Grant(self._client.id, request.name, role)
                what = "an operator" if request.operator else "no operator"
                self._order(tag, grant, f"{request.name} is {what} now")
            case requests.Kick():
                self._kick(tag, request.name)
            case requests.Delete():
                self._delete(tag, request)
            case requests.Logout():
                self._log_out(tag, finished=request.finished)
            case _:
                raise AssertionError(request)

    def _count_change(self) -> None:
        client, low = self._client, self._node.readiness.low
        own = self._node.state.accounts.get(client.account)
        limits = self._sessions.limits
        if low:
            if own is None or own.role is not AccountRole.OPERATOR:
                raise RefusedError(Code.DISK_NEARLY_FULL, nearly_full(low))
            # An operator's account may be broken into.
            self._check_ration(limits.last_changes.take(), low)
        number = client.account if client.id or self._passwords is None else self._passwords.proved
        if not client.id and limits.may_say(number) <= 0:  # else its later lines wait
            wait = ceil(limits.wait(number))
            text = f"this account is changed too often: wait {wait} seconds"
            raise RefusedError(Code.TOO_MANY_ATTEMPTS, text)
        if number:
            limits.changed(number)

    @staticmethod
    def _check_ration(wait: float, low: tuple[str, ...]) -> None:
        if wait > 0:
            text = f"{nearly_full(low)}; or wait {ceil(wait)} s"
            raise RefusedError(Code.DISK_NEARLY_FULL, text)

    @property
    def passwords(self) -> Passwords:
        if self._passwords is None:
            info, node = self._server_info, self._node
            self._passwords = Passwords(self._client, self._connection, info, lambda: node.state)
        return self._passwords

    @property
    def asking(self) -> bool:
        """True if the next line is for ``answer``, and no request."""
        return self._procedures is not None and self._procedures.asking

    @property
    def may_be_asking(self) -> bool:
        return self._procedures is not None and self._procedures.running

    def answer(self, line: Line) -> None:
        assert self._procedures is not None
        self._procedures.answer(line)

    def was_typed(self, line: Line) -> bool:
        return self._procedures is not None and self._procedures.was_typed(line)

    def audit(self, command: AnyCommand, result: Result) -> None:
        audit, client = self._server_info.audit, self._client
        audit.carried_out(command, result, client.name, self._connection.address)

    def stop(self) -> None:
        self._met_deadline()
        if self._procedures is not None:
            self._procedures.stop()

    # --- how it is done

    def _begin(self, tag: str, procedure: Procedure) -> None:
        if self._procedures is None:
            hashing = self._guard.hashing
            self._procedures = Procedures(
                self._client, self._handler, hashing, self._clock, self._enter_with_password
            )
        self._procedures.begin(tag, procedure)

    def _order(self, tag: str, command: AnyCommand, done: str) -> None:
        """``done`` says what the command does, for a person."""

        def answer(results: Sequence[Result]) -> Sequence[str]:
            [result] = results
            if isinstance(result, Accepted):
                return [self._client.mode.done(tag, done)]
            return [self._handler.refused(tag, result)]

        self._handler.submit(command, answer, holds_later=True)

    def _check_own_name(self, name: str) -> None:
        client = self._client
        if client.id and name.lower() != client.name.lower():
            raise RefusedError(Code.LOGGED_IN_ALREADY, f"you are logged in, as {client.name}")

    def _kick(self, tag: str, name: str) -> None:
        state = self._node.state
        account, own = state.account_named(name), state.accounts.get(self._client.account)
        if account is None or account.session or own is None or own.role is AccountRole.USER:
            kick = commands.Kick(self._client.id, name)
            self._order(tag, kick, f"the session of {name} is ended")
        else:
            text = f"{account.name} is not on: nothing is ended"
            self._replies.answer(self._client.mode.done(tag, text))

    # --- logging in and out

    def _log_in(self, tag: str, request: requests.Login | requests.Resume) -> None:
        client = self._client
        if client.id:
            raise RefusedError(Code.LOGGED_IN_ALREADY, f"you are logged in, as {client.name}")
        low = self._node.readiness.low
        account = self._node.state.account_named(request.name)
        if low and account is None and self._guard.open_to_all:
            raise RefusedError(Code.DISK_NEARLY_FULL, f"no new account: {nearly_full(low)}")
        if isinstance(request, requests.Login) and self._needs_password(account):
            if not client.mode.asks:
                raise RefusedError(Code.PASSWORD_NEEDED, "a password is needed: AUTH, then PROVE")
            self._begin(tag, self.passwords.log_in(request))
            return
        checked = 0 if self._passwords is None else self._passwords.checked(account)
        if client.mode.asks and account is not None:
            checked = account.secret  # the same, or it was removed since
        if _is_hopeless(request, account, checked):
            self._check_refused_logins()
        self._ration_login()
        self.enter(self._replies.reserve(holds_later=True), tag, request, checked)

    def _enter_with_password(
        self, reply: Reply, tag: str, request: requests.Login, checked: int
    ) -> None:
        """Enter, if there is a ration: who was only asked for a password took none."""
        try:
            self._ration_login()
        except RefusedError as refusal:
            text = self._client.mode.refused(tag, refusal.code, refusal.text)
            self._replies.complete(reply, text)
            self._client.turned_away()
        else:
            self.enter(reply, tag, request, checked)

    def _ration_login(self) -> None:
        low = self._node.readiness.low
        if low:
            wait = self._sessions.limits.take_last_login(self._client.address)
            self._check_ration(wait, low)

    def _check_refused_logins(self) -> None:
        """Refuse a client that could fill the log with refused logins."""
        wait = self._sessions.limits.wait_for_login(self._client.address)
        if wait > 0:
            text = f"too many logins of your address were refused: wait {ceil(wait)} seconds"
            raise RefusedError(Code.TOO_MANY_ATTEMPTS, text)

    def _needs_password(self, account: Account | None) -> bool:
        """True for unknown names, too, unless they make accounts: nobody learns which exist."""
        if account is None:
            return not self._guard.open_to_all
        checked = 0 if self._passwords is None else self._passwords.checked(account)
        if account.verifier is None:
            return False
        if self._client.mode.asks:
            return checked != account.secret or account.verifier.once
        return not checked  # if it was changed since, the chain says so

    def enter(
        self, reply: Reply, tag: str, request: requests.Login | requests.Resume, checked: int
    ) -> None:
        """Log in, and complete the reply; ``checked``: see ``commands``."""
        client, name = self._client, request.name
        quiet = isinstance(request, requests.Login) and request.quiet
        session = client.id = self._sessions.new_session(announced=not quiet)
        token = self._server_info.new_token() if self.program else ""
        counted, command = self._command_for(request, session, token, checked)

        def refuse(text: str) -> None:
            self._replies.complete(reply, text)
            if client.mode.asks:
                client.turned_away()

        def done(results: Sequence[Result]) -> None:
            [result] = results
            holder = self._node.state.account_named(name)
            if counted and (holder is None or result != Accepted(holder.number)):
                self._sessions.limits.not_new(client.address)
            if isinstance(result, Accepted):
                self._let_in(reply, tag, request, token, result.id)
                return
            client.id = ""
            self._sessions.limits.login_refused(client.address)
            if result.code is Code.NO_SUCH_ACCOUNT and not self._guard.open_to_all:
                result = Refused(Code.BAD_TOKEN, name)  # nobody learns who exists
            if result.code is Code.NAME_IN_USE and holder is not None and holder.session:
                waiting = Waiting(
                    client,
                    isolated_for(client, lambda silent: refuse(self._held(tag, result, silent))),
                    isolated_for(client, lambda: self.enter(reply, tag, request, checked)),
                )
                self._sessions.contests.ask(holder.session, waiting)
            else:
                refuse(self._handler.refused(tag, result))

        self._handler.submit_for(reply, command, done)

    def _command_for(
        self, request: requests.Login | requests.Resume, session: str, token: str, checked: int
    ) -> tuple[bool, AnyCommand]:
        """The command, after True if its account was counted as new."""
        name, program = request.name, self.program
        if isinstance(request, requests.Resume):
            hashed = _hashed(request.token)
            return False, commands.Resume(session, name, program, hashed, _hashed(token))
        counted, refuse_new = self._count_if_new(name)
        return counted, commands.Login(
            session, name, program, _hashed(token), checked, refuse_new, refuse_alike=True
        )

    def _count_if_new(self, name: str) -> tuple[bool, int]:
        """Judge a login that may make an account.

        Returns:
            True if it counts for the client's address; the code of a refusal, or 0.
        """
        state = self._node.state
        if not self._guard.open_to_all:
            return False, Code.BY_INVITATION
        if state.account_named(name) is not None:
            return False, 0
        if self._guard.reserves(name):
            return False, Code.SERVERS_WORD
        code = self._sessions.limits.new_account(self._client.address, len(state.accounts))
        return code is None, code or 0

    def _held(self, tag: str, refused: Refused, silent: int | None) -> str:
        text = name_held(refused.about, silent)
        return self._client.mode.refused(tag, refused.code, text)

    def _let_in(
        self,
        reply: Reply,
        tag: str,
        request: requests.Login | requests.Resume,
        token: str,
        high: int,
    ) -> None:
        self._met_deadline()
        self._connection.logged_in()
        client = self._client
        account = self._node.state.account_of(client.id)
        assert account is not None
        removed, mode = self._node.state.removed, client.mode
        number = self._node.state.next_number(account.number, self.program)
        mark = min(request.after, high) if isinstance(request, requests.Resume) else account.seen
        notices = [removed_notice(mode, removed)] if removed.concerns(mark) else []
        if isinstance(request, requests.Resume):
            client.attach(account, mark, quiet=False)
            self._replies.complete(reply, mode.resumed(tag, token, high, number), *notices)
            return
        if self._sessions.has_taken_nothing(account.number) and mode.asks:
            client.tell("", TOOK_NOTHING)
        client.attach(account, mark, quiet=request.quiet)
        login = LoggedIn(account.name, token, high, mark, missed=0, number=number)
        if request.quiet:
            notices = []
        self._answer_login(reply, tag, login, notices)

    def _answer_login(self, reply: Reply, tag: str, login: LoggedIn, notices: list[str]) -> None:
        """Answer, a person in their turn: to count for two dozen at once would be a long one."""
        client, mode = self._client, self._client.mode
        account, history = client.account, self._node.history

        def count() -> None:
            left = self._node.slice(COUNT_SECONDS).left
            missed, more = history.count_missed(account, login.mark, mode.counts_missed, left)
            counted = replace(login, missed=missed, more=more)
            self._replies.complete(reply, mode.logged_in(tag, counted), *notices)

        if mode.counts_missed:
            client.when_writable(count)
            self._sessions.rounds.waits(client, first=True)  # or all who read on would be before
        else:
            self._replies.complete(reply, mode.logged_in(tag, login), *notices)

    def _log_out(self, tag: str, *, finished: bool) -> None:
        reply = self._replies.reserve(holds_later=True)

        def replied(_: Sequence[Result] = ()) -> None:
            self._replies.complete(reply, self._client.mode.done(tag, "goodbye"))
            self._client.close()

        if self._client.id:
            program = self.program if finished else ""
            logout = commands.Logout(self._client.id, self._client.seen, program)
            done = isolated_for(self._client, replied)
            self._sessions.submit(self._client.account, logout, done)
        else:
            replied()

    # --- deleting

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

        number = account.number if account else UNKNOWN
        others = self._guard.open_to_all and self._guard.rules.delete_others
        delete = commands.Delete(self._client.id, number, name, others)
        self._order(tag, delete, f"{name} is deleted")


def _is_hopeless(
    request: requests.Login | requests.Resume, account: Account | None, checked: int
) -> bool:
    """True if this node expects a refusal; a login that makes an account may be refused, too."""
    if account is None:
        return True
    if isinstance(request, requests.Resume):
        return account.token != _hashed(request.token)
    once = account.verifier is not None and account.verifier.once
    return account.session != "" or account.secret != checked or once


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest() if text else b""
