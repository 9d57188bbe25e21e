"""Logging in, and what to do when refused."""

from random import Random

from chainchat.client.engine.backoff import Backoff
from chainchat.client.engine.dialogue import Asked
from chainchat.client.engine.events import Ended, LoginDelayed
from chainchat.client.engine.memory import Memory
from chainchat.client.engine.wire import Refusal, whole_number


class Login:
    """The account's token, and the retries.

    RESUME needs the id of the last message seen, or else the read mark from LOGIN's reply.
    """

    def __init__(
        self, name: str, random: Random, memory: Memory, *, quiet: bool, insist: bool
    ) -> None:
        self._name = name
        self._memory = memory
        self._quiet = quiet
        # A name in use may be our own ghost: others are slow to notice its end.
        self._insist = insist or bool(memory.token)
        self._was_in = False
        self._backoff = Backoff(random, first=0.5, longest=4.0)

    def request(self, last_seen: int | None) -> Asked:
        after, token = self._memory.seen if last_seen is None else last_seen, self._memory.token
        if token and not self._quiet and after is not None:
            return Asked("resume", "RESUME", 0, (self._name, token, f"after={after}"))
        quiet = ("quiet",) if self._quiet else ()
        return Asked("login", "LOGIN", 0, (self._name, *quiet))

    def lost(self) -> None:
        """Note that a LOGIN was not answered: it may have been done."""
        self._insist = True

    def done(self, words: dict[str, str]) -> None:
        mark = whole_number(words["mark"]) if "mark" in words else None
        self._memory.logged_in(words.get("session", self._memory.token), mark)
        self._insist = self._was_in = True
        self._backoff.reset()

    def refused(self, verb: str, refusal: Refusal) -> Ended | LoginDelayed | None:
        """What a refusal of ``verb`` means; None: make the next ``request`` at once."""
        code, text = refusal.code, refusal.text
        if verb == "RESUME" and code == 521 and self._was_in:
            return Ended("deleted", code, f"the account {self._name} was deleted")
        if verb == "RESUME" and code >= 500:
            self._memory.logged_in("", None)
            return None
        if code >= 500 or (code == 433 and not self._insist):
            return Ended("refused", code, text)
        return LoginDelayed(code, text, self._backoff.next())
