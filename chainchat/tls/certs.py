"""``chainchat-certs``: the CA of a chain, and a folder for each position, ready to copy."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509 import Certificate

from chainchat import __version__, config
from chainchat.tls.authority import new_authority, new_certificate, new_key, pem
from chainchat.tls.credentials import (
    CredentialsError,
    PrivateKey,
    days_left,
    is_signed_by,
    read_certificates,
    read_key,
    utc_now,
)
from chainchat.tls.identity import canonical, identity, is_address, names, objection

ABOUT = """\
Makes what [tls] of chain.ini needs: a CA for this chain, and for each position a folder with its
certificate and key. Copy each folder to the machine of its position; leave ca.key where it is, or
lock it away. What is there is never overwritten: a second run makes only what is missing."""

OWNERS_FOLDER, OWNERS_FILE = 0o700, 0o600


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help explains the options)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if all is as chain.ini wants it, 1 if something is not, 2 for wrong options."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        settings = config.load(options.config)
        folder = options.folder or settings.path.parent / "tls"
        workshop = Workshop(settings, folder, options.name or ())
        if options.show:
            return workshop.show()
        for position in options.renew or ():
            if position not in settings.nodes:
                known = ", ".join(settings.nodes)
                parser.error(f"--renew {position}: {settings.path} has: {known}")
        return workshop.make(options.renew or ())
    except (config.ConfigError, CredentialsError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{parser.prog}: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1


class Workshop:
    """A folder for the CA, and one for each position.

    ``client_names`` are names by which clients know every node.
    """

    def __init__(
        self, settings: config.Settings, folder: Path, client_names: Sequence[str]
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._client_names = client_names
        self._now = utc_now()

    def make(self, renewed: Sequence[str]) -> int:
        """Make what is missing, and new certificates for ``renewed``; return the exit status."""
        os.umask(0o077)
        self._folder.mkdir(mode=OWNERS_FOLDER, parents=True, exist_ok=True)
        authority, key = self._authority()
        stale = 0
        for position in self._settings.nodes:
            if position in renewed or not self._certificate(position).exists():
                self._renew(position, authority, key)
            else:
                wanted = () if renewed else self._client_names
                stale += self._is_stale(position, authority, wanted)
        return 1 if stale else 0

    def show(self) -> int:
        for name in ("ca", *self._settings.nodes):
            path = self._certificate(name)
            if not path.exists():
                print(f"{path}: is missing; chainchat-certs makes it")
                continue
            for certificate in read_certificates(path):
                print(f"{path}: {_described(certificate, self._now)}")
        return 0

    def _certificate(self, name: str) -> Path:
        return self._folder / ("ca.crt" if name == "ca" else f"{name}/node.crt")

    def _authority(self) -> tuple[Certificate, PrivateKey | None]:
        certificate, key = self._folder / "ca.crt", self._folder / "ca.key"
        if certificate.exists():
            private = read_key(key) if key.exists() else None
            return _signer(certificate, private), private
        made = read_key(key) if key.exists() else new_key()
        if not isinstance(made, EllipticCurvePrivateKey):
            raise CredentialsError(f"{key}: is no EC key, and chainchat-certs makes no other CA")
        if not key.exists():
            _write(key, pem(made))
        authority = new_authority(self._settings.name, made, self._now)
        _write(certificate, pem(authority))
        print(f"{certificate}: made; {key} signs for it: lock it away, no node needs it")
        return authority, made

    def _renew(self, position: str, authority: Certificate, key: PrivateKey | None) -> None:
        if key is None:
            raise CredentialsError(
                f"{self._folder / 'ca.key'}: is not here, and without it nothing can be signed; "
                "bring it back, or make another CA (docs/security.md)"
            )
        folder, path = self._folder / position, self._certificate(position)
        folder.mkdir(mode=OWNERS_FOLDER, exist_ok=True)
        there = read_certificates(path) if path.exists() else ()
        for file in ("node.key", "node.crt", "ca.crt"):
            _set_aside(folder / file)
        own = new_key()
        wanted = dict.fromkeys(
            map(canonical, (*self._names(position), *_others(there), *self._client_names))
        )
        made = new_certificate(
            wanted,
            chain=self._settings.name,
            key=own,
            authority=authority,
            authority_key=key,
            now=self._now,
        )
        _write(folder / "ca.crt", (self._folder / "ca.crt").read_bytes())
        _write(folder / "node.key", pem(own))
        _write(path, pem(made))
        print(f"{path}: made, {_described(made, self._now)}; copy {folder} to its machine")

    def _names(self, position: str) -> tuple[str, ...]:
        node = self._settings.nodes[position]
        return identity(position, self._settings.name), node.host, node.client_host

    def _is_stale(self, position: str, authority: Certificate, wanted: Sequence[str]) -> bool:
        """Print whether a certificate fits; ``wanted`` are clients' names."""
        path = self._certificate(position)
        there = read_certificates(path)[0]
        _, host, *client_hosts = map(canonical, self._names(position))
        wanted = [*client_hosts, *map(canonical, wanted)]
        missing = [name for name in wanted if name not in names(there)]
        problem = objection(there, position, self._settings.name, [host])
        if problem:
            problem = problem.replace("shows", "is", 1)
        elif not is_signed_by(there, authority):
            problem = "is of another CA than ca.key"
        elif missing:
            problem = f"does not name {', '.join(missing)}"
        advice = f"; --renew {position} makes another" if problem else ", and stays"
        print(f"{path}: {problem or _described(there, self._now)}{advice}")
        return bool(problem)


def _signer(path: Path, key: PrivateKey | None) -> Certificate:
    found = read_certificates(path)
    if key is None:
        return found[0]
    for certificate in found:
        if certificate.public_key() == key.public_key():
            return certificate
    raise CredentialsError(f"{path}: has no certificate of the key beside it")


def _others(certificates: Sequence[Certificate]) -> tuple[str, ...]:
    """Clients' names, which are kept at a renewal."""
    found = names(certificates[0]) if certificates else ()
    return tuple(n for n in found if not is_address(n) and not n.endswith(".chainchat"))


def _described(certificate: Certificate, now: datetime) -> str:
    shown = ", ".join(names(certificate)) or "the CA"
    expires = certificate.not_valid_after_utc
    return f"for {shown}, until {expires:%F} ({days_left(expires, now)} days)"


def _write(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(path, flags, OWNERS_FILE), "wb") as file:
        file.write(data)


def _set_aside(path: Path) -> None:
    if path.exists():
        number = next(n for n in range(1, 10**6) if not path.with_name(f"{path.name}.{n}").exists())
        path.rename(path.with_name(f"{path.name}.{number}"))


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="chainchat-certs",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--config",
        metavar="chain.ini",
        type=Path,
        default=Path("chain.ini"),
        help="whose positions and hosts (default: ./chain.ini)",
    )
    add(
        "--folder",
        metavar="FOLDER",
        type=Path,
        help="where to make them (default: the folder tls beside chain.ini)",
    )
    add(
        "--renew",
        metavar="POSITION",
        action="append",
        help="make a new key and certificate; the old ones get a number (repeat it for more)",
    )
    add(
        "--name",
        metavar="NAME",
        type=_client_name,
        action="append",
        help="a name or address that clients use, as in chat.example.org, for new certificates",
    )
    add("--show", action="store_true", help="show names and dates, and change nothing")
    add("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _client_name(text: str) -> str:
    label = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
    if not re.fullmatch(rf"{label}(\.{label})*|[0-9a-fA-F:.]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name of one host (no wildcards)")
    return text


if __name__ == "__main__":
    sys.exit(main())
