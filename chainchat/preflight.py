"""Preflight: what is checked before a node starts, while it can still be said on the terminal."""

import errno
import os
import socket
from ipaddress import ip_address
from pathlib import Path

from chainchat import config
from chainchat.addresses import objection_to
from chainchat.storage.durable import try_room
from chainchat.storage.interface import StorageError
from chainchat.storage.lock import DataLock
from chainchat.storage.sqlite import DATABASE, SQLiteStorage

FIRST_PASSED = 3
"""The first file that a service manager passes to a process (``sd_listen_fds(3)``)."""


def addresses(settings: config.Settings) -> dict[str, str]:
    """The address of every node, resolved once.

    Raises:
        ConfigError: a name is unknown; or some nodes are on loopback, where the others cannot reach
            them.
    """
    addresses = {p: _address(settings, node) for p, node in settings.nodes.items()}
    local = [p for p, address in addresses.items() if ip_address(address).is_loopback]
    if local and len(local) < len(addresses):
        node = settings.nodes[local[0]]
        raise config.ConfigError(
            f"{settings.path}: [{node.position}] host = {node.host} is this machine to itself "
            f"({addresses[node.position]}), but other nodes are elsewhere; name the address that "
            "the others reach it by"
        )
    return addresses


def _address(settings: config.Settings, node: config.NodeSettings) -> str:
    try:
        found = socket.getaddrinfo(node.host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise config.ConfigError(
            f"{settings.path}: [{node.position}] host = {node.host}: {error.strerror}; "
            "name a host or an IPv4 address"
        ) from None
    address = str(found[0][4][0])
    unusable = objection_to(address)
    if unusable:
        raise config.ConfigError(
            f"{settings.path}: [{node.position}] host = {node.host}: {unusable}; name the address "
            "that the others reach this node by"
        )
    return address


def check_data(data: Path) -> None:
    """Check that the node can use its data.

    If no process holds them, the process that a pid file names is not this node.

    Raises:
        StorageError: the node cannot.
    """
    lock = DataLock(data)
    try:
        try_room(data)
    except OSError as error:
        raise StorageError(f"{data}: {error.strerror}") from None
    finally:
        lock.release()
    if (data / DATABASE).exists():
        SQLiteStorage(data).close()


def check_writable(pidfile: Path) -> None:
    """Check that twistd can write a process id, for which it would show a traceback.

    Raises:
        SystemExit: it cannot.
    """
    attempt = pidfile.with_name(f"{pidfile.name}.new")
    try:
        try:
            attempt.write_text(f"{os.getpid()}\n")
        finally:
            attempt.unlink(missing_ok=True)
    except OSError as error:
        raise SystemExit(f"chainchat: {pidfile}: {error.strerror}") from None


def refuse_passed_port(settings: config.Settings, node: config.NodeSettings) -> None:
    """Check that nobody else holds the chain port open.

    The port would still take connections after the death of this process, which only a refusal
    proves to the other nodes.

    Raises:
        ConfigError: a service manager has passed the listening socket to this process.
    """
    passed = os.environ.get("LISTEN_FDS", "")
    for number in range(FIRST_PASSED, FIRST_PASSED + int(passed) if passed.isdigit() else 0):
        if _listens(number, node.chain_port):
            raise config.ConfigError(
                f"{settings.path}: [{node.position}] chain-port = {node.chain_port}: somebody "
                "holds it open for this process (socket activation, LISTEN_FDS), and would when "
                "the process is dead; let the node open it itself"
            )


def _listens(number: int, port: int) -> bool:
    """True if an open file of this process listens on a port."""
    try:
        with socket.socket(fileno=os.dup(number)) as passed:
            return bool(passed.getsockname()[1:2] == (port,))
    except OSError:
        return False


def probe_ports(settings: config.Settings, node: config.NodeSettings, host: str) -> None:
    """Check that the node's ports are free.

    Raises:
        ConfigError: one is not; names the key to change.
    """
    ports = {
        "chain-port": node.chain_port,
        "client-port": node.client_port,
        "tls-port": node.tls_port,
    }
    for key, port in ports.items():
        if not port:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                advice = f"stop what uses it or choose another {key}"
                if error.errno == errno.EADDRNOTAVAIL:
                    advice = "choose a host of this machine"
                raise config.ConfigError(
                    f"{settings.path}: [{node.position}] {key} = {port}: cannot listen on {host}: "
                    f"{error.strerror}; {advice}"
                ) from None
