"""The account's password: needed, proved, chosen and changed.

Each call gives the engine its next step.
"""

from collections.abc import Callable

from chainchat.chat.passwords import checked_password
from chainchat.chat.scram import MECHANISM, SALT_OCTETS, prepared
from chainchat.client.engine.dialogue import Asked
from chainchat.client.engine.events import Event, PasswordChanged, PasswordNeeded, PasswordRefused
from chainchat.client.engine.proof import Key, Keys, Proof, new_key, words_of
from chainchat.client.engine.wire import ProtocolError, Refusal

CHANGED, TLS_ONLY, WRONG, NEEDED = 434, 507, 512, 513

GIVE_IT = "give it with --password-file FILE, or in CHAINCHAT_PASSWORD"

Step = Asked | Event | Refusal | None
"""A request to make, an event, or the end; None: log in."""


class Passwords:
    """The password of one account.

    Attributes:
        wanted: ``PasswordNeeded`` is not answered.
    """

    def __init__(
        self,
        name: str,
        keys: Keys,
        random: Callable[[int], bytes],
        password: str,
        *,
        asks: bool,
    ) -> None:
        self._name = name
        self._keys = keys
        self._random = random
        self._password = _prepared(password)
        self._asks = asks
        self._proof: Proof | None = None
        self._proved = False
        self._new: Key | None = None
        self._changing = False
        self._removing = False
        self.wanted = False
        self.is_protected = keys.key is not None

    def needed(self, refusal: Refusal) -> Step:
        """The step after a LOGIN that needs a proof, or another proof."""
        self.is_protected = True
        if self._proved and refusal.code == NEEDED:
            return self._want(refusal, new=True)
        if self._password or self._keys.key is not None:
            return self._begin()
        return self._want(refusal)

    def _want(self, refusal: Refusal, *, new: bool = False) -> Step:
        why = refusal.text if new else self._why(refusal)
        if self._asks:
            self.wanted = True
            return PasswordNeeded(why, new)
        if refusal.code in (CHANGED, NEEDED) and not new:
            return Refusal(refusal.tag, NEEDED, f"{why}: {GIVE_IT}")
        return refusal

    def _why(self, refusal: Refusal) -> str:
        """The reason for a person, who types no AUTH, and whose client connects again by itself."""
        if refusal.code == NEEDED:
            return f"{self._name} needs a password"
        return "wrong password: try again" if refusal.code == WRONG else refusal.text

    def keep(self, password: str) -> None:
        """Keep an answer that came without a connection."""
        self._password = _prepared(password)

    def answer(self, password: str) -> Step:
        if self._proved:
            self._new = new_key(checked_password(password), self._random(SALT_OCTETS))
            self.wanted = False
            return self._set()
        self.wanted = False
        self._password = _prepared(password)
        return self._begin()

    def change(self, old: str, new: str) -> Step:
        """Begin to set a new password, or none."""
        key = new_key(checked_password(new), self._random(SALT_OCTETS)) if new else None
        self._new, self._removing, self._changing = key, not new, True
        if not self.is_protected:
            return self._set()
        self._password = _prepared(old)
        return self._begin()

    def _begin(self) -> Asked:
        self._proved = False
        self._proof = Proof(self._name, self._keys, self._random, self._password)
        return Asked("auth", "AUTH", 0, (self._name, MECHANISM, f":{self._proof.first}"))

    def _set(self) -> Asked:
        words = ("none",) if self._new is None else words_of(self._new)
        return Asked("secret", "SECRET", 0, words)

    def done(self, verb: str, rest: str) -> Step:
        """The step after a ``+OK``.

        Raises:
            ProtocolError: the server proves nothing, or wants a weaker proof than before.
        """
        proof, text = self._proof, rest.partition(":")[2]
        if verb == "SECRET":
            return self._is_set()
        assert proof is not None
        if verb == "AUTH":
            final = proof.final(text)
            if not final:  # the password was changed elsewhere
                self._keys.forget()
                return self._want(Refusal("auth", CHANGED, "the password was changed"))
            return Asked("prove", "PROVE", 0, (f":{final}",))
        if not proof.is_signed(text) or proof.key is None:
            raise ProtocolError("the server does not know the account's password: who is it?")
        self._proved, self._password = True, ""
        if self._changing:
            return self._set()
        self._keys.accepted(proof.key)
        return None

    def _is_set(self) -> Step:
        changing, self._changing = self._changing, False
        if self._new is None:
            self._keys.forget()
        else:
            self._keys.accepted(self._new)
        self.is_protected, self._new = self._new is not None, None
        return PasswordChanged(self._removing) if changing else None

    def refused(self, refusal: Refusal) -> Step:
        if self._changing:
            self._changing, self._new, self._password = False, None, ""
            return PasswordRefused(refusal.code, refusal.text)
        if refusal.code == TLS_ONLY:  # the new one; whatever the person types
            return refusal
        if refusal.code == WRONG:
            self._password = ""
            self._keys.forget()
        return self._want(refusal)

    def broke(self) -> Event | None:
        self._proved, self.wanted, self._proof = False, False, None
        if not self._changing:
            return None
        self._changing = False
        return PasswordRefused(0, "the connection broke before the answer: it may be changed")


def _prepared(password: str) -> str:
    try:
        return prepared(password)
    except ValueError:
        return password  # which nobody has
