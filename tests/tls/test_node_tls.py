"""What a node looks at before it shows a certificate to anybody."""

import pytest
from certificates import HERE, Authority, written
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import DNSName
from msgspec.structs import replace

from chainchat import config
from chainchat.tls.credentials import CredentialsError
from chainchat.tls.node import NodeTLS, read

AUTHORITY = Authority()
LEAST = """\
[chain]
name = test
founding = head
[tls]
chain = yes
[head]
tls-port = 7201
"""


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "chain.ini").write_text(LEAST)
    return config.load(tmp_path / "chain.ini")


def shows(settings, credentials):
    written(credentials, settings.path.parent / "tls/head")
    return read(settings, "head", HERE)


def test_what_openssl_does_not_take_is_told_before_the_start(settings):
    weak = rsa.generate_private_key(65_537, 1_024)
    with pytest.raises(CredentialsError, match=r"node.crt: OpenSSL does not take it: ee key"):
        shows(settings, AUTHORITY.made(AUTHORITY.names("head"), key=weak))


def test_clients_are_not_shown_the_certificate_of_another_position(settings):
    plain = settings.path.read_text().replace("chain = yes", "chain = no")
    settings.path.write_text(plain)
    settings = config.load(settings.path)
    with pytest.raises(CredentialsError, match=r"node.crt: is the certificate of tail.test.chain"):
        shows(settings, AUTHORITY.of("tail"))
    assert shows(settings, AUTHORITY.of("head")).chain is None
    anywhere = [DNSName("chat.example.org"), DNSName("*.example.org")]
    assert shows(settings, AUTHORITY.made(anywhere)).clients
    assert shows(
        settings, AUTHORITY.made(AUTHORITY.names("tail") + AUTHORITY.names("head"))
    ).clients


def test_a_renewal_is_told_once_and_nothing_if_nothing_is_new(settings):
    first = shows(settings, AUTHORITY.of("head"))
    tls = NodeTLS(None, settings, first, {"head": HERE})
    assert tls.renew(read(settings, "head", HERE), check_dates=True) == []
    [line] = tls.renew(shows(settings, AUTHORITY.of("head")), check_dates=True)
    assert line.startswith("reloaded: the certificate CN=test, valid from 20")


@pytest.mark.parametrize("days", [(-20, -10), (10, 20)])
def test_a_new_certificate_that_is_not_valid_today_is_no_better(settings, days):
    tls = NodeTLS(None, settings, shows(settings, AUTHORITY.of("head")), {"head": HERE})
    bad = shows(settings, AUTHORITY.made(AUTHORITY.names("head"), days=days))
    with pytest.raises(CredentialsError, match=r"CN=test, valid from \S+ to \S+: not valid today$"):
        tls.check(bad, check_dates=True)
    tls.check(bad, check_dates=False)
    NodeTLS(None, settings, bad, {"head": HERE}).check(bad, check_dates=True)  # nothing new


def test_a_ca_is_replaced_by_way_of_both(settings):
    old, new = AUTHORITY.of("head"), Authority().of("head")
    tls = NodeTLS(None, settings, shows(settings, old), {"head": HERE})
    with pytest.raises(CredentialsError, match="none of the CAs that are trusted now is in the"):
        tls.check(shows(settings, new), check_dates=True)
    both = replace(old, authorities=old.authorities + new.authorities)
    for step in (both, replace(new, authorities=both.authorities), new):
        found = shows(settings, step)
        tls.check(found, check_dates=True)
        assert tls.renew(found, check_dates=True)


def test_without_dates_nothing_between_nodes_is_warned_of(settings):
    soon = shows(settings, AUTHORITY.made(AUTHORITY.names("head"), days=(-1, 9)))
    tls = NodeTLS(None, settings, soon, {"head": HERE})
    assert [w.partition(" expires")[0] for w in tls.expiry.warnings] == ["this node's certificate"]
    tls.renew(soon, check_dates=False)
    assert [w.partition(" expires")[0] for w in tls.expiry.warnings] == [
        "the certificate for clients"
    ]
