"""What OpenSSL is told: which TLS, which certificates, whom to trust."""

from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from zope.interface import implementer

from chainchat.tls.credentials import Credentials
from chainchat.tls.failures import distrust
from chainchat.tls.layers import Encrypted

NO_CHECK_TIME = 0x200000
"""OpenSSL's ``X509_V_FLAG_NO_CHECK_TIME``, which pyOpenSSL does not name."""


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class Creator:
    """Begins TLS with the newest context: a factory keeps its creator for ever."""

    def __init__(self, context: SSL.Context) -> None:
        self.context = context

    def clientConnectionForTLS(self, _: Encrypted) -> SSL.Connection:  # noqa: N802 - Twisted's name
        return SSL.Connection(self.context, None)

    serverConnectionForTLS = clientConnectionForTLS  # noqa: N815 - Twisted's name


def between_nodes(credentials: Credentials, *, check_dates: bool) -> SSL.Context:
    """The context of links: TLS 1.3, and both ends show a certificate of a trusted CA."""
    context = _context(credentials, SSL.TLS1_3_VERSION)
    store = context.get_cert_store()
    assert store is not None
    for authority in credentials.authorities:
        store.add_cert(X509.from_cryptography(authority))
    if not check_dates:
        store.set_flags(NO_CHECK_TIME)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verified)
    return context


def for_clients(credentials: Credentials) -> SSL.Context:
    """The context for clients: TLS 1.2 at least; they show no certificate."""
    return _context(credentials, SSL.TLS1_2_VERSION)


def _context(credentials: Credentials, least: int) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(least)
    # Nothing is resumed: each connection proves again who is there.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    own, *intermediates = credentials.certificates
    context.use_certificate(own)
    for certificate in intermediates:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(credentials.key)
    return context


def _verified(connection: SSL.Connection, shown: X509, number: int, _: int, accepted: int) -> bool:
    """Note why a certificate is refused, which OpenSSL's own error does not say."""
    if not accepted:
        layer = connection.get_app_data()
        try:
            layer.distrust = distrust(number, shown.to_cryptography())
        except ValueError:
            layer.distrust = "shows a certificate that cannot be read"
    return bool(accepted)
