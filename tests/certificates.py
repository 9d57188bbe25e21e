"""Certificates for tests: those of a chain, and every kind that has to be refused."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chainchat.tls.credentials import Credentials, PrivateKey
from chainchat.tls.identity import identity

HERE = "127.0.0.1"
BOTH_ENDS = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


class Authority:
    """The CA of a chain named ``test``, and of much that no chain should take."""

    def __init__(self, chain: str = "test") -> None:
        self._ca = trustme.CA()
        self._chain = chain
        self.pem = self._ca.cert_pem.bytes()
        [self.certificate] = x509.load_pem_x509_certificates(self.pem)
        self._key = load_pem_private_key(self._ca.private_key_pem.bytes(), None)

    def names(self, position: str, host: str = HERE) -> list[x509.GeneralName]:
        name = x509.DNSName(identity(position, self._chain))
        return [name, x509.IPAddress(ip_address(host))]

    def of(self, position: str, host: str = HERE) -> Credentials:
        return self.made(self.names(position, host))

    def made(
        self,
        names: list[x509.GeneralName],
        *,
        usage: tuple[x509.ObjectIdentifier, ...] = BOTH_ENDS,
        days: tuple[int, int] = (-1, 365),
        malformed: bytes = b"",
        key: PrivateKey | None = None,
    ) -> Credentials:
        """A certificate that is good but for what the arguments say.

        Args:
            names: none for a certificate without the extension.
            days: from when to when it is valid, from now.
            malformed: the octets of the names, if they are to be no names.
            key: the holder's, if it matters.
        """
        now = datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        )
        if malformed:
            oid = x509.SubjectAlternativeName.oid
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, malformed), False)
        elif names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        assert isinstance(self._key, ec.EllipticCurvePrivateKey)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Credentials((certificate,), key, (self.certificate,))


def written(credentials: Credentials, folder: Path) -> None:
    """Write credentials as chainchat finds them in the folder of a position."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "node.key"
    key.touch(0o600)
    pem = credentials.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key.write_bytes(pem)
    for name, certificates in (
        ("node.crt", credentials.certificates),
        ("ca.crt", credentials.authorities),
    ):
        (folder / name).write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in certificates))
