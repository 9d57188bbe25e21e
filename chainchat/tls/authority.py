"""The CA of a chain, and the certificates that it signs."""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chainchat.tls.credentials import PrivateKey
from chainchat.tls.identity import is_address

YEARS = 10

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""When certificates begin: machines without a clock start at this time."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a key on P-256, which every TLS knows."""
    return ec.generate_private_key(ec.SECP256R1())


def new_authority(chain: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """Make a CA that signs for nodes only."""
    # The next CA of the chain has another name, so that nobody takes one for the other.
    name = _name(chain, f"CA {secrets.token_hex(4)}")
    usage = _key_usage(signs_certificates=True)
    builder = _builder(name, name, key.public_key(), now)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(_identifier(key), critical=False)
    return builder.sign(key, SHA256())


def new_certificate(
    names: Iterable[str],
    *,
    chain: str,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: PrivateKey,
    now: datetime,
) -> x509.Certificate:
    """Make a certificate for DNS names and addresses, of which the first is the subject."""
    names = list(names)
    subject = _name(chain, names[0].partition(".")[0])
    builder = _builder(subject, authority.subject, key.public_key(), now)
    ends = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    found = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found)
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage(ends), False),
        (x509.SubjectAlternativeName(map(_general_name, names)), False),
        (_identifier(key), False),
        (issuer, False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(authority_key, SHA256())


def pem(made: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(made, x509.Certificate):
        return made.public_bytes(Encoding.PEM)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    last = now.replace(year=now.year + YEARS, day=min(now.day, 28))  # no 29th of February
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=BEGINNING,
        not_valid_after=last,
    )


def _name(chain: str, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"chainchat {chain}"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(name)) if is_address(name) else x509.DNSName(name)


def _identifier(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
