"""Certificates and keys, read and checked before use."""

import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509 import Certificate, load_pem_x509_certificates
from msgspec import Struct

from chainchat.config.ordinary_files import read_ordinary

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)

OF_GROUP, OF_OTHERS = stat.S_IRWXG, stat.S_IRWXO
READ_BY_GROUP = stat.S_IRGRP


class CredentialsError(Exception):
    """A certificate or key cannot be used; the text says what to do."""


class Credentials(Struct, frozen=True):
    """What one side of a connection shows, and whom it trusts.

    ``authorities`` is empty if this side asks for no certificate.
    """

    certificates: tuple[Certificate, ...]
    key: PrivateKey
    authorities: tuple[Certificate, ...] = ()

    @property
    def own(self) -> Certificate:
        return self.certificates[0]

    @property
    def begins(self) -> datetime:
        """Since when all certificates are valid."""
        return max(certificate.not_valid_before_utc for certificate in self.certificates)

    @property
    def expires(self) -> datetime:
        return min(certificate.not_valid_after_utc for certificate in self.certificates)


def load(certificate: Path, key: Path, ca: Path | None = None) -> Credentials:
    """Read a certificate and its key, and the CAs to trust.

    Raises:
        CredentialsError: a file cannot be used, others can read the key, or the two do not fit.
    """
    certificates = read_certificates(certificate)
    refuse_open_key(key)
    private = read_key(key)
    if _public(private.public_key()) != _public(certificates[0].public_key()):
        raise CredentialsError(
            f"{key}: is not the key of {certificate}, whose first certificate has to be the node's "
            "own"
        )
    return Credentials(certificates, private, read_certificates(ca) if ca is not None else ())


def read_certificates(path: Path) -> tuple[Certificate, ...]:
    """All certificates of a PEM file.

    Raises:
        CredentialsError: there is none, or one cannot be read.
    """
    try:
        return tuple(load_pem_x509_certificates(_read(path)))
    except ValueError:
        raise CredentialsError(f"{path}: holds no certificates in PEM") from None


def refuse_open_key(path: Path) -> None:
    """Refuse a key that others can read; root's may be readable for one group.

    Raises:
        CredentialsError: others can, or it is not there.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise CredentialsError(f"{path}: {error.strerror}") from None
    allowed = READ_BY_GROUP if found.st_uid == 0 else 0
    if found.st_mode & (OF_OTHERS | OF_GROUP) & ~allowed:
        mode = stat.S_IMODE(found.st_mode)
        raise CredentialsError(f"{path}: others can read this key (mode {mode:o}): chmod 600 it")


def _read(path: Path) -> bytes:
    try:
        return read_ordinary(path)
    except OSError as error:
        raise CredentialsError(f"{path}: {error.strerror}") from None


def read_key(path: Path) -> PrivateKey:
    """The private key of a PEM file.

    Raises:
        CredentialsError: there is none, or it cannot be used without a person.
    """
    try:
        key = load_pem_private_key(_read(path), None)
    except TypeError:
        raise CredentialsError(
            f"{path}: the key has a passphrase, and nobody is there to type it; store it without"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CredentialsError(f"{path}: holds no private key in PEM") from None
    if not isinstance(key, PrivateKey):
        raise CredentialsError(f"{path}: a key of this kind signs nothing; make an EC or RSA key")
    return key


def _public(key: object) -> bytes:
    octets: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return octets


def is_signed_by(certificate: Certificate, authority: Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def days_left(expires: datetime, now: datetime) -> int:
    """Whole days; negative after the end."""
    return (expires - now).days


def utc_now() -> datetime:
    return datetime.now(UTC)


def described(certificates: Sequence[Certificate]) -> str:
    own = certificates[0]
    return f"{own.subject.rfc4514_string()}, {period(own)}"


def period(certificate: Certificate) -> str:
    return (
        f"valid from {certificate.not_valid_before_utc:%F} to {certificate.not_valid_after_utc:%F}"
    )
