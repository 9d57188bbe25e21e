"""SCRAM-SHA-256: how a password is kept, and how a program proves that it knows it.

RFC 5802 and RFC 7677, without channel binding. The chain keeps a ``Verifier``, never the password::

    SaltedPassword = PBKDF2(password, salt, iterations)      slow on purpose: ``salted``
    ClientKey = HMAC(SaltedPassword, "Client Key")           StoredKey = SHA-256(ClientKey)
    ServerKey = HMAC(SaltedPassword, "Server Key")

A proof is ClientKey, masked by a key that only this exchange has::

    C: n,,n=alice,r=CNONCE                    ``ClientFirst.read``
    S: r=CNONCE+SNONCE,s=SALT,i=100000        ``Exchange.challenge``
    C: c=biws,r=CNONCE+SNONCE,p=PROOF         ``Exchange.signature`` checks it
    S: v=SIGNATURE                            proves to the client that the server has its verifier
"""

import base64
import binascii
import hashlib
import hmac
import re
import stringprep
from unicodedata import ucd_3_2_0

from msgspec import Struct

from chainchat.chat.accounts import Verifier

MECHANISM = "SCRAM-SHA-256"

SALT_OCTETS = 16
KEY_OCTETS = 32

ITERATIONS = 100_000
"""Some 20 ms for whoever knows the password, and for each guess."""

MOST_ITERATIONS = 1_000_000
"""A program may choose its iterations; more would keep others waiting."""

MOST_CHARACTERS = 512
"""Characters of a password before it is ``prepared``, and afterwards: one can become eighteen."""

SO_MANY = "so many characters"

_FIRST = re.compile(r"([ny]),(?:a=([^,=]*))?,(n=([^,]+),r=([!-+\--~]{8,256})(?:,[a-z]=[^,]*)*)")
_FINAL = re.compile(r"(c=([A-Za-z0-9+/=]+),r=([!-+\--~]+)(?:,[a-z]=[^,]*)*),p=([A-Za-z0-9+/=]+)")

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


class BrokenExchangeError(Exception):
    """Bad grammar, another name or another nonce."""


class WrongProofError(Exception):
    """The client does not know the password."""


def prepared(text: str) -> str:
    """Return ``text`` as it is hashed (SASLprep, RFC 4013, as a stored string).

    Raises:
        ValueError: it is too long, or holds what no password may.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(SO_MANY)
    mapped = [
        " " if stringprep.in_table_c12(char) else char
        for char in text
        if not stringprep.in_table_b1(char)
    ]
    text = ucd_3_2_0.normalize("NFKC", "".join(mapped))
    if len(text) > MOST_CHARACTERS:  # to look one up in all tables takes up to 30 µs
        raise ValueError(SO_MANY)
    if any(table(char) for char in set(text) for table in _PROHIBITED):
        raise ValueError("a character that no password may hold")
    if any(map(stringprep.in_table_d1, text)):  # RFC 3454, section 6: right-to-left throughout
        ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
        if not ends or any(map(stringprep.in_table_d2, text)):
            raise ValueError("left-to-right and right-to-left letters together")
    return text


def salted(password: str, salt: bytes, iterations: int) -> bytes:
    """Return SaltedPassword of a prepared password; 0.2 ms for 1,000 iterations."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)


def verifier_of(salted_password: bytes, salt: bytes, iterations: int) -> Verifier:
    stored = _hash(_hmac(salted_password, b"Client Key"))
    return Verifier(salt, iterations, stored, _hmac(salted_password, b"Server Key"))


def admits(verifier: Verifier, salted_password: bytes) -> bool:
    stored = _hash(_hmac(salted_password, b"Client Key"))
    return hmac.compare_digest(stored, verifier.stored)


def client_proof(salted_password: bytes, said: bytes) -> bytes:
    """Return the client's proof; ``said``: RFC 5802's AuthMessage."""
    client_key = _hmac(salted_password, b"Client Key")
    return _masked(client_key, _hmac(_hash(client_key), said))


def server_signature(salted_password: bytes, said: bytes) -> bytes:
    return _hmac(_hmac(salted_password, b"Server Key"), said)


def decoy(secret: bytes, name: str) -> Verifier:
    """Return a verifier that no password fits, always the same for a name.

    Without the chain's ``secret``, its salt looks random.
    """
    salt = _hmac(secret, name.lower().encode())[:SALT_OCTETS]
    return Verifier(salt, ITERATIONS, b"", b"")


class ClientFirst(Struct, frozen=True):
    """The client's first message; ``header``: the GS2 header, which the last one repeats."""

    name: str
    nonce: str
    header: str
    bare: str

    @classmethod
    def read(cls, message: str) -> "ClientFirst":
        """Read ``n,,n=alice,r=CNONCE``.

        Raises:
            BrokenExchangeError: it is another message, or wants channel binding or another
                identity.
        """
        found = _FIRST.fullmatch(message)
        if found is None:
            raise BrokenExchangeError("the first message has to be like n,,n=NAME,r=NONCE")
        _, identity, bare, name, nonce = found.groups()
        if identity and identity.lower() != name.lower():
            raise BrokenExchangeError("nobody logs in for somebody else: leave a= out")
        return cls(name, nonce, message[: -len(bare)], bare)


class Exchange:
    """The server's side of one proof; ``challenge``: its first message."""

    def __init__(self, first: ClientFirst, verifier: Verifier, nonce: str) -> None:
        """Answer the client's first message.

        Args:
            verifier: of the account, or a ``decoy``.
            nonce: fresh and random; printable ASCII without commas.
        """
        self.verifier = verifier
        self._first = first
        self._nonce = first.nonce + nonce
        salt = base64.b64encode(verifier.salt).decode()
        self.challenge = f"r={self._nonce},s={salt},i={verifier.iterations}"

    def signature(self, message: str) -> str:
        """Return the server's last message, if the client's, ``c=…,r=…,p=…``, is a proof.

        Raises:
            BrokenExchangeError: it is not of this exchange.
            WrongProofError: it proves nothing.
        """
        found = _FINAL.fullmatch(message)
        if found is None:
            raise BrokenExchangeError("the last message has to be like c=biws,r=NONCE,p=PROOF")
        without_proof, binding, nonce, proof = found.groups()
        if _decoded(binding) != self._first.header.encode() or nonce != self._nonce:
            raise BrokenExchangeError("c= and r= have to repeat what was said before")
        said = f"{self._first.bare},{self.challenge},{without_proof}".encode()
        mask = _hmac(self.verifier.stored, said)
        client_key = _masked(_decoded(proof), mask)
        if not hmac.compare_digest(_hash(client_key), self.verifier.stored):
            raise WrongProofError
        return "v=" + base64.b64encode(_hmac(self.verifier.server, said)).decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise BrokenExchangeError("what stands there is not Base64") from None


def _masked(key: bytes, mask: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(key, mask, strict=False))


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
