"""What the client asks a person about passwords, without I/O."""

import secrets
from collections.abc import Generator
from typing import NamedTuple

from chainchat.chat.passwords import (
    KEY_OCTETS,
    LONGEST,
    SHORTEST,
    TypedPasswords,
    checked_password,
)
from chainchat.chat.refusals import Code, RefusedError
from chainchat.client.engine.engine import Engine


class Question(NamedTuple):
    """``refusal``: of the answer before, for which this asks again: the next is a secret, too."""

    text: str
    refusal: RefusedError | None = None


Questions = Generator[Question, str, list[str]]
"""Gets answers, returns lines to show."""

UNCHANGED = "+OK nothing is changed"

BACK = "an empty line goes back"


class Asking:
    """Asks for passwords, and gives them to the engine.

    Whoever is told what is wrong tries again, so after a refusal it asks again, too: else the next
    line would be said.

    Attributes:
        question: answered by the next line; mostly empty.
    """

    def __init__(self, engine: Engine) -> None:
        self.question = ""
        self._engine = engine
        self._questions: Questions | None = None
        self._removing = False
        self._typed = TypedPasswords(secrets.token_bytes(KEY_OCTETS))

    def log_in(self, *, new: bool) -> None:
        """Ask for the account's password, or first for a ``new`` one."""
        self._begin(self._first() if new else self._own())

    def change(self, *, remove: bool) -> list[str]:
        """Ask for the old password, and twice for a new one unless it is to ``remove`` it."""
        self._removing = remove
        return self._begin(self._change(remove=remove))

    def change_refused(self) -> None:
        """Ask again, unless something is asked already."""
        if not self.question:
            self.change(remove=self._removing)

    def answer(self, line: str) -> list[str]:
        self._typed.add(line.encode(errors="replace"))
        return self._go_on(line)

    def was_typed(self, text: str) -> bool:
        """True if a line of the text answered a question before."""
        return any(line.encode(errors="replace") in self._typed for line in text.splitlines())

    def is_secret(self, text: str) -> bool:
        return bool(self.question) or self.was_typed(text)

    def _begin(self, questions: Questions) -> list[str]:
        self._questions = questions
        return self._go_on(None)

    def _go_on(self, line: str | None) -> list[str]:
        questions = self._questions
        assert questions is not None
        try:
            question = next(questions) if line is None else questions.send(line)
        except StopIteration as end:
            self.question, self._questions = "", None
            lines: list[str] = end.value
            return lines
        self.question = question.text
        refusal = question.refusal
        return [f"-ERR {refusal.code.value} {refusal.text}"] if refusal else []

    def _own(self) -> Questions:
        line = yield Question(f"password of {self._engine.name}")
        if not line:
            self._engine.logout()
        else:
            self._engine.password(line)
        return []

    def _first(self) -> Questions:
        new = yield from self._new("choose a password of your own", back="an empty line leaves")
        if not new:
            self._engine.logout()
        else:
            self._engine.password(new)
        return []

    def _change(self, *, remove: bool) -> Questions:
        old = ""
        if self._engine.has_password:
            old = yield Question(f"your password now ({BACK})")
            if not old:
                return [UNCHANGED]
        elif remove:
            return ["+OK you have no password"]
        new = "" if remove else (yield from self._new("your new password", back=BACK))
        if not new and not remove:
            return [UNCHANGED]
        self._engine.change_password(old, new)
        return []

    def _new(self, what: str, *, back: str) -> Generator[Question, str, str]:
        """Ask until a password is possible, and typed twice; empty if nothing is typed."""
        asked = f"{what} ({SHORTEST} to {LONGEST} characters"
        question = Question(f"{asked})")
        while first := (yield question):
            try:
                checked_password(first)
                again = yield Question(f"the same again ({back})")
                if not again:
                    break
                if again != first:
                    raise RefusedError(Code.BAD_PASSWORD, "that was not the same: choose again")
            except RefusedError as refused:
                question = Question(f"{asked}; {back})", refused)
            else:
                return first
        return ""
