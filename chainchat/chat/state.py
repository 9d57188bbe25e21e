"""The chat's state, and the only function that changes it: ``apply``.

Every node applies the same entries in the same order and must come to the same state, so nothing
here depends on anything else. A refusal changes nothing but the memory of itself; any other
exception is a bug and must stop the node.

Invariants, named where they are kept:

- *once per origin*: an origin numbers its requests 1, 2, 3 … and submits them again when the chain
  has changed; each is applied once, in that order. A number out of turn has no effect.
- *living origins*: only a member's life has sessions. Entries of a departed origin have no effect.
- *one session*: an account has at most one session, a session one account.
- *once per program*: a SEND number is applied once. Repeated, it gives the same result, or is
  refused if the result is forgotten (see ``programs``).
- *seen by all*: no message is removed that some account has not seen, unless operators want it so.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from operator import attrgetter, lt

from msgspec import DecodeError, msgpack
from msgspec.structs import replace

from chainchat.chat import commands, rights
from chainchat.chat.accounts import Account, AccountRecords, Verifier
from chainchat.chat.bounds import USUAL_BOUNDS, Bounds
from chainchat.chat.commands import TO_EVERYBODY, UNKNOWN, AnyCommand, origin_of
from chainchat.chat.lookalikes import LookAlikes
from chainchat.chat.names import SortedNames
from chainchat.chat.outcomes import (
    NO_EFFECT,
    NOTHING_REMOVED,
    Accepted,
    AllAccepted,
    Event,
    Held,
    Joined,
    Left,
    Outcome,
    Refused,
    Removed,
    Result,
    Said,
)
from chainchat.chat.programs import Program, Programs
from chainchat.chat.records import ACCOUNTS_SLOT, DIGEST_OCTETS, SLOTS, Digest, Record
from chainchat.chat.refusals import Code
from chainchat.chat.rights import RefusedAtApplyError
from chainchat.chat.snapshots import Head, Snapshot

_seen = attrgetter("seen")


class ChatState:
    """All accounts, sessions, read marks, and the requests that were done.

    Messages are in the log.

    Attributes:
        applied: sequence number of the newest applied entry.
        time: its time, UTC milliseconds.
        origins: the living origins, each with its highest applied number.
        accounts: by number.
        salting: the secret that the salts of unknown names are made from; empty until needed.
        removed: the messages that nobody is shown any more; the log may lose their entries.
    """

    def __init__(self, bounds: Bounds = USUAL_BOUNDS) -> None:
        """The state before the first entry."""
        self.applied = 0
        self.time = 0
        self.origins: dict[str, int] = {}
        self.accounts: dict[int, Account] = {}
        self.salting = b""
        self.removed = NOTHING_REMOVED
        self._names: dict[str, int] = {}
        self._roll = SortedNames()
        """The keys of ``_names``."""
        self._alike = LookAlikes()
        """Likewise."""
        self._present = SortedNames()
        """Keys of the names that are on."""
        self._sessions: dict[str, int] = {}
        self._sessions_at: dict[str, set[str]] = {}
        """By origin."""
        self._records = AccountRecords(bounds)
        self._programs = Programs(bounds, self._outdate)
        self._digest = Digest()
        self._bounds = bounds

    # --- looking

    def account_named(self, name: str) -> Account | None:
        """The account of this name, in any case."""
        number = self._names.get(name.lower())
        return None if number is None else self.accounts[number]

    def account_like(self, name: str) -> Account | None:
        """An account whose name looks like this one."""
        key = next(self._alike.of(name), None)
        return None if key is None else self.accounts[self._names[key]]

    def account_of(self, session: str) -> Account | None:
        """The account that ``session`` holds."""
        number = self._sessions.get(session)
        return None if number is None else self.accounts[number]

    def names(self) -> list[str]:
        """The names of all accounts, sorted regardless of case."""
        return [account.name for account in self.accounts_after("", len(self._names))]

    def present(self) -> list[str]:
        """The names of the accounts that are on, sorted regardless of case."""
        return [account.name for account in self.present_after("", len(self._sessions))]

    def accounts_after(self, name: str, count: int) -> list[Account]:
        """The first ``count`` accounts whose names come after ``name``, regardless of case."""
        later = islice(self._roll.after(name.lower()), count)
        return [self.accounts[self._names[n]] for n in later]

    def present_after(self, name: str, count: int) -> list[Account]:
        """The same of the accounts that are on."""
        later = islice(self._present.after(name.lower()), count)
        return [self.accounts[self._names[n]] for n in later]

    # --- snapshots

    def snapshot(self) -> Snapshot:
        """The changes since the last snapshot, all of whose records were asked for."""
        records = chain(self._records.snapshot(self.applied), self._programs.snapshot())
        return Snapshot(self.applied, self._head(), self._digested(records), self._digest)

    def _digested(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            self._digest.put(*record)
            yield record

    def _head(self) -> bytes:
        origins = dict(sorted(self.origins.items()))
        newest, room = self._records.newest, self._records.room
        head = Head(self.applied, self.time, origins, newest, room, self.salting, self.removed)
        return head.encoded()

    def image(self) -> bytes:
        """The whole state as octets; equal states give equal octets."""
        records = dict(sorted(chain(self._records.all(), self._programs.all())))
        return msgpack.encode((self._head(), records))

    @classmethod
    def restored(
        cls, head: bytes, records: Iterable[Record], bounds: Bounds = USUAL_BOUNDS
    ) -> "ChatState":
        """The state from the newest records of its snapshots, in the order of their keys.

        Raises:
            msgspec.DecodeError: they are corrupt.
        """
        state = cls(bounds)
        digest, head = head[:DIGEST_OCTETS], head[DIGEST_OCTETS:]
        decoded = msgpack.decode(head, type=Head)
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
        if state._digest.with_head(head) != digest:
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
            seq: the entry's sequence number; of several, the last.
            origin: where the request came in; empty for an epoch's first entry.
            number: the origin's own of the request.
            time: UTC milliseconds.
        """
        assert seq == self.applied + commands.span(command)
        self.applied, self.time = seq, time
        if origin and not self._in_turn(origin, number):
            return NO_EFFECT
        if isinstance(command, commands.Say):
            return self._say(command, seq, time)
        events: list[Event] = []
        try:
            result: Result = self._dispatch(command, seq, events)
        except RefusedAtApplyError as refusal:
            result = Refused(refusal.code, refusal.about)
        return Outcome((result,), events)

    def skip(self, seq: int, time: int) -> Outcome:
        """Skip an entry with nothing to apply."""
        self.applied, self.time = seq, time
        return NO_EFFECT

    def _in_turn(self, origin: str, number: int) -> bool:
        """*living origins*, *once per origin*."""
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
        for session in sorted(chain.from_iterable(sessions)):
            self._leave(session, "lost", events)

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
        self._leave(account.session, reason, events, by)

    def _leave(self, session: str, reason: str, events: list[Event], by: str = "") -> None:
        account = self.accounts[self._sessions.pop(session)]
        self._records.changing(account)
        account.session = ""
        self._present.remove(_key(account.name))
        events.append(Left(account.number, account.name, session, reason, by))

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
            self._records.changing(account)
            account.seen = seen

    def furthest_behind(self) -> Account | None:
        """The account that has seen least; None if there is no account.

        Takes as long as there are accounts: 50 ms for a million.
        """
        return min(self.accounts.values(), key=_seen, default=None)

    def seen_by_all(self) -> int:
        """The id up to which every account has seen its messages; takes as long."""
        behind = self.furthest_behind()
        return self.applied if behind is None else behind.seen

    def _forget(self, command: commands.Forget) -> None:
        """*seen by all*: nothing goes that somebody has still to see, unless it is to go anyway."""
        most = self.applied if command.unread else min(self.seen_by_all() + 1, self.applied)
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
        """The name of the operator who holds ``session``; both are empty for a node's owner."""
        if not session:
            return ""
        operator = self._holder(session)
        rights.check_operator(operator)
        return operator.name

    def _end_all(self, account: Account, reason: str, events: list[Event], by: str) -> None:
        """End the account's session and its token."""
        if account.session:
            self._detach(account, reason, events, by)
        self._records.changing(account)
        account.token = b""

    # --- saying, once

    def _say(self, say: commands.Say, seq: int, time: int) -> Outcome:
        account, sayings = self._sessions.get(say.session), say.sayings
        if account is None:
            return Outcome([Refused(Code.SESSION_ENDED) for _ in sayings])
        ids = range(seq - len(sayings) + 1, seq + 1)
        to_all = {saying.recipient for saying in sayings} == {TO_EVERYBODY}
        if not say.client:
            return _said_to_all(say, ids, time) if to_all else self._say_each(say, ids, time)
        numbers = [saying.number for saying in sayings]
        known = self._programs.find(account, say.client)
        highest = self.accounts[account].outdated if known is None else known.highest
        if (known is None or not known.numbers) and max(numbers) <= highest:  # *never again*
            return Outcome([Refused(Code.NUMBER_FORGOTTEN) for _ in sayings])
        program = self._programs.use(account, say.client, seq, highest)
        remembered = len(program.numbers)
        if to_all and highest < numbers[0] and _ascend(numbers):
            outcome = _said_to_all(say, ids, time)
            program.remember(numbers, [saying.checksum for saying in sayings], [*ids])
        else:
            outcome = self._say_each(say, ids, time, program)
        self._programs.said(program, remembered)
        return outcome

    def _say_each(
        self, say: commands.Say, ids: range, time: int, program: Program | None = None
    ) -> Outcome:
        results: list[Result] = []
        heard: list[Said] = []
        for id_, saying in zip(ids, say.sayings, strict=True):
            if program is not None and saying.number <= program.highest:  # *once per program*
                results.append(_answer(program, saying))
                continue
            recipient = self._recipient(saying)
            if recipient is None:
                result: Result = Refused(Code.NO_SUCH_ACCOUNT, saying.to)
            else:
                heard.append(Said(id_, time, say.account, say.sender, *recipient, saying.text))
                result = Accepted(id_)
            results.append(result)
            if program is not None:
                value = id_ if isinstance(result, Accepted) else -result.code
                program.remember([saying.number], [saying.checksum], [value])
        return Outcome(results, said=heard)

    def next_number(self, account: int, client: str) -> int:
        """The lowest number that a new SEND of this program can have."""
        return self._highest(account, client) + 1

    def _highest(self, account: int, client: str) -> int:
        program = self._programs.find(account, client)
        return self.accounts[account].outdated if program is None else program.highest

    def _outdate(self, number: int, highest: int) -> None:
        """Note that a forgotten program's numbers must not be used again."""
        account = self.accounts[number]
        if account.outdated < highest:
            self._records.changing(account)
            account.outdated = highest

    def _recipient(self, saying: commands.Saying) -> tuple[int, str] | None:
        """Number and name of the account; None if there is none."""
        if saying.recipient == TO_EVERYBODY:
            return TO_EVERYBODY, saying.to
        account = self._find(saying.recipient, saying.to)
        return None if account is None else (account.number, account.name)


def _ascend(numbers: list[int]) -> bool:
    return len(numbers) == 1 or all(map(lt, numbers, numbers[1:]))


def _said_to_all(say: commands.Say, ids: range, time: int) -> Outcome:
    """New messages to everybody, as nearly all are: a hundred thousand a second."""
    account, sender = say.account, say.sender
    heard = [
        Said(id_, time, account, sender, TO_EVERYBODY, saying.to, saying.text)
        for id_, saying in zip(ids, say.sayings, strict=True)
    ]
    return Outcome(AllAccepted(ids), said=heard)


def _answer(program: Program, saying: commands.Saying) -> Result:
    """The answer to a SEND whose number is not new."""
    found = program.find(saying.number)
    if found is None:
        return Refused(Code.NUMBER_FORGOTTEN)
    checksum, value = found
    if checksum != saying.checksum:
        return Refused(Code.NUMBER_REUSED)
    if value > 0:
        return Accepted(value, again=True)
    return Refused(Code(-value), saying.to, again=True)


def _key(name: str) -> str:
    """A name in lower case; the same object if it is already, to save memory."""
    key = name.lower()
    return name if key == name else key
