"""The chat's state, and the only function that changes it: ``apply``.

Every node applies the same entries in the same order and must come to the same state. A refusal
changes only the memory of itself; any other exception is a bug and must stop the node.

Invariants, named where they are kept:

- *once per origin*: an origin numbers its requests 1, 2, 3 … and submits them again when the chain
  has changed; each is applied once, in that order.
- *living origins*: only a member's life has sessions. Entries of a departed origin have no effect.
- *one session*: an account has at most one session, a session one account.
- *once per program*: see ``saying``.
- *seen by all*: no message goes that some account has not seen, unless operators want it so.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from msgspec import DecodeError, msgpack
from msgspec.structs import replace

from chainchat.chat import commands, rights
from chainchat.chat.accounts import Account, AccountRecords, Verifier
from chainchat.chat.bounds import USUAL_BOUNDS, Bounds
from chainchat.chat.commands import UNKNOWN, AnyCommand, origin_of
from chainchat.chat.lookalikes import LookAlikes
from chainchat.chat.names import SortedNames
from chainchat.chat.outcomes import (
    NO_EFFECT,
    NOTHING_REMOVED,
    Accepted,
    Event,
    Held,
    Joined,
    Left,
    Outcome,
    Refused,
    Removed,
    Result,
)
from chainchat.chat.programs import Programs
from chainchat.chat.records import ACCOUNTS_SLOT, DIGEST_OCTETS, SLOTS, Digest, Record
from chainchat.chat.refusals import Code
from chainchat.chat.rights import RefusedAtApplyError
from chainchat.chat.saying import Sayings
from chainchat.chat.snapshots import Header, Snapshot


class ChatState:
    """Accounts, sessions, read marks and remembered requests; messages are in the log.

    Attributes:
        applied, time: the newest applied entry, and its UTC milliseconds.
        origins: the living ones, each with its highest applied number.
        salting: the secret for the salts of unknown names; empty until needed.
        removed: messages shown to nobody; the log may lose their entries.
    """

    def __init__(self, bounds: Bounds = USUAL_BOUNDS) -> None:
        self.applied = 0
        self.time = 0
        self.origins: dict[str, int] = {}
        self.accounts: dict[int, Account] = {}
        self.salting = b""
        self.removed = NOTHING_REMOVED
        self._names: dict[str, int] = {}
        self._roll = SortedNames()
        self._alike = LookAlikes()
        self._present = SortedNames()
        self._sessions: dict[str, int] = {}
        self._sessions_at: dict[str, set[str]] = {}
        self._records = AccountRecords(bounds)
        self._programs = Programs(bounds, self._outdate)
        self._sayings = Sayings(self.accounts, self._programs, self._find)
        self._digest = Digest()
        self._bounds = bounds

    # --- looking

    def account_named(self, name: str) -> Account | None:
        number = self._names.get(name.lower())
        return None if number is None else self.accounts[number]

    def account_like(self, name: str) -> Account | None:
        key = next(self._alike.of(name), None)
        return None if key is None else self.accounts[self._names[key]]

    def account_of(self, session: str) -> Account | None:
        number = self._sessions.get(session)
        return None if number is None else self.accounts[number]

    def accounts_after(self, name: str, count: int) -> list[Account]:
        later = islice(self._roll.after(name.lower()), count)
        return [self.accounts[self._names[n]] for n in later]

    def present_after(self, name: str, count: int) -> list[Account]:
        later = islice(self._present.after(name.lower()), count)
        return [self.accounts[self._names[n]] for n in later]

    # --- snapshots

    def snapshot(self) -> Snapshot:
        """Return the changes since the last snapshot, whose records must all have been taken."""
        records = chain(self._records.snapshot(self.applied), self._programs.snapshot())
        return Snapshot(self.applied, self._header(), self._digested(records), self._digest)

    def _digested(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            self._digest.put(*record)
            yield record

    def _header(self) -> bytes:
        origins = dict(sorted(self.origins.items()))
        newest, room = self._records.newest, self._records.room
        header = Header(self.applied, self.time, origins, newest, room, self.salting, self.removed)
        return header.encoded()

    def image(self) -> bytes:
        """Return the whole state; equal states give equal octets."""
        records = dict(sorted(chain(self._records.all(), self._programs.all())))
        return msgpack.encode((self._header(), records))

    @classmethod
    def restored(
        cls, header: bytes, records: Iterable[Record], bounds: Bounds = USUAL_BOUNDS
    ) -> "ChatState":
        """Restore a state from the snapshots' newest records, in the order of keys.

        Raises:
            msgspec.DecodeError: they are corrupt.
        """
        state = cls(bounds)
        digest, header = header[:DIGEST_OCTETS], header[DIGEST_OCTETS:]
        decoded = msgpack.decode(header, type=Header)
        state.applied, state.time = decoded.applied, decoded.time
        state.origins, state.salting = decoded.origins, decoded.salting
        state.removed = decoded.removed
        state._records.newest, state._records.room = decoded.newest, decoded.room
        for key, data in state._digested(records):
            seq, slot = divmod(key, SLOTS)
            if slot == ACCOUNTS_SLOT:
                state._restore_accounts(data)
            else:
                state._programs.restore(seq, data)
        state._programs.restored()
        state._roll = SortedNames(state._names)
        state._alike = LookAlikes(state._names)
        if state._digest.with_header(header) != digest:
            raise DecodeError("its records are not those that its digest was made of")
        return state

    def _restore_accounts(self, data: bytes) -> None:
        accounts, names = self.accounts, self._names
        for account in self._records.restore(data):
            accounts[account.number] = account
            names[_key(account.name)] = account.number
            if account.session:
                self._hold(account)

    # --- applying

    def apply(self, seq: int, origin: str, number: int, time: int, command: AnyCommand) -> Outcome:
        """Apply one entry.

        Args:
            seq: the last of its sequence numbers.
            origin: empty for an epoch's first entry.
            number: the origin's own of the request.
            time: UTC milliseconds.
        """
        assert seq == self.applied + commands.span(command)
        self.applied, self.time = seq, time
        if origin and not self._in_turn(origin, number):
            return NO_EFFECT
        if isinstance(command, commands.Say):
            return self._sayings.apply(command, self._sessions.get(command.session), seq, time)
        events: list[Event] = []
        try:
            result: Result = self._dispatch(command, seq, events)
        except RefusedAtApplyError as refusal:
            result = Refused(refusal.code, refusal.about)
        return Outcome((result,), events)

    def skip(self, seq: int, time: int) -> Outcome:
        self.applied, self.time = seq, time
        return NO_EFFECT

    def _in_turn(self, origin: str, number: int) -> bool:
        """*living origins*, *once per origin*: return whether a request counts."""
        if self.origins.get(origin) != number - 1:
            return False
        self.origins[origin] = number
        return True

    def _dispatch(self, command: AnyCommand, seq: int, events: list[Event]) -> Result:
        match command:
            case commands.Seen():
                for account, seen in command.marks:
                    self._see(account, seen)
            case commands.Login():
                self._login(command, seq, events)
            case commands.Resume():
                self._resume(command, events)
            case commands.End() | commands.Logout():
                self._end(command, events)
            case commands.Delete():
                self._delete(command, events)
            case commands.SetSecret():
                self._set_secret(command, seq)
            case commands.Invite():
                self._invite(command, seq, events)
            case commands.Grant():
                self._grant(command)
            case commands.Kick():
                self._kick(command, events)
            case commands.Salting():
                self.salting = self.salting or command.secret
            case commands.Origins():
                self._set_origins(command, events)
            case commands.Forget():
                self._forget(command)
            case commands.Held():
                events.append(Held(command.session, command.silent))
            case commands.Nothing():
                pass
        return Accepted(seq)

    def _set_origins(self, command: commands.Origins, events: list[Event]) -> None:
        self.origins = {origin: self.origins.get(origin, 0) for origin in command.origins}
        gone = [origin for origin in self._sessions_at if origin not in self.origins]
        sessions = [self._sessions_at.pop(origin) for origin in gone]
        left = {self._leave(each, "lost", events) for each in sorted(chain.from_iterable(sessions))}
        if left:  # thousands of names, if a full node died
            self._present.remove_all(left)

    def _login(self, command: commands.Login, seq: int, events: list[Event]) -> None:
        account = self.account_named(command.name)
        rights.check_login(account, command)
        if account is not None and account.session:
            events.append(Held(account.session))
            raise RefusedAtApplyError(Code.NAME_IN_USE, account.name)
        if account is None:
            account = self._new_account(seq, command)
        self._records.changing(account)
        account.token = command.token
        self._attach(account, command.session, events)

    def _new_account(self, seq: int, command: commands.Login | commands.Invite) -> Account:
        name = command.name
        alike = self.account_like(name) if command.refuse_alike else None
        if alike is not None:
            raise RefusedAtApplyError(Code.NAME_LOOKS_ALIKE, alike.name)
        if len(self.accounts) >= self._bounds.accounts:
            raise RefusedAtApplyError(Code.TOO_MANY_ACCOUNTS, name)
        account = self.accounts[seq] = Account(seq, name, seen=seq)
        self._records.add(account)
        key = _key(name)
        self._names[key] = seq
        self._roll.add(key)
        self._alike.add(key)
        return account

    def _resume(self, command: commands.Resume, events: list[Event]) -> None:
        account = self.account_named(command.name)
        if account is None:
            raise RefusedAtApplyError(Code.NO_SUCH_ACCOUNT, command.name)
        if not account.token or account.token != command.token:
            raise RefusedAtApplyError(Code.BAD_TOKEN, command.name)
        if account.session:
            self._detach(account, "moved", events)
        if command.next_token:
            self._records.changing(account)
            account.token = command.next_token
        self._attach(account, command.session, events)

    def _attach(self, account: Account, session: str, events: list[Event]) -> None:
        assert not account.session  # *one session*
        self._records.changing(account)
        account.session = session
        self._hold(account)
        events.append(Joined(account.number, account.name, session))

    def _hold(self, account: Account) -> None:
        session = account.session
        self._sessions[session] = account.number
        self._sessions_at.setdefault(origin_of(session), set()).add(session)
        self._present.add(_key(account.name))

    def _detach(self, account: Account, reason: str, events: list[Event], by: str = "") -> None:
        origin = origin_of(account.session)
        self._sessions_at[origin].remove(account.session)
        if not self._sessions_at[origin]:
            del self._sessions_at[origin]
        self._present.remove(self._leave(account.session, reason, events, by))

    def _leave(self, session: str, reason: str, events: list[Event], by: str = "") -> str:
        """End a session; return the name that is present no more."""
        account = self.accounts[self._sessions.pop(session)]
        self._records.changing(account)
        account.session = ""
        events.append(Left(account.number, account.name, session, reason, by))
        return _key(account.name)

    def _holder(self, session: str) -> Account:
        account = self.account_of(session)
        if account is None:
            raise RefusedAtApplyError(Code.SESSION_ENDED)
        return account

    def _end(self, command: commands.End | commands.Logout, events: list[Event]) -> None:
        account = self._holder(command.session)
        self._see(account.number, command.seen)
        logout = isinstance(command, commands.Logout)
        if isinstance(command, commands.Logout):
            self._records.changing(account)
            account.token = b""
            self._programs.finish(account.number, command.finished)
        self._detach(account, "logout" if logout else "ended", events)

    def _see(self, number: int, seen: int) -> None:
        account = self.accounts.get(number)
        seen = min(seen, self.applied)
        if account is not None and account.seen < seen:
            self._records.see(account, seen)

    def furthest_behind(self) -> Account | None:
        """Return who has seen least."""
        return self._records.furthest_behind()

    def _forget(self, command: commands.Forget) -> None:
        """*seen by all*: remove no more than all accounts have seen, unless told to."""
        behind = None if command.unread else self.furthest_behind()
        most = self.applied if behind is None else min(behind.seen + 1, self.applied)
        before = min(command.before, most)
        if before > max(self.removed.before, 1):
            self.removed = Removed(before, command.days)

    def _delete(self, command: commands.Delete, events: list[Event]) -> None:
        deleter = self._holder(command.session)
        account = self._find(command.account, command.name)
        if account is None:
            raise RefusedAtApplyError(Code.NO_SUCH_ACCOUNT, command.name)
        rights.check_deletion(deleter, account, command)
        if account.session:
            self._detach(account, "deleted", events, by=deleter.name)
        self._records.remove(account)
        del self.accounts[account.number]
        del self._names[account.name.lower()]
        self._roll.remove(account.name.lower())
        self._alike.remove(account.name.lower())
        self._programs.forget_account(account.number)

    def _find(self, number: int, name: str) -> Account | None:
        return self.account_named(name) if number == UNKNOWN else self.accounts.get(number)

    # --- passwords and roles

    def _set_secret(self, command: commands.SetSecret, seq: int) -> None:
        account = self.accounts.get(command.account)
        rights.check_change(account, command)
        assert account is not None
        verifier = command.verifier
        self._give(account, verifier and replace(verifier, set_by=seq, once=False))

    def _give(self, account: Account, verifier: Verifier | None) -> None:
        self._records.changing(account)
        account.verifier = verifier

    def _invite(self, command: commands.Invite, seq: int, events: list[Event]) -> None:
        by = self._operator(command.session)
        account = self.account_named(command.name)
        rights.check_invitation(account, command)
        if account is None:
            account = self._new_account(seq, command)
        self._end_all(account, "reset", events, by)
        self._give(account, replace(command.verifier, set_by=seq))

    def _grant(self, command: commands.Grant) -> None:
        self._operator(command.session)
        account = self.account_named(command.name)
        rights.check_grant(account, command)
        assert account is not None
        self._records.changing(account)
        account.role = command.role

    def _kick(self, command: commands.Kick, events: list[Event]) -> None:
        by = self._operator(command.session)
        account = self.account_named(command.name)
        if account is None:
            raise RefusedAtApplyError(Code.NO_SUCH_ACCOUNT, command.name)
        self._end_all(account, "kicked", events, by)

    def _operator(self, session: str) -> str:
        """Return who holds ``session``; both are empty for a node's owner."""
        if not session:
            return ""
        operator = self._holder(session)
        rights.check_operator(operator)
        return operator.name

    def _end_all(self, account: Account, reason: str, events: list[Event], by: str) -> None:
        if account.session:
            self._detach(account, reason, events, by)
        self._records.changing(account)
        account.token = b""

    # --- saying, once

    def next_number(self, account: int, client: str) -> int:
        return self._sayings.highest(account, client) + 1

    def _outdate(self, number: int, highest: int) -> None:
        """*never again*: keep the highest number of a forgotten program."""
        account = self.accounts[number]
        if account.outdated < highest:
            self._records.changing(account)
            account.outdated = highest


def _key(name: str) -> str:
    """Return the name in lower case; the same object if it is so already, to save memory."""
    key = name.lower()
    return name if key == name else key
