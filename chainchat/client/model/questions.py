"""What the client asks a person about passwords, without I/O."""

from collections.abc import Generator

from chainchat.chat.passwords import LONGEST, SHORTEST, checked_password
from chainchat.chat.refusals import Code, RefusedError
from chainchat.client.engine.engine import Engine

Questions = Generator[str, str, list[str]]
"""Yields questions, gets answers, returns lines to show."""

UNCHANGED = "+OK nothing is changed"


class Asking:
    """Asks for passwords, and gives them to the engine.

    Attributes:
        question: answered by the next line; mostly empty.
    """

    def __init__(self, engine: Engine) -> None:
        self.question = ""
        self._engine = engine
        self._questions: Questions | None = None

    def log_in(self, *, new: bool) -> None:
        """Ask for the account's password, or first for a ``new`` one."""
        self._begin(self._first() if new else self._own())

    def change(self, *, remove: bool) -> list[str]:
        """Ask for the old password, and twice for a new one unless it is to ``remove`` it."""
        return self._begin(self._change(remove=remove))

    def answer(self, line: str) -> list[str]:
        return self._go_on(line)

    def _begin(self, questions: Questions) -> list[str]:
        self._questions = questions
        return self._go_on(None)

    def _go_on(self, line: str | None) -> list[str]:
        questions = self._questions
        assert questions is not None
        try:
            self.question = next(questions) if line is None else questions.send(line)
        except StopIteration as end:
            self.question, self._questions = "", None
            lines: list[str] = end.value
            return lines
        except RefusedError as refusal:
            self.question, self._questions = "", None
            return [f"-ERR {refusal.code.value} {refusal.text}"]
        return []

    def _own(self) -> Questions:
        line = yield f"password of {self._engine.name}"
        if not line:
            self._engine.logout()
        else:
            self._engine.password(line)
        return []

    def _first(self) -> Questions:
        while True:
            try:
                new = yield from self._new("choose a password of your own")
            except RefusedError as refusal:
                yield f"{refusal.text}; press Enter"
                continue
            if not new:
                self._engine.logout()
            else:
                self._engine.password(new)
            return []

    def _change(self, *, remove: bool) -> Questions:
        old = ""
        if self._engine.has_password:
            old = yield "your password now"
            if not old:
                return [UNCHANGED]
        elif remove:
            return ["+OK you have no password"]
        new = "" if remove else (yield from self._new("your new password"))
        if not new and not remove:
            return [UNCHANGED]
        self._engine.change_password(old, new)
        return []

    def _new(self, what: str) -> Generator[str, str, str]:
        """Ask for a new password, typed twice; empty for none.

        Raises:
            RefusedError: 522, no account can have it.
        """
        first = yield f"{what} ({SHORTEST} to {LONGEST} characters)"
        if not first:
            return ""
        checked_password(first)
        again = yield "the same again"
        if again != first:
            raise RefusedError(Code.BAD_PASSWORD, "that was not the same: nothing is changed")
        return first
