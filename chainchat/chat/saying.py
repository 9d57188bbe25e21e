"""Messages, and the SENDs of programs.

*once per program*: a SEND number is applied once. A repetition gives the same result, or is refused
if the result is forgotten (``programs``).
"""

from collections.abc import Callable
from operator import lt

from chainchat.chat.accounts import Account
from chainchat.chat.commands import TO_EVERYBODY, Say, Saying
from chainchat.chat.outcomes import Accepted, AllAccepted, Outcome, Refused, Result, Said
from chainchat.chat.programs import Program, Programs
from chainchat.chat.refusals import Code


class Sayings:
    """Applies what accounts say."""

    def __init__(
        self,
        accounts: dict[int, Account],
        programs: Programs,
        find: Callable[[int, str], Account | None],
    ) -> None:
        """``find``: an account by number or, if that is UNKNOWN, by name."""
        self._accounts = accounts
        self._programs = programs
        self._find = find

    def apply(self, say: Say, account: int | None, seq: int, time: int) -> Outcome:
        """Apply one entry.

        Args:
            account: the one that holds the session; None: nobody does.
            seq: the last message's.
            time: UTC milliseconds.
        """
        sayings = say.sayings
        if account is None:
            return Outcome([Refused(Code.SESSION_ENDED) for _ in sayings])
        ids = range(seq - len(sayings) + 1, seq + 1)
        to_all = {saying.recipient for saying in sayings} == {TO_EVERYBODY}
        if not say.client:
            return _said_to_all(say, ids, time) if to_all else self._say_each(say, ids, time)
        numbers = [saying.number for saying in sayings]
        known = self._programs.find(account, say.client)
        highest = self._accounts[account].outdated if known is None else known.highest
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

    def _say_each(self, say: Say, ids: range, time: int, program: Program | None = None) -> Outcome:
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

    def highest(self, account: int, client: str) -> int:
        program = self._programs.find(account, client)
        return self._accounts[account].outdated if program is None else program.highest

    def _recipient(self, saying: Saying) -> tuple[int, str] | None:
        if saying.recipient == TO_EVERYBODY:
            return TO_EVERYBODY, saying.to
        account = self._find(saying.recipient, saying.to)
        return None if account is None else (account.number, account.name)


def _ascend(numbers: list[int]) -> bool:
    return len(numbers) == 1 or all(map(lt, numbers, numbers[1:]))


def _said_to_all(say: Say, ids: range, time: int) -> Outcome:
    """Say to everybody, as nearly all messages are: a hundred thousand a second."""
    account, sender = say.account, say.sender
    heard = [
        Said(id_, time, account, sender, TO_EVERYBODY, saying.to, saying.text)
        for id_, saying in zip(ids, say.sayings, strict=True)
    ]
    return Outcome(AllAccepted(ids), said=heard)


def _answer(program: Program, saying: Saying) -> Result:
    found = program.find(saying.number)
    if found is None:
        return Refused(Code.NUMBER_FORGOTTEN)
    checksum, value = found
    if checksum != saying.checksum:
        return Refused(Code.NUMBER_REUSED)
    if value > 0:
        return Accepted(value, again=True)
    return Refused(Code(-value), saying.to, again=True)
