"""Whose certificate it is: the position and the host, or it is refused, whatever it holds."""

from ipaddress import ip_address

import pytest
from certificates import HERE, Authority
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from chainchat.tls.identity import objection

AUTHORITY = Authority()
NAME = x509.DNSName("tail.test.chainchat")
ADDRESS = x509.IPAddress(ip_address(HERE))


def refused(credentials, position="tail", hosts=(HERE,)):
    return objection(credentials.own, position, "test", hosts)


def test_a_certificate_for_the_position_and_its_address_is_accepted():
    assert refused(AUTHORITY.of("tail")) == ""


def test_a_name_of_the_host_does_as_well_as_its_address():
    named = AUTHORITY.made([NAME, x509.DNSName("tail.example.org")])
    assert refused(named, hosts=(HERE, "tail.example.org")) == ""
    assert refused(named) == (
        "shows a certificate for tail.test.chainchat, tail.example.org, not for its host 127.0.0.1"
    )


def test_capital_letters_in_the_name_of_a_chain_do_not_matter():
    lab = Authority("Field-Day.7").of("tail")
    assert objection(lab.own, "tail", "Field-Day.7", [HERE]) == ""


@pytest.mark.parametrize(
    ("credentials", "why"),
    [
        (AUTHORITY.of("head"), "for head.test.chainchat, 127.0.0.1, not for tail.test.chainchat"),
        (
            AUTHORITY.of("tail", "10.0.0.3"),
            "for tail.test.chainchat, 10.0.0.3, not for its host 127.0.0.1",
        ),
        (AUTHORITY.made([NAME]), "for tail.test.chainchat, not for its host 127.0.0.1"),
        (AUTHORITY.made([ADDRESS]), "for 127.0.0.1, not for tail.test.chainchat"),
        (AUTHORITY.made([]), "without names (subjectAltName)"),
        (
            AUTHORITY.made([x509.DNSName("*.test.chainchat"), ADDRESS]),
            "for *.test.chainchat, 127.0.0.1, not for tail.test.chainchat",
        ),
        (AUTHORITY.made([], malformed=b"\x30\x03\x82\x05a"), "whose names cannot be understood"),
        (
            AUTHORITY.made([], malformed=b"\x30\x05\x87\x03\x7f\x00\x01"),
            "whose names cannot be understood",
        ),
        (
            AUTHORITY.made([NAME, ADDRESS, x509.DNSName("10.0.0.1")]),
            "whose names cannot be understood",
        ),
        (
            AUTHORITY.made([NAME, ADDRESS], usage=(ExtendedKeyUsageOID.SERVER_AUTH,)),
            "that is not for both ends of a connection (EKU)",
        ),
        (
            AUTHORITY.made([NAME, ADDRESS], usage=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
            "that is not for both ends of a connection (EKU)",
        ),
    ],
    ids=[
        *("position", "host", "no host", "no position", "no names", "wildcard"),
        *("malformed names", "short address", "address as a name", "servers only", "clients only"),
    ],
)
def test_any_other_certificate_is_refused_in_words(credentials, why):
    assert refused(credentials) == f"shows a certificate {why}"


@pytest.mark.parametrize("position", ["", "*", "a b", "\x00", "1.2.3.4", "ä" * 99])
def test_no_position_whatever_is_an_error(position):
    assert refused(AUTHORITY.of("tail"), position) != ""


def test_what_a_stranger_writes_into_names_cannot_forge_lines_of_the_log():
    names = [x509.DNSName("a\n2026 ALARM: b"), x509.DNSName("x" * 200), ADDRESS]
    found = refused(AUTHORITY.made(names))
    assert found.isprintable()
    assert len(found) < 200
