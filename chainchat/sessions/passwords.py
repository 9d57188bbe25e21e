"""The passwords of one client: typed by a person, proved by a program, set, and reset.

None is kept or logged: ``scram.salted`` makes a verifier of a typed one.
"""

import base64
from collections.abc import Callable, Generator
from typing import Any

from chainchat.chat import commands, requests, scram
from chainchat.chat.accounts import Account, AccountRole, Verifier
from chainchat.chat.lines import clean
from chainchat.chat.outcomes import Accepted, Result
from chainchat.chat.passwords import LONGEST, SHORTEST, checked_password
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.state import ChatState
from chainchat.sessions.explanations import explanation
from chainchat.sessions.guard import FAILURE_SECONDS, MOST_FAILURES, SECRET_OCTETS
from chainchat.sessions.interfaces import Client, Connection, ServerInfo
from chainchat.sessions.invitations import new_invitation
from chainchat.sessions.procedures import Ask, Enter, Hash, Procedure, Step, Submit, Wait

NONCE_OCTETS = 18

UNCHANGED = "nothing is changed"

BACK = "an empty line goes back"
SHOWN = "some clients, like nc, show it"
"""True of busybox's telnet, too, which hides only one answer."""

Steps = Generator[Step, Any, None]


class Passwords:
    """What one client types, proves and sets."""

    __slots__ = (
        "_audit",
        "_checked",
        "_client",
        "_connection",
        "_exchange",
        "_failures",
        "_guard",
        "_state",
    )

    def __init__(
        self,
        client: Client,
        connection: Connection,
        info: ServerInfo,
        state: Callable[[], ChatState],
    ) -> None:
        self._client = client
        self._connection = connection
        self._guard = info.guard
        self._audit = info.audit
        self._state = state
        self._failures = 0
        self._checked = (0, 0)
        """An account, and the entry that set the password proved."""
        self._exchange: tuple[str, int, scram.Exchange] | None = None
        """The proof that was begun: name, account (0: none), exchange."""

    def checked(self, account: Account | None) -> int:
        """The entry that set the password proved, or 0."""
        number, set_by = self._checked
        return set_by if account is not None and account.number == number else 0

    @property
    def proved(self) -> int:
        """The number of the account whose password was proved last, or 0."""
        return self._checked[0]

    # --- people

    def log_in(self, login: requests.Login) -> Procedure:
        """Ask a person for their password.

        Raises:
            RefusedError: 507, a password must not be typed here.
        """
        self._check_readable("; or log in with chainchat-client")
        return self._log_in(login)

    def _log_in(self, login: requests.Login) -> Procedure:
        question = f"password of {login.name} ({SHOWN}; {BACK})"
        if not (yield from self._ask_for_old(login.name, question)):
            raise RefusedError(Code.PASSWORD_NEEDED, "no password: type a name to log in")
        account = self._account_named(login.name)
        if account.verifier is not None and account.verifier.once:
            verifier = yield from self._ask_for_new(f"choose a password for {account.name}")
            if verifier is None:
                text = f"{account.name} needs a password of its own: type a name to log in"
                raise RefusedError(Code.PASSWORD_NEEDED, text)
            yield from self._set(account, verifier)
        return Enter(login, self.checked(account))

    def change(self, request: requests.ChangePassword) -> Procedure:
        """Ask a person for the old password, and twice for a new one.

        Raises:
            RefusedError: 507, a password must not be typed here.
        """
        self._check_readable()
        return self._change(request)

    def _change(self, request: requests.ChangePassword) -> Procedure:
        account, mode = self._own_account(), self._client.mode
        if account.verifier is not None:
            question = f"your password now ({SHOWN}; {BACK})"
            if not (yield from self._ask_for_old(account.name, question)):
                return [mode.done("", UNCHANGED)]
        elif request.remove:
            return [mode.done("", "you have no password")]
        verifier = None
        if request.remove:
            self._check_removal()
        else:
            verifier = yield from self._ask_for_new("your new password")
            if verifier is None:
                return [mode.done("", UNCHANGED)]
        yield from self._set(account, verifier)
        if request.remove:
            return [mode.done("", "your password is removed: anybody can log in as you")]
        return [mode.done("", "your password is set")]

    def _ask_for_old(self, name: str, question: str) -> Generator[Step, Any, bool]:
        """Ask until the password is right; False if nothing is typed.

        Raises:
            RefusedError: too many were wrong: the connection ends.
        """
        refusal = None
        while line := (yield Ask(question, refusal)):
            try:
                yield from self._check_typed(name, line)
            except RefusedError as refused:
                if self._failures >= MOST_FAILURES:
                    raise
                refusal = refused
            else:
                return True
        return False

    def _ask_for_new(self, what: str) -> Generator[Step, Any, Verifier | None]:
        """Ask until a password is possible, and typed twice; None if nothing is typed."""
        refusal, hint = None, SHOWN
        while line := (yield Ask(f"{what} ({SHORTEST} to {LONGEST} characters; {hint})", refusal)):
            try:
                password = checked_password(clean(line))
                again = yield Ask(f"the same again ({SHOWN}; {BACK})")
                if not again:
                    return None
                if again != line:
                    raise RefusedError(Code.BAD_PASSWORD, "that was not the same: choose again")
                verifier: Verifier = yield from self._hash(self._guard.hashing_of(password))
            except RefusedError as refused:
                refusal, hint = refused, BACK
            else:
                return verifier
        return None

    def _hash(
        self,
        work: Callable[[], Any],
        price: float = 1.0,
        *,
        known_as: str = "",
        rest: float = 1.0,
    ) -> Generator[Step, Any, Any]:
        """Hash, in the order of ``Throttle.rank``; ``price``: see ``Throttle.hashes``."""
        throttle, address = self._guard.throttle, self._connection.address
        rank = throttle.rank(address, known_as)
        throttle.hashes(address, known_as, price)
        try:
            return (yield Hash(work, rank, rest))
        except RefusedError:  # for want of room
            throttle.hashes(address, known_as, -price)
            raise

    def _check_typed(self, name: str, line: bytes) -> Steps:
        """Check a typed password, as slowly for an unknown name."""
        yield from self._begin_attempt(name)
        number, verifier = self._verifier_for(name, b"")
        try:
            password = scram.prepared(clean(line))
        except (ValueError, RefusedError):
            password = ""
        salt, iterations = verifier.salt, verifier.iterations
        throttle, address = self._guard.throttle, self._connection.address
        known = throttle.knows(name, address)
        rest = 1.0 if known else throttle.rest
        try:
            salted = yield from self._hash(
                lambda: scram.salted(password, salt, iterations),
                iterations / scram.ITERATIONS,
                known_as=name if known and not self._client.id else "",  # who is in can wait
                rest=rest,
            )
        except RefusedError:
            throttle.undone(name, address)
            yield Wait(FAILURE_SECONDS)
            raise
        if not number or not scram.admits(verifier, salted):
            yield from self._fail(name)
            raise RefusedError(Code.WRONG_PASSWORD, self._wrong)
        self._succeed(name, number, verifier)

    def _verifier_for(self, name: str, secret: bytes) -> tuple[int, Verifier]:
        """Number and verifier of an account; if it has none, 0 and a decoy made with ``secret``."""
        account = self._state().account_named(name)
        if account is None or account.verifier is None:
            return 0, scram.decoy(secret, name)
        return account.number, account.verifier

    def _check_readable(self, otherwise: str = "") -> None:
        address, encrypted = self._connection.address, self._connection.encrypted
        self._guard.check_readable(address, encrypted=encrypted, otherwise=otherwise)

    # --- programs

    def begin_proof(self, tag: str, request: requests.Authenticate) -> Procedure:
        """AUTH: answer with a challenge, even for an unknown name."""
        try:
            first = scram.ClientFirst.read(request.first)
        except scram.BrokenExchangeError as error:
            raise RefusedError(Code.BROKEN_EXCHANGE, str(error)) from None
        if first.name.lower() != request.name.lower():
            raise RefusedError(Code.BROKEN_EXCHANGE, "n= has to be the name after AUTH")
        if not self._state().salting:
            yield Submit(commands.Salting(self._guard.random(SECRET_OCTETS)))
        number, verifier = self._verifier_for(request.name, self._state().salting)
        nonce = base64.b64encode(self._guard.random(NONCE_OCTETS)).decode()
        exchange = scram.Exchange(first, verifier, nonce)
        self._exchange = request.name, number, exchange
        return [self._client.mode.told(tag, f"challenge :{exchange.challenge}")]

    def end_proof(self, tag: str, request: requests.Prove) -> Procedure:
        """PROVE: check the proof, and prove the chain's verifier in turn."""
        if self._exchange is None:
            raise RefusedError(Code.BROKEN_EXCHANGE, "AUTH has to come first")
        (name, number, exchange), self._exchange = self._exchange, None
        yield from self._begin_attempt(name)
        try:
            signature = exchange.signature(request.final)
        except scram.BrokenExchangeError as error:
            raise RefusedError(Code.BROKEN_EXCHANGE, str(error)) from None
        except scram.WrongProofError:
            yield from self._fail(name)
            raise RefusedError(Code.WRONG_PASSWORD, self._wrong) from None
        self._succeed(name, number, exchange.verifier)
        return [self._client.mode.told(tag, f":{signature}")]

    def set_verifier(self, tag: str, request: requests.SetVerifier) -> Procedure:
        """SECRET: set the own account's password."""
        account = self._own_account()
        if account.verifier is not None and not self.checked(account):
            raise RefusedError(Code.PASSWORD_NEEDED, "AUTH and PROVE have to come first")
        if request.verifier is None:
            self._check_removal()
        else:
            self._check_readable()
        yield from self._set(account, request.verifier)
        return [self._client.mode.done(tag, "")]

    # --- operators

    def invite(self, tag: str, name: str, *, reset: bool) -> Procedure:
        """Make an account, or ``reset`` its password, shown once."""
        if self._own_account().role is not AccountRole.OPERATOR:
            raise RefusedError(Code.OPERATORS_ONLY, explanation(Code.OPERATORS_ONLY, ""))
        self._check_readable()
        password, hashing = new_invitation(self._guard, self._state(), name, reset=reset)
        return self._invite(tag, name, self._client.id, password, hashing, reset=reset)

    def _invite(
        self,
        tag: str,
        name: str,
        session: str,
        password: str,
        hashing: Callable[[], Verifier],
        *,
        reset: bool,
    ) -> Procedure:
        """``session`` is the operator's, even if it has ended."""
        verifier: Verifier = yield from self._hash(hashing)
        invite = commands.Invite(session, name, verifier, reset, refuse_alike=True)
        result = yield Submit(invite)
        if not isinstance(result, Accepted) and result.code is Code.NAME_IN_USE:
            how = "/password reset" if self._client.mode.asks else "RESET"
            text = f"there is an account {result.about}: {how} {result.about} is for it"
            raise RefusedError(Code.NAME_IN_USE, text)
        _check_result(result)
        return [self._client.mode.invited(tag, name, password, once=verifier.once)]

    # --- what they share

    def _set(self, account: Account, verifier: Verifier | None) -> Steps:
        checked = self.checked(account)
        session, number, name = self._client.id, account.number, account.name
        result = yield Submit(commands.SetSecret(session, number, name, checked, verifier))
        self._checked = number, _check_result(result)
        self._guard.throttle.met(name, self._connection.address)

    def _check_removal(self) -> None:
        if not self._guard.open_to_all:
            text = "everybody has a password here: change it with /password"
            raise RefusedError(Code.PASSWORD_NEEDED, text)

    def _own_account(self) -> Account:
        client, state = self._client, self._state()
        own = state.account_of(client.id) if client.id else state.accounts.get(self._checked[0])
        if own is None:
            raise RefusedError(Code.LOG_IN_FIRST, "log in first, or AUTH and PROVE")
        return own

    def _account_named(self, name: str) -> Account:
        account = self._state().account_named(name)
        if account is None:
            raise RefusedError(Code.PASSWORD_CHANGED, explanation(Code.PASSWORD_CHANGED, name))
        return account

    def _begin_attempt(self, name: str) -> Steps:
        address = self._connection.address
        try:
            self._guard.throttle.begin(name, address)
        except RefusedError as refusal:
            self._audit.refused(self._login_of(name), address, refusal.code)
            yield Wait(FAILURE_SECONDS)  # or who guesses would try again at once
            raise

    def _succeed(self, name: str, number: int, verifier: Verifier) -> None:
        # Who is logged in could have one hash made after the other.
        counts = bool(self._client.id)
        self._guard.throttle.succeeded(name, self._connection.address, counts=counts)
        self._checked = number, verifier.set_by
        self._failures = 0

    def _fail(self, name: str) -> Steps:
        """Let a wrong password wait; close after a few."""
        self._failures += 1
        self._guard.throttle.failed()
        address = self._connection.address
        self._audit.refused(self._login_of(name), address, Code.WRONG_PASSWORD)
        yield Wait(FAILURE_SECONDS)
        if self._failures >= MOST_FAILURES:
            self._client.close()

    def _login_of(self, name: str) -> str:
        """The login, for the audit: an unknown name may be a password, typed a line too early."""
        known = self._state().account_named(name) is not None
        return f"login of {name}" if known else "login of an unknown name"

    @property
    def _wrong(self) -> str:
        if self._failures >= MOST_FAILURES:
            return f"wrong password, {self._failures} times: connect again"
        if self._guard.open_to_all or self._client.id:
            return "wrong password: try again"
        return "wrong password, or no such account: accounts are made by invitation"


def _check_result(result: Result) -> int:
    """The applied entry's id.

    Raises:
        RefusedError: the command was refused.
    """
    if isinstance(result, Accepted):
        return result.id
    raise RefusedError(result.code, explanation(result.code, result.about))
