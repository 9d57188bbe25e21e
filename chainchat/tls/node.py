"""TLS of one node: its credentials, and what expires."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from OpenSSL import SSL

from chainchat.config import Settings
from chainchat.tls.chain import ChainTLS
from chainchat.tls.contexts import Creator, between_nodes, for_clients
from chainchat.tls.credentials import (
    Credentials,
    CredentialsError,
    described,
    is_signed_by,
    load,
    utc_now,
)
from chainchat.tls.expiry import Expiry
from chainchat.tls.identity import another_position, objection


class NodeCredentials(Struct, frozen=True):
    """What the files of ``[tls]`` hold.

    Attributes:
        chain: for the other nodes; None without TLS between nodes.
        clients: None if they get no TLS.
    """

    chain: Credentials | None
    clients: Credentials | None


def read(settings: Settings, position: str, address: str) -> NodeCredentials:
    """Read the files that a position needs.

    Raises:
        CredentialsError: a file is not there or cannot be used, or is not for this node.
    """
    files, own = settings.tls.of(position), settings.nodes[position]
    chain = clients = None
    if settings.chain_tls:
        chain = load(files.certificate, files.key, files.ca)
        unfit = objection(chain.own, position, settings.name, _different(own.host, address))
        if unfit:
            raise CredentialsError(f"{files.certificate}: {unfit.replace('shows', 'is', 1)}")
        if not _is_trusted(chain):
            raise CredentialsError(f"{files.certificate}: is of none of the CAs in {files.ca}")
        _try(files.certificate, lambda: between_nodes(chain, check_dates=settings.check_dates))
    if own.tls_port:
        clients = load(files.client_certificate, files.client_key)
        other = another_position(clients.own, position, settings.name)
        if other:
            raise CredentialsError(f"{files.client_certificate}: is the certificate of {other}")
        _try(files.client_certificate, lambda: for_clients(clients))
    return NodeCredentials(chain, clients)


def _try(path: Path, context: Callable[[], object]) -> None:
    try:
        context()
    except SSL.Error as error:
        reasons = ", ".join(str(each) for *_, each in error.args[0]) if error.args else "refused"
        raise CredentialsError(f"{path}: OpenSSL does not take it: {reasons}") from None


def _different(*hosts: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(hosts))


def _is_trusted(credentials: Credentials) -> bool:
    """True if the CA may have signed the certificate or its last intermediate."""
    return any(is_signed_by(credentials.certificates[-1], each) for each in credentials.authorities)


def _news(old: Credentials | None, new: Credentials | None) -> Iterator[str]:
    if old is None or new is None:
        return
    if old.certificates != new.certificates:
        yield f"the certificate {described(new.certificates)}"
    if old.authorities != new.authorities:
        shown = "; ".join(described([each]) for each in new.authorities)
        yield f"the CAs that this node trusts: {shown}"


class NodeTLS:
    """TLS of one node.

    Attributes:
        chain: for the links, if they have TLS.
        clients: begins TLS with clients, if they get any.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        credentials: NodeCredentials,
        addresses: Mapping[str, str],
    ) -> None:
        self.expiry = Expiry(utc_now)
        self._credentials = credentials
        names = {p: (node.host, addresses[p]) for p, node in settings.nodes.items()}
        self.chain: ChainTLS | None = None
        self.clients: Creator | None = None
        if credentials.chain is not None:
            self.chain = ChainTLS(
                reactor,
                settings.name,
                names,
                credentials.chain,
                self.expiry,
                check_dates=settings.check_dates,
            )
        if credentials.clients is not None:
            self.clients = Creator(for_clients(credentials.clients))
        self._note(credentials, check_dates=settings.check_dates)

    def check(self, credentials: NodeCredentials, *, check_dates: bool) -> None:
        """Check that new credentials are no worse than those that serve.

        Raises:
            CredentialsError: a new certificate is not valid now, or no CA is trusted any more that
                the other nodes trust.
        """
        old, new = self._credentials, credentials
        for before, after in (old.chain, new.chain), (old.clients, new.clients):
            if before is None or after is None:
                continue
            is_new = before.certificates != after.certificates
            if is_new and check_dates and not after.begins <= utc_now() <= after.expires:
                text = f"the certificate {described(after.certificates)}: not valid today"
                raise CredentialsError(text)
            if before.authorities and not set(before.authorities) & set(after.authorities):
                raise CredentialsError(
                    "none of the CAs that are trusted now is in the new ca file: until all servers "
                    "trust both, put both into it; or restart all servers"
                )

    def renew(self, credentials: NodeCredentials, *, check_dates: bool) -> list[str]:
        """Use new credentials for the connections to come; return news for an operator."""
        old, self._credentials = self._credentials, credentials
        if self.chain is not None and credentials.chain is not None:
            self.chain.renew(credentials.chain, check_dates=check_dates)
        if self.clients is not None and credentials.clients is not None:
            self.clients.context = for_clients(credentials.clients)
        self._note(credentials, check_dates=check_dates)
        pairs = (old.chain, credentials.chain), (old.clients, credentials.clients)
        return list(dict.fromkeys(f"reloaded: {news}" for pair in pairs for news in _news(*pair)))

    def _note(self, credentials: NodeCredentials, *, check_dates: bool) -> None:
        chain, clients = credentials.chain, credentials.clients
        own = chain.certificates if chain is not None and check_dates else ()
        self.expiry.note("this node's certificate", own)
        self.expiry.note("the CA", chain.authorities if chain is not None and check_dates else ())
        self.expiry.note(
            "the certificate for clients",
            clients.certificates if clients is not None and clients.own not in own else (),
        )
