"""The chat's state, and the only function that changes it: ``apply``.

Every node applies the same entries in the same order and must come to the same state, so nothing
here depends on anything but the entries. A refusal changes nothing except what it is remembered in;
any other exception is a bug and has to stop the node.

Invariants, named where they are kept:

- *once per origin*: an origin numbers its requests 1, 2, 3 … and submits them again when the chain
  has changed; each is applied once, in that order. A number out of turn has no effect.
- *living origins*: only a member's life has sessions. Entries of an origin that is gone have no
  effect.
- *one session*: an account has at most one session, a session one account.
- *once per program*: a SEND number is applied once; repeated, it gives the same result.
"""

import hashlib
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

from msgspec import Struct, msgpack

from chainchat.chat import commands
from chainchat.chat.commands import TO_EVERYBODY, UNKNOWN, AnyCommand, origin_of
from chainchat.chat.refusals import Code

REMEMBERED_SENDS = 1_024
"""Of each program: how many results are kept; also how many SENDs may be unanswered."""

FORGET_AFTER = 30 * 24 * 3600 * 1000
"""Milliseconds of entry time after which an unused program's results are forgotten."""


class Account(Struct, gc=False):
    """An account.

    Attributes:
        number: id of the entry that created it.
        name: as it was first written.
        seen: the read mark: messages up to this id were seen.
        session: the session that holds it, empty if it is away.
        token: SHA-256 of the token that may resume, empty if there is none.
    """

    number: int
    name: str
    seen: int
    session: str = ""
    token: bytes = b""


class Program:
    """What is remembered of one program's SENDs.

    The newest that were applied stand in flat arrays: there can be many, and an object for each
    would have left the processor's caches when it is its turn to be forgotten.

    Attributes:
        highest: the highest number applied.
        used: entry time of the last use, UTC milliseconds.
        numbers: the program's, ascending.
        checksums: of what was said, by their place in ``numbers``.
        values: likewise, the message's id, or minus the refusal's code.
    """

    __slots__ = ("checksums", "highest", "numbers", "used", "values")

    def __init__(self, image: "_Program | None" = None) -> None:
        """As of a checkpoint, or new."""
        image = image or _Program()
        self.highest = image.highest
        self.used = image.used
        self.numbers = array("q", image.numbers)
        self.checksums = array("I", image.checksums)
        self.values = array("q", image.values)

    def remember(self, number: int, checksum: int, value: int) -> None:
        """One more SEND was applied."""
        self.highest = number
        self.numbers.append(number)
        self.checksums.append(checksum)
        self.values.append(value)

    def forget_oldest(self) -> None:
        """Keep as many as should be."""
        del self.numbers[:-REMEMBERED_SENDS]
        del self.checksums[:-REMEMBERED_SENDS]
        del self.values[:-REMEMBERED_SENDS]

    def answer(self, saying: commands.Saying) -> "Result":
        """The answer to a SEND whose number is not new."""
        place = bisect_left(self.numbers, saying.number)
        if place == len(self.numbers) or self.numbers[place] != saying.number:
            return Refused(Code.NUMBER_FORGOTTEN)
        if self.checksums[place] != saying.checksum:
            return Refused(Code.NUMBER_REUSED)
        value = self.values[place]
        if value > 0:
            return Accepted(value, again=True)
        return Refused(Code(-value), saying.to, again=True)

    def image(self, account: int, client: str) -> "_Program":
        """For a checkpoint."""
        arrays = self.numbers.tolist(), self.checksums.tolist(), self.values.tolist()
        return _Program(account, client, self.highest, self.used, *arrays)


# --- what applying an entry gives


class Accepted(Struct, frozen=True, gc=False):
    """The request was done.

    ``id``: of the message, or of the entry. ``again``: it was done before.
    """

    id: int
    again: bool = False


class Refused(Struct, frozen=True):
    """The request was refused; ``about``: the name that the text is about.

    ``again``: it was refused before.
    """

    code: Code
    about: str = ""
    again: bool = False


class Said(Struct, frozen=True, gc=False):
    """A message was said.

    ``recipient``: account number or TO_EVERYBODY; ``sender_account``: the sender's.
    """

    id: int
    time: int
    sender_account: int
    sender: str
    recipient: int
    to: str
    text: str


class Joined(Struct, frozen=True):
    """A session holds the account now; ``created``: the account is new."""

    account: int
    name: str
    session: str
    created: bool


class Left(Struct, frozen=True):
    """A session holds the account no more.

    Attributes:
        reason: ``ended``, ``logout``, ``moved``, ``deleted`` or ``lost`` (with its node).
        by: who deleted it.
    """

    account: int
    name: str
    session: str
    reason: str
    by: str = ""


class Held(Struct, frozen=True):
    """Somebody else wants the name that ``session`` holds.

    ``silent``: for how many seconds its connection has been, -1 if nobody can tell. None: nobody
    has looked yet.
    """

    session: str
    silent: int | None = None


class Deleted(Struct, frozen=True):
    """An account is gone."""

    account: int
    name: str


Result = Accepted | Refused
Event = Joined | Left | Held | Deleted


class Outcome(Struct, frozen=True):
    """What came of one entry.

    Attributes:
        results: for whoever asked: one for each sequence number, none if it had no effect.
        events: what all may see of accounts and sessions.
        said: the messages.
    """

    results: Sequence[Result] = ()
    events: Sequence[Event] = ()
    said: Sequence[Said] = ()


NO_EFFECT = Outcome()


class RefusedAtApplyError(Exception):
    """Inside ``apply``: nothing was changed, this is the answer."""

    def __init__(self, code: Code, about: str = "") -> None:
        super().__init__(code.name)
        self.refused = Refused(code, about)


class _Program(Struct, array_like=True):
    """A program in a checkpoint: see ``Program``."""

    account: int = 0
    client: str = ""
    highest: int = 0
    used: int = 0
    numbers: list[int] = []
    checksums: list[int] = []
    values: list[int] = []


class _Image(Struct, array_like=True):
    """A checkpoint. Sessions, names and so on can be computed from the accounts."""

    applied: int
    time: int
    origins: dict[str, int]
    accounts: list[Account]
    programs: list[_Program]
    """Least recently used first."""


class ChatState:
    """Who has an account, who is on, who has seen what, which requests were done.

    Messages are not part of it: they are in the log.

    Attributes:
        applied: sequence number of the newest entry applied.
        time: its time, UTC milliseconds.
        origins: the living origins, with the highest number applied of each.
        accounts: by number.
    """

    def __init__(self) -> None:
        self.applied = 0
        self.time = 0
        self.origins: dict[str, int] = {}
        self.accounts: dict[int, Account] = {}
        self._names: dict[str, int] = {}
        self._roll: list[str] = []
        """The keys of ``_names``, sorted."""
        self._present: list[str] = []
        """The same of those who are on."""
        self._sessions: dict[str, int] = {}
        self._remembered = 0
        """How many SENDs of all programs are remembered."""
        self._programs: dict[tuple[int, str], Program] = {}
        """Least recently used first."""
        self._forget_at = 0
        """Before this time, UTC milliseconds, no program is due to be forgotten."""

    # --- looking

    def account_named(self, name: str) -> Account | None:
        """The account of this name, upper and lower case being the same."""
        number = self._names.get(name.lower())
        return None if number is None else self.accounts[number]

    def account_of(self, session: str) -> Account | None:
        """The account that ``session`` holds."""
        number = self._sessions.get(session)
        return None if number is None else self.accounts[number]

    def names(self) -> list[str]:
        """All accounts' names, sorted without regard to case."""
        return [account.name for account in self.accounts_after("", len(self._roll))]

    def present(self) -> list[str]:
        """The names of the accounts that are on, sorted without regard to case."""
        return [account.name for account in self.present_after("", len(self._present))]

    def accounts_after(self, name: str, count: int) -> list[Account]:
        """The first ``count`` accounts whose names come after ``name``, whatever the case."""
        start = bisect_right(self._roll, name.lower())
        return [self.accounts[self._names[n]] for n in self._roll[start : start + count]]

    def present_after(self, name: str, count: int) -> list[Account]:
        """The same of those accounts that are on."""
        start = bisect_right(self._present, name.lower())
        return [self.accounts[self._names[n]] for n in self._present[start : start + count]]

    # --- checkpoints

    @property
    def size(self) -> int:
        """Records in an image, which takes that much longer to make."""
        return len(self.accounts) + self._remembered

    def image(self) -> bytes:
        """The whole state as bytes; equal states give equal bytes."""
        accounts = sorted(self.accounts.values(), key=lambda account: account.number)
        programs = [
            program.image(account, client) for (account, client), program in self._programs.items()
        ]
        origins = dict(sorted(self.origins.items()))
        return msgpack.encode(_Image(self.applied, self.time, origins, accounts, programs))

    @classmethod
    def from_image(cls, image: bytes) -> "ChatState":
        """The state that ``image`` was made from.

        Raises:
            msgspec.DecodeError: the image is corrupt.
        """
        decoded = msgpack.decode(image, type=_Image)
        state = cls()
        state.applied = decoded.applied
        state.time = decoded.time
        state.origins = decoded.origins
        for account in decoded.accounts:
            state.accounts[account.number] = account
            state._names[_key(account.name)] = account.number
            if account.session:
                state._sessions[account.session] = account.number
        state._roll = sorted(state._names)
        state._present = sorted(_key(state.accounts[n].name) for n in state._sessions.values())
        for program in decoded.programs:
            state._remembered += len(program.numbers)
            state._programs[program.account, program.client] = Program(program)
        return state

    @staticmethod
    def digest(image: bytes) -> bytes:
        """A short digest of an image, for nodes to compare."""
        return hashlib.sha256(image).digest()[:16]

    # --- applying

    def apply(self, seq: int, origin: str, number: int, time: int, command: AnyCommand) -> Outcome:
        """Apply one entry.

        Args:
            seq: the entry's sequence number: the next one, or the last of those that it takes.
            origin: where the request came in; empty for an epoch's first entry.
            number: the origin's number of it.
            time: UTC milliseconds.
            command: what to do.
        """
        assert seq == self.applied + commands.span(command)
        self.applied, self.time = seq, time
        if origin and not self._in_turn(origin, number):
            return NO_EFFECT
        if time >= self._forget_at:
            self._forget_programs(time)
        if isinstance(command, commands.Say):
            return self._say(command, seq, time)
        events: list[Event] = []
        try:
            result: Result = self._dispatch(command, seq, events)
        except RefusedAtApplyError as refusal:
            result = refusal.refused
        return Outcome((result,), events)

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
            case commands.Origins():
                self._set_origins(command, events)
            case commands.Held():
                events.append(Held(command.session, command.silent))
            case commands.Nothing():
                pass
        return Accepted(seq)

    def _set_origins(self, command: commands.Origins, events: list[Event]) -> None:
        self.origins = {origin: self.origins.get(origin, 0) for origin in command.origins}
        for session, number in sorted(self._sessions.items()):
            if origin_of(session) not in self.origins:
                self._let_go(self.accounts[number], "lost", events)
        self._present = [n for n in self._present if self.accounts[self._names[n]].session]

    def _login(self, command: commands.Login, seq: int, events: list[Event]) -> None:
        account = self.account_named(command.name)
        if account is not None and account.session:
            events.append(Held(account.session))
            raise RefusedAtApplyError(Code.NAME_IN_USE, account.name)
        created = account is None
        if account is None:
            account = Account(seq, command.name, seen=seq)
            self.accounts[seq] = account
            key = _key(command.name)
            self._names[key] = seq
            insort(self._roll, key)
        account.token = command.token
        self._attach(account, command.session, events, created=created)

    def _resume(self, command: commands.Resume, events: list[Event]) -> None:
        account = self.account_named(command.name)
        if account is None:
            raise RefusedAtApplyError(Code.NO_SUCH_ACCOUNT, command.name)
        if not account.token or account.token != command.token:
            raise RefusedAtApplyError(Code.BAD_TOKEN, command.name)
        if account.session:
            self._detach(account, "moved", events)
        self._attach(account, command.session, events, created=False)

    def _attach(
        self, account: Account, session: str, events: list[Event], *, created: bool
    ) -> None:
        assert not account.session  # *one session*
        account.session = session
        self._sessions[session] = account.number
        insort(self._present, _key(account.name))
        events.append(Joined(account.number, account.name, session, created))

    def _detach(self, account: Account, reason: str, events: list[Event], by: str = "") -> None:
        self._let_go(account, reason, events, by)
        del self._present[bisect_left(self._present, account.name.lower())]

    def _let_go(self, account: Account, reason: str, events: list[Event], by: str = "") -> None:
        """The account is on no more; it stays in ``_present``."""
        session, account.session = account.session, ""
        del self._sessions[session]
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
        if logout:
            account.token = b""
        self._detach(account, "logout" if logout else "ended", events)

    def _see(self, number: int, seen: int) -> None:
        account = self.accounts.get(number)
        if account is not None:
            account.seen = max(account.seen, min(seen, self.applied))

    def _delete(self, command: commands.Delete, events: list[Event]) -> None:
        deleter = self._holder(command.session)
        account = self._find(command.account, command.name)
        if account is None:
            raise RefusedAtApplyError(Code.NO_SUCH_ACCOUNT, command.name)
        if account.session:
            self._detach(account, "deleted", events, by=deleter.name)
        del self.accounts[account.number]
        del self._names[account.name.lower()]
        del self._roll[bisect_left(self._roll, account.name.lower())]
        for key in [key for key in self._programs if key[0] == account.number]:
            self._forget(key)
        events.append(Deleted(account.number, account.name))

    def _find(self, number: int, name: str) -> Account | None:
        return self.account_named(name) if number == UNKNOWN else self.accounts.get(number)

    # --- saying, once

    def _say(self, say: commands.Say, seq: int, time: int) -> Outcome:
        number = self._sessions.get(say.session)
        if number is None:
            return Outcome([Refused(Code.SESSION_ENDED) for _ in say.sayings])
        program = self._program(number, say.client, time) if say.client else None
        remembered = 0 if program is None else len(program.numbers)
        results: list[Result] = []
        heard: list[Said] = []
        for id_, saying in enumerate(say.sayings, seq - len(say.sayings) + 1):
            if program is not None and saying.number <= program.highest:  # *once per program*
                results.append(program.answer(saying))
                continue
            if saying.recipient == TO_EVERYBODY:  # nearly every message
                heard.append(
                    Said(id_, time, say.account, say.sender, TO_EVERYBODY, saying.to, saying.text)
                )
                result: Result = Accepted(id_)
            else:
                result = self._say_to_one(say, saying, id_, time, heard)
            results.append(result)
            if program is not None:
                value = id_ if isinstance(result, Accepted) else -result.code
                program.remember(saying.number, saying.checksum, value)
        if program is not None:
            program.forget_oldest()
            self._remembered += len(program.numbers) - remembered
        return Outcome(results, said=heard)

    def _say_to_one(
        self, say: commands.Say, saying: commands.Saying, id_: int, time: int, heard: list[Said]
    ) -> Result:
        account = self._find(saying.recipient, saying.to)
        if account is None:
            return Refused(Code.NO_SUCH_ACCOUNT, saying.to)
        text, sender = saying.text, say.account
        heard.append(Said(id_, time, sender, say.sender, account.number, account.name, text))
        return Accepted(id_)

    def _program(self, account: int, client: str, time: int) -> Program:
        """The program's record, made the most recently used one."""
        program = self._programs.pop((account, client), None) or Program()
        program.used = time
        self._programs[account, client] = program
        return program

    def _forget_programs(self, time: int) -> None:
        for key, program in list(self._programs.items()):
            if time - program.used < FORGET_AFTER:
                self._forget_at = program.used + FORGET_AFTER
                return
            self._forget(key)
        self._forget_at = time + FORGET_AFTER

    def _forget(self, program: tuple[int, str]) -> None:
        self._remembered -= len(self._programs.pop(program).numbers)


def _key(name: str) -> str:
    """A name in lower case; itself where it is that already, so that it is in memory once."""
    key = name.lower()
    return name if key == name else key
