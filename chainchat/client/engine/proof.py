"""The client's side of SCRAM-SHA-256: proves an account's password, and makes new ones.

A password is hashed once and forgotten; the hash, which admits to this account alone, is kept.
"""

import base64
import binascii
import re
from collections.abc import Callable

from msgspec import Struct

from chainchat.chat import scram
from chainchat.client.engine.wire import ProtocolError

FEWEST_ITERATIONS = 4096
"""RFC 7677's least, for an account not known yet."""

NONCE_OCTETS = 18

_CHALLENGE = re.compile(r"r=([!-+\--~]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,8})")
_GS2 = "n,,"


class Key(Struct, frozen=True):
    """The hash of a password, and how it was made."""

    salted: bytes
    salt: bytes
    iterations: int


class Keys:
    """The key of one account.

    Attributes:
        key: the newest that was accepted, if any.
        most: iterations of any exchange so far.
    """

    def __init__(self) -> None:
        self.key: Key | None = None
        self.most = FEWEST_ITERATIONS

    def accepted(self, key: Key) -> None:
        self.key = key
        self.most = max(self.most, key.iterations)

    def forget(self) -> None:
        self.key = None


class Proof:
    """One exchange: ``first`` and ``final`` are sent, ``is_signed`` checks the server.

    Without a password, the kept key has to do.
    """

    def __init__(
        self, name: str, keys: Keys, random: Callable[[int], bytes], password: str = ""
    ) -> None:
        self._keys = keys
        self._password = password
        self._nonce = base64.b64encode(random(NONCE_OCTETS)).decode()
        self._bare = f"n={name},r={self._nonce}"
        self._said = b""
        self.key: Key | None = None

    @property
    def first(self) -> str:
        return _GS2 + self._bare

    def final(self, challenge: str) -> str:
        """The client's last message; empty without a password or a kept key that fits.

        Raises:
            ProtocolError: it is no challenge, or asks for a weaker proof than before.
        """
        found = _CHALLENGE.fullmatch(challenge)
        if found is None or not found[1].startswith(self._nonce):
            raise ProtocolError("the server's challenge does not belong to this exchange")
        iterations = int(found[3])
        if not self._keys.most <= iterations <= scram.MOST_ITERATIONS:
            raise ProtocolError(
                f"the server wants the password hashed {iterations} times, and it was "
                f"{self._keys.most} times before: somebody may try to learn it"
            )
        self.key = self._key(_decoded(found[2]), iterations)
        if self.key is None:
            return ""
        without_proof = f"c={base64.b64encode(_GS2.encode()).decode()},r={found[1]}"
        self._said = f"{self._bare},{challenge},{without_proof}".encode()
        proof = scram.client_proof(self.key.salted, self._said)
        return f"{without_proof},p={base64.b64encode(proof).decode()}"

    def _key(self, salt: bytes, iterations: int) -> Key | None:
        kept = self._keys.key
        if kept is not None and not self._password:
            return kept if (kept.salt, kept.iterations) == (salt, iterations) else None
        if not self._password:
            return None
        return Key(scram.salted(self._password, salt, iterations), salt, iterations)

    def is_signed(self, message: str) -> bool:
        """True if the server has shown that it knows the verifier."""
        assert self.key is not None
        signature = scram.server_signature(self.key.salted, self._said)
        return message == "v=" + base64.b64encode(signature).decode()


def new_key(password: str, salt: bytes) -> Key:
    return Key(scram.salted(password, salt, scram.ITERATIONS), salt, scram.ITERATIONS)


def words_of(key: Key) -> tuple[str, ...]:
    """The arguments of the SECRET that sets ``key``."""
    verifier = scram.verifier_of(key.salted, key.salt, key.iterations)
    octets = (verifier.salt, verifier.stored, verifier.server)
    salt, stored, server = (base64.b64encode(each).decode() for each in octets)
    return f"i={key.iterations}", f"s={salt}", f"stored={stored}", f"server={server}"


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ProtocolError("the server's challenge is not Base64") from None
