"""Why TLS failed, in words."""

from cryptography.x509 import Certificate
from OpenSSL import SSL
from twisted.python.failure import Failure

from chainchat.tls.credentials import described

UNTRUSTED = "is of no CA that is trusted here"

_VERIFYING = {
    7: "has a wrong signature",
    9: "is not valid yet",
    10: "has expired",
    18: UNTRUSTED,
    19: UNTRUSTED,
    20: UNTRUSTED,
    21: UNTRUSTED,
    24: "is signed by a certificate that is no CA's",
    25: "is signed through more CAs than allowed",
    26: "is not for this end of a connection (EKU)",
}
"""Reasons by OpenSSL's numbers (``X509_V_ERR_…`` in ``openssl/x509_vfy.h``)."""

_ALERTS = {
    "unknown ca": "does not trust the CA of this node's certificate",
    "certificate expired": "says that this node's certificate has expired",
    "unsupported certificate": "says that this node's certificate is not for this end (EKU)",
    "certificate required": "wants a certificate, and this node shows none",
    "bad certificate": "does not accept this node's certificate",
    "certificate unknown": "does not accept this node's certificate",
    "decrypt error": "does not accept this node's certificate",
    "protocol version": "speaks no TLS that this node speaks",
    "handshake failure": "speaks no TLS that this node speaks",
}
"""What the other side says before it hangs up, in OpenSSL's words (RFC 8446, section 6.2)."""

_NO_TLS = ("wrong version number", "http request", "packet length", "unexpected message")
_OTHER_TLS = ("unsupported protocol", "no shared cipher", "version too low", "no suitable")
_NO_CERTIFICATE = ("peer did not return a certificate",)

PLAIN = "does not speak TLS: [tls] chain has to be the same in every chain.ini"

ENCRYPTED = "speaks TLS, and this node does not: [tls] chain has to be the same in every chain.ini"

RECORDS = (b"\x16\x03", b"\x15\x03")
"""First octets of a handshake and of an alert (RFC 8446, section 5.1)."""


def distrust(number: int, certificate: Certificate) -> str:
    why = _VERIFYING.get(number, f"is not accepted (OpenSSL's error {number})")
    return f"shows a certificate that {why} ({described([certificate])})"


def in_words(failure: Failure) -> str:
    """Why TLS ended a connection; empty if TLS did not."""
    error = failure.value
    if not isinstance(error, SSL.Error):
        return ""
    errors = error.args[0] if error.args else ()
    reason = " ".join(str(each) for *_, each in errors).lower()
    if "alert" in reason:
        known = (words for alert, words in _ALERTS.items() if alert in reason)
        return next(known, f"ended TLS: {reason}")
    for reasons, words in (
        (_NO_TLS, PLAIN),
        (_OTHER_TLS, "speaks no TLS that this node speaks"),
        (_NO_CERTIFICATE, "shows no certificate"),
    ):
        if any(known in reason for known in reasons):
            return words
    return f"broke TLS: {reason}"
