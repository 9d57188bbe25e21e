"""Accounts, and the records that store them."""

from collections.abc import Iterator
from copy import copy
from enum import IntEnum
from operator import attrgetter

from msgspec import Struct, msgpack

from chainchat.chat.bounds import Bounds
from chainchat.chat.records import ACCOUNTS_SLOT, Record, key_of

_seen = attrgetter("seen")


class AccountRole(IntEnum):
    """An operator may also invite, kick, delete others and reset passwords."""

    USER = 0
    OPERATOR = 1


class Verifier(Struct, frozen=True, array_like=True, gc=False):
    """What the chain keeps of a password (RFC 5802, section 3); it lets nobody log in.

    Attributes:
        set_by: id of the entry that set it; tells the account's verifiers apart.
        once: somebody else made the password: it admits only to set another.
    """

    salt: bytes
    iterations: int
    stored: bytes
    server: bytes
    set_by: int = 0
    once: bool = False


class Account(Struct, array_like=True, gc=False):
    """An account.

    Attributes:
        number: id of the entry that created it.
        name: as first written.
        seen: the read mark.
        session: empty if away.
        token: SHA-256; empty if none may resume.
        record: number of its record's first account.
        outdated: the highest SEND number of its forgotten programs.
        role: an operator always has a password.
    """

    number: int
    name: str
    seen: int
    session: str = ""
    token: bytes = b""
    record: int = 0
    outdated: int = 0
    role: AccountRole = AccountRole.USER
    verifier: Verifier | None = None

    @property
    def secret(self) -> int:
        """Id of the entry that set its password; 0: none."""
        return 0 if self.verifier is None else self.verifier.set_by


class _Plain(Struct, array_like=True, gc=False):
    """A user without a password, stored as before there were any.

    An old record stays until one of its accounts changes, and nodes must have equal octets.
    """

    number: int
    name: str
    seen: int
    session: str
    token: bytes
    record: int
    outdated: int


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(list[Account])


class AccountRecords:
    """All accounts, in records of some that were created one after the other.

    While a snapshot is written, the old version of each changing account is kept.

    Attributes:
        newest: number of the newest record's first account.
        room: how many more accounts fit in that record.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.newest = 0
        self.room = 0
        self._bounds = bounds
        self._records: dict[int, list[Account]] = {}
        self._changed: set[int] = set()
        self._snapshot_at = 0
        self._unwritten: set[int] = set()
        """Records of the snapshot that are not written yet."""
        self._before: dict[int, Account] = {}
        """Accounts in these that have changed, as they were."""
        self._removed: dict[int, list[Account]] = {}
        """Accounts in these that were removed since, by record."""
        self._least: dict[int, int] = {}
        """The least read mark in each record, where it is known."""

    def add(self, account: Account) -> None:
        if not self.room:
            self.newest, self.room = account.number, self._bounds.accounts_in_record
        self.room -= 1
        account.record = self.newest
        accounts = self._records.setdefault(account.record, [])
        if not accounts:
            self._least[account.record] = account.seen  # nobody has seen more
        accounts.append(account)
        self._changed.add(account.record)

    def changing(self, account: Account) -> None:
        record = account.record
        self._changed.add(record)
        if record in self._unwritten and account.number not in self._before:
            self._before[account.number] = copy(account)

    def see(self, account: Account, seen: int) -> None:
        self.changing(account)
        self._leaves(account)
        account.seen = seen

    def _leaves(self, account: Account) -> None:
        """Forget the least mark of its record, if it is the account's."""
        if self._least.get(account.record) == account.seen:
            del self._least[account.record]

    def furthest_behind(self) -> Account | None:
        """Return who has seen least; looks at few of many accounts."""
        for record in self._records.keys() - self._least.keys():
            self._least[record] = min(map(_seen, self._records[record]))
        if not self._least:
            return None
        record = min(self._least, key=self._least.__getitem__)
        return min(self._records[record], key=_seen)

    def remove(self, account: Account) -> None:
        record = account.record
        self.changing(account)
        self._leaves(account)
        before = self._before.pop(account.number, None)
        if before is not None and before.number <= self._snapshot_at:
            self._removed.setdefault(record, []).append(before)
        accounts = self._records[record]
        accounts.remove(account)
        if not accounts:
            del self._records[record]
            self._least.pop(record, None)

    # --- snapshots

    def snapshot(self, seq: int) -> Iterator[Record]:
        """Return the records changed since the last snapshot, as they are now."""
        assert not self._unwritten
        self._snapshot_at = seq
        self._unwritten, self._changed = self._changed, set()
        return self._write(sorted(self._unwritten))

    def _write(self, records: list[int]) -> Iterator[Record]:
        for record in records:
            self._unwritten.discard(record)
            yield key_of(record, ACCOUNTS_SLOT), _encoded(self._as_it_was(record))

    def _as_it_was(self, record: int) -> list[Account]:
        accounts, before = self._records.get(record, []), self._before
        then = [before.pop(account.number, account) for account in accounts]
        then = [account for account in then if account.number <= self._snapshot_at]
        removed = self._removed.pop(record, [])
        if removed:
            then = sorted(then + removed, key=lambda account: account.number)
        return then

    def all(self) -> Iterator[Record]:
        for record, accounts in self._records.items():
            yield key_of(record, ACCOUNTS_SLOT), _encoded(accounts)

    def restore(self, data: bytes) -> list[Account]:
        """Take in a record, and return its accounts.

        Raises:
            msgspec.DecodeError: it is corrupt.
        """
        accounts = _decoder.decode(data)
        for account in accounts:
            account.record = accounts[0].record  # one object for all, to save memory
        self._records[accounts[0].record] = accounts
        self._least[accounts[0].record] = min(map(_seen, accounts))
        return accounts


def _encoded(accounts: list[Account]) -> bytes:
    return _encoder.encode([_shortest(account) for account in accounts]) if accounts else b""


def _shortest(account: Account) -> Account | _Plain:
    if account.role or account.verifier is not None:
        return account
    a = account
    return _Plain(a.number, a.name, a.seen, a.session, a.token, a.record, a.outdated)
