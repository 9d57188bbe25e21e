"""Which passwords are possible, those that a node makes up, and those that were typed."""

import hmac

from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.scram import prepared

SHORTEST, LONGEST = 8, 128
"""Characters of a password."""

KEY_OCTETS, MOST_TYPED = 32, 64
"""Of ``TypedPasswords``."""

TYPED_BEFORE = "that line is what you typed as a password: nobody is shown it"

ONE_TIME_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters to be copied by hand: none looks like another."""

ONE_TIME_LENGTH = 15
"""74 bits, more than anybody guesses."""

ONE_TIME_GROUP = 5


def checked_password(text: str) -> str:
    """Return a new password, as it is hashed.

    Raises:
        RefusedError: 522; the text never shows the password.
    """
    try:
        password = prepared(text)
    except ValueError as error:
        text = f"a password cannot hold {error}"
        raise RefusedError(Code.BAD_PASSWORD, text) from None
    if not SHORTEST <= len(password) <= LONGEST:
        text = f"a password has {SHORTEST} to {LONGEST} characters"
        raise RefusedError(Code.BAD_PASSWORD, text)
    return password


def one_time(random: bytes) -> str:
    """Make one such as ``k7qdp-93mfh-x2pwc``; ``random``: ``ONE_TIME_LENGTH`` octets or more."""
    letters = [ONE_TIME_LETTERS[octet % len(ONE_TIME_LETTERS)] for octet in random]
    starts = range(0, ONE_TIME_LENGTH, ONE_TIME_GROUP)
    return "-".join("".join(letters[start : start + ONE_TIME_GROUP]) for start in starts)


class TypedPasswords:
    """The newest lines of one person that may be passwords, hashed: none of them is ever said."""

    def __init__(self, key: bytes) -> None:
        """``key``: ``KEY_OCTETS`` random octets, kept nowhere else."""
        self._key = key
        self._hashes: dict[bytes, None] = {}

    def add(self, line: bytes) -> None:
        if len(line) < SHORTEST:
            return
        hashed = self._hashed(line)
        self._hashes.pop(hashed, None)
        self._hashes[hashed] = None
        if len(self._hashes) > MOST_TYPED:
            del self._hashes[next(iter(self._hashes))]

    def __contains__(self, line: bytes) -> bool:
        """True also for one with other blanks around."""
        return bool(self._hashes) and self._hashed(line) in self._hashes

    def _hashed(self, line: bytes) -> bytes:
        return hmac.digest(self._key, line.strip(), "sha256")
