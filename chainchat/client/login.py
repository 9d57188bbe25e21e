"""How an account is got hold of: LOGIN, RESUME with the token, and what to do when refused."""

from random import Random

from chainchat.client.backoff import Backoff
from chainchat.client.dialogue import Asked
from chainchat.client.events import Ended, LoginDelayed
from chainchat.client.wire import Refusal


class Login:
    """The account's token, while there is one, and the retries.

    RESUME needs the id of the last message seen. Who has seen none does not know where the
    account's read mark stands, and logs in again instead: what was missed follows from the mark.
    """

    def __init__(self, name: str, random: Random, *, quiet: bool, insist: bool) -> None:
        """Remember what the engine was asked for; the arguments are its own."""
        self._name = name
        self._quiet = quiet
        self._insist = insist
        self._token = ""
        self._backoff = Backoff(random, first=0.5, longest=4.0)

    def request(self, last_seen: int | None) -> Asked:
        """What to ask for on a new connection, or again."""
        if self._token and not self._quiet and last_seen is not None:
            return Asked("resume", "RESUME", 0, (self._name, self._token, f"after={last_seen}"))
        quiet = ("quiet",) if self._quiet else ()
        return Asked("login", "LOGIN", 0, (self._name, *quiet))

    def done(self, words: dict[str, str]) -> None:
        """We are in; ``words`` are those of the reply."""
        self._token = words.get("session", self._token)
        # From now on, a name in use may be our own ghost: others are slow to notice that it died.
        self._insist = True
        self._backoff.reset()

    def refused(self, verb: str, refusal: Refusal) -> Ended | LoginDelayed | None:
        """What a refusal of ``verb`` means; None: ask again at once, it will be something else."""
        code, text = refusal.code, refusal.text
        if verb == "RESUME" and code == 521:
            return Ended("deleted", code, f"the account {self._name} was deleted")
        if verb == "RESUME" and code >= 500:
            self._token = ""
            return None
        if code >= 500 or (code == 433 and not self._insist):
            return Ended("refused", code, text)
        return LoginDelayed(code, text, self._backoff.next())
