"""TLS between the nodes of one chain."""

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IProtocolFactory

from chainchat.chain.configuration import Member
from chainchat.tls.contexts import Creator, between_nodes
from chainchat.tls.credentials import Credentials
from chainchat.tls.expiry import Expiry
from chainchat.tls.identity import objection
from chainchat.tls.layers import certificate, encrypted


class ChainTLS:
    """TLS for the links of a node.

    Args:
        names: by position, the host in ``chain.ini`` and its address.
        expiry: is told about the others' certificates.
    """

    def __init__(
        self,
        reactor: Any,
        chain: str,
        names: Mapping[str, tuple[str, str]],
        credentials: Credentials,
        expiry: Expiry,
        *,
        check_dates: bool,
    ) -> None:
        self._reactor = reactor
        self._chain = chain
        self._names = names
        self._expiry = expiry
        self._check_dates = check_dates
        self._creator = Creator(between_nodes(credentials, check_dates=check_dates))

    def renew(self, credentials: Credentials, *, check_dates: bool) -> None:
        self._creator.context = between_nodes(credentials, check_dates=check_dates)
        self._check_dates = check_dates

    def secured(self, factory: Any, *, dials: bool) -> IProtocolFactory:
        return encrypted(factory, self._creator, self._reactor, dials=dials)

    def objection(self, transport: Any, member: Member) -> str:
        """Why the other side of a connection cannot be ``member``; empty if it can.

        OpenSSL has verified the certificate itself. Twisted's own check of names accepts what it
        does not understand.
        """
        try:
            shown = certificate(transport)
        except ValueError:
            return "shows a certificate that cannot be read"
        if shown is None:
            return "shows no certificate"
        name, address = self._names.get(member.position, ("", ""))
        hosts = [member.host, *([name] if address == member.host and name != address else [])]
        unfit = objection(shown, member.position, self._chain, hosts)
        if not unfit:
            self._expiry.note(_of(member.position), [shown] if self._check_dates else [])
        return unfit

    def warning(self, position: str) -> str:
        return self._expiry.warning(_of(position))


def _of(position: str) -> str:
    return f"the certificate of {position}"
