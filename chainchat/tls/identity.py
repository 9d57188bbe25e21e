"""A node's identity in its certificate: position and host."""

from collections.abc import Sequence
from ipaddress import ip_address

from cryptography.x509 import Certificate, DNSName, ExtendedKeyUsage, ExtensionNotFound, IPAddress
from cryptography.x509 import SubjectAlternativeName as Names
from cryptography.x509.oid import ExtendedKeyUsageOID
from service_identity import VerificationError
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import (
    DNS_ID,
    CertificatePattern,
    DNSPattern,
    IPAddress_ID,
    verify_service_identity,
)

LONGEST_SHOWN = 80
"""Characters of a certificate's names in a refusal."""


def identity(position: str, chain: str) -> str:
    return f"{position}.{chain}.chainchat"


def objection(certificate: Certificate, position: str, chain: str, hosts: Sequence[str]) -> str:
    """Why this is not the certificate of a position at its host; empty if it is.

    The certificate has to name the position, or any member could take another's place; and the
    host, because refusals there will be taken as proofs of death.

    Args:
        certificate: of a trusted CA.
        hosts: names and addresses of its host; one is enough.
    """
    name = identity(position, chain)
    try:
        patterns = [pattern for pattern in extract_patterns(certificate) if _names_one(pattern)]
        if not patterns:
            return "shows a certificate without names (subjectAltName)"
        if not _fits(patterns, name):
            return f"shows a certificate for {shown_names(certificate)}, not for {name}"
        if not any(_fits(patterns, host) for host in hosts):
            return (
                f"shows a certificate for {shown_names(certificate)}, "
                f"not for its host {' or '.join(hosts)}"
            )
        if not _is_for_both_ends(certificate):
            return "shows a certificate that is not for both ends of a connection (EKU)"
    except Exception:
        return "shows a certificate whose names cannot be understood"
    return ""


def another_position(certificate: Certificate, position: str, chain: str) -> str:
    """Another position's name, if the certificate is of that and not of this one."""
    try:
        own, known = identity(position, chain).lower(), names(certificate)
    except ValueError:
        return ""  # which is for the clients to judge
    of_chain = [name for name in known if name.lower().endswith(own.removeprefix(position))]
    return "" if own in map(str.lower, of_chain) else "".join(of_chain[:1])


def names(certificate: Certificate) -> tuple[str, ...]:
    """Names and addresses in a certificate.

    Raises:
        ValueError: they cannot be read.
    """
    try:
        found = certificate.extensions.get_extension_for_class(Names).value
    except ExtensionNotFound:
        return ()
    addresses = map(str, found.get_values_for_type(IPAddress))
    return (*found.get_values_for_type(DNSName), *addresses)


def shown_names(certificate: Certificate) -> str:
    text = ", ".join(names(certificate))
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def canonical(host: str) -> str:
    """The host as a certificate has it: each address in one way only."""
    return str(ip_address(host)) if is_address(host) else host


def _names_one(pattern: CertificatePattern) -> bool:
    """False for a wildcard, which would name every position."""
    return not (isinstance(pattern, DNSPattern) and b"*" in pattern.pattern)


def _fits(patterns: Sequence[CertificatePattern], name: str) -> bool:
    wanted = IPAddress_ID(name) if is_address(name) else DNS_ID(name)
    try:
        verify_service_identity(patterns, [wanted], [])
    except VerificationError:
        return False
    return True


def _is_for_both_ends(certificate: Certificate) -> bool:
    """True for dialling and being dialled; without the extension, all is allowed."""
    try:
        usage = certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
    except ExtensionNotFound:
        return True
    return {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} <= set(usage)
