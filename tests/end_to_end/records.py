"""Records of TLS that no client sends, made by hand: OpenSSL makes some rarely, and some never.

The handshake is Python's; it writes down the secret with which the client goes on (RFC 8446).
"""

import re
import socket
import ssl
import struct
from itertools import count
from tempfile import NamedTemporaryFile
from typing import Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from talking import family_of

TEXT, HANDSHAKE, ALERT = 23, 22, 21
"""The kinds of contents of a record."""

KEY_UPDATE = b"\x18\0\0\x01"
"""A message that changes the keys; then 1 if the other side is to change its own, too."""


class Records:
    """A client that has agreed on TLS, and says what it likes."""

    def __init__(self, address: tuple[str, int]) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        plain = socket.socket(family_of(address[0]))
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        plain.connect(address)
        with NamedTemporaryFile() as log:
            context.keylog_filename = log.name
            with context.wrap_socket(plain) as secure:
                assert secure.cipher() == ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)
                self.socket = socket.socket(fileno=secure.detach())
            known = log.read().decode()
        [secret] = re.findall(r"CLIENT_TRAFFIC_SECRET_0 \w+ (\w+)", known)
        self._take(bytes.fromhex(secret))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def _take(self, secret: bytes) -> None:
        self._secret = secret
        self._key = AESGCM(_expand(secret, b"key", 32))
        self._nonce = int.from_bytes(_expand(secret, b"iv", 12))
        self._numbers = count()

    def record(self, kind: int, content: bytes) -> bytes:
        """The next record, encrypted."""
        inner = content + bytes([kind])
        header = struct.pack(">BHH", TEXT, 0x0303, len(inner) + 16)
        nonce = (self._nonce ^ next(self._numbers)).to_bytes(12)
        return header + self._key.encrypt(nonce, inner, header)

    def key_update(self, *, ask: bool) -> bytes:
        """A record that changes the keys; ``ask``: of both directions."""
        made = self.record(HANDSHAKE, KEY_UPDATE + bytes([ask]))
        self._take(_expand(self._secret, b"traffic upd", 48))
        return made

    def say(self, text: bytes) -> None:
        """Send some text, in a record of its own."""
        self.socket.sendall(self.record(TEXT, text))


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    named = b"tls13 " + label
    info = struct.pack(">HB", length, len(named)) + named + b"\0"
    return HKDFExpand(SHA384(), length, info).derive(secret)
