"""Checks before a node starts, while the terminal can still show what is wrong."""

import errno
import os
import pwd
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from twisted.logger import Logger
from twisted.python.util import runAsEffectiveUser

from chainchat import config
from chainchat.network.control_socket import objection_to as objection_to_path
from chainchat.network.resolving import web_address
from chainchat.storage.durable import make_folder, try_room
from chainchat.storage.interface import StorageError
from chainchat.storage.lock import DataLock
from chainchat.storage.private import narrowed, user_name
from chainchat.storage.sqlite import DATABASE, SQLiteStorage

FIRST_PASSED = 3
"""The first file that a service manager passes (``sd_listen_fds(3)``)."""

LENT_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
RESERVED_PORTS = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
"""Ports that Linux gives to outgoing connections, and those of them that it keeps."""

LOG_MODE = 0o640
"""Permissions of a log file, which a group may be given to read."""

log = Logger()


def check_system() -> None:
    """Check that a clock goes on while the machine sleeps.

    Raises:
        ConfigError: none does.
    """
    if not hasattr(time, "CLOCK_BOOTTIME") and sys.platform != "darwin":
        raise config.ConfigError(
            f"a node needs Linux or macOS: no clock of this system ({sys.platform}) goes on while "
            "the machine sleeps, so a node that wakes would believe what is long past"
        )


def check_control(settings: config.Settings, node: config.NodeSettings) -> None:
    """Check the length of the control socket's path.

    Raises:
        ConfigError: it is too long.
    """
    objection = objection_to_path(node.data)
    if objection:
        raise config.ConfigError(
            f"{settings.path}: [{node.position}] data = {node.data}: {objection}"
        )


class User(NamedTuple):
    """The user that a node runs as."""

    uid: int
    gid: int

    @classmethod
    def chosen(cls, uid: int | None = None, gid: int | None = None) -> "User":
        """The user whom twistd's ``--uid`` and ``--gid`` choose; None for an option not given.

        Raises:
            ConfigError: there is no such user, or it is not root who chooses.
        """
        own = user = cls(os.geteuid(), os.getegid())
        if uid is not None:
            try:
                user = cls(uid, pwd.getpwuid(uid).pw_gid)
            except KeyError:
                raise config.ConfigError(f"--uid {uid}: there is no such user") from None
        if gid is not None:
            user = cls(user.uid, gid)
        if own.uid and user != own:
            raise config.ConfigError(
                "--uid and --gid are for root: start as root, or as that user without them"
            )
        return user

    def does(self, what: Callable[..., object], *arguments: object) -> None:
        runAsEffectiveUser(self.uid, self.gid, what, *arguments)


def check_data(data: Path, user: User) -> None:
    """Check that the node can use its data; make the folder if there is none.

    Raises:
        StorageError: the node cannot.
    """
    try:
        if not data.is_dir():
            _refuse_what_is_no_folder(data)
            _make_data(data, user)
        owner = data.stat().st_uid
        if user.uid not in (0, owner):
            name, other = user_name(user.uid), user_name(owner)
            raise StorageError(
                f"{data} belongs to {other}, and this node is to run as {name}: "
                f"chown -R {name} {data}, or run as {other}"
            )
    except OSError as error:
        raise StorageError(f"{data}: {error.strerror}") from None
    user.does(_try_data, data)


def _refuse_what_is_no_folder(data: Path) -> None:
    found = next(path for path in (data, *data.parents) if os.path.lexists(path))
    if found.is_dir():
        return
    why = "is no folder"
    if not found.exists():
        why = f"leads to {found.readlink()}, which is not there: is its disk not mounted?"
    raise StorageError(f"{data}: {why}" if found == data else f"{data}: {found} {why}")


def _make_data(data: Path, user: User) -> None:
    try:
        user.does(make_folder, data)
    except PermissionError:
        if os.geteuid():
            raise
        make_folder(data)  # where only root may
        os.chown(data, *user)


def _try_data(data: Path) -> None:
    lock = DataLock(data)
    try:
        try_room(data)
    except OSError as error:
        raise StorageError(f"{data}: {error.strerror}") from None
    finally:
        lock.release()
    if (data / DATABASE).exists():
        SQLiteStorage(data).close()


def keep_log_private(log: Path, user: User) -> None:
    """Make the log file, for the node's user and its group alone: twistd opens it as root.

    Raises:
        SystemExit: it cannot be written.
    """
    if log.is_char_device() and log.samefile(os.devnull):
        return
    if log.exists() and not log.is_file():
        raise SystemExit(
            f"chainchat: {log} is no file: name one with twistd --logfile=FILE, or run twistd -n"
        )
    given_away = user != User.chosen()
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    try:
        # A user must not be given what a link of theirs leads to.
        file = os.open(log, flags | os.O_NOFOLLOW if given_away else flags, LOG_MODE)
        try:
            found = os.fstat(file)
            with suppress(PermissionError):  # another's log, which this user may write
                os.fchmod(file, found.st_mode & LOG_MODE)
            if given_away and found.st_nlink == 1:
                os.fchown(file, *user)
        finally:
            os.close(file)
    except OSError as error:
        raise SystemExit(f"chainchat: {log}: {error.strerror}") from None


def keep_data_private(node: config.NodeSettings) -> None:
    """Close to others what a copy left open, and log that."""
    data, text = node.data, ""
    try:
        if names := narrowed(data):
            text = f"others could reach {', '.join(names)}: now only their owner can"
    except OSError as error:
        text = f"others cannot be kept from these data: {error.strerror}"
    if text:
        values = {"position": node.position, "data": data, "text": text}
        log.warn("{position}: {data}: {text}", event="permissions", **values)


def check_folder_free(pidfile: Path) -> None:
    """Refuse a pid file whose process is a node of another chain, in this folder.

    Raises:
        SystemExit: there is such a process.
    """
    try:
        pid = int(pidfile.read_text())
        process = Path("/proc") / str(pid)
        here = (process / "cwd").samefile(pidfile.parent.absolute())
        is_node = here and b"chainchat" in (process / "cmdline").read_bytes()
    except (OSError, ValueError):  # there is none, or not on this system
        return
    if is_node and pid != os.getpid():
        raise SystemExit(
            f"chainchat: {pidfile.absolute()} is of process {pid}, a node of another chain: start "
            f"each chain in a folder of its own, or name other files: twistd --pidfile=FILE "
            "--logfile=FILE chainchat …"
        )


def check_folder(folder: Path) -> None:
    """Check that twistd can work in a folder; its own error would be a traceback.

    Raises:
        SystemExit: it cannot.
    """
    if not os.access(folder, os.X_OK) or not folder.is_dir():
        raise SystemExit(f"chainchat: --rundir {folder}: there is no such folder for this user")


def remove_stale(pidfile: Path) -> None:
    """Remove the pid file of a process that is gone.

    Raises:
        SystemExit: it cannot be removed.
    """
    try:
        pidfile.unlink(missing_ok=True)
    except OSError as error:
        raise SystemExit(f"chainchat: {pidfile}: {error.strerror}") from None


def check_writable(pidfile: Path) -> None:
    """Check that twistd can write a pid file; its own error would be a traceback.

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

    It would take connections after the death of this process, which only a refusal proves.

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
    try:
        with socket.socket(fileno=os.dup(number)) as passed:
            return bool(passed.getsockname()[1:2] == (port,))
    except OSError:
        return False


def probe_ports(
    settings: config.Settings, node: config.NodeSettings, host: str, client_host: str
) -> None:
    """Check that the node's ports are free, at the addresses of its hosts.

    Raises:
        ConfigError: one is not; the text names the key to change.
    """
    ports = {
        "chain-port": (host, node.chain_port, node.chain_host_key),
        "client-port": (client_host, node.client_port, node.client_host_key),
        "tls-port": (client_host, node.tls_port, node.client_host_key),
        "web-port": (web_address(settings, node), node.web_port, "web-host"),
    }
    for key, (address, port, host_key) in ports.items():
        if not port:
            continue
        try:
            _bind(address, port)
        except OSError as error:
            advice = f"stop what uses it or choose another {key}"
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                advice = f"choose a {host_key} of this machine"
            elif error.errno == errno.EACCES:
                advice = f"start as root with twistd --uid USER, or choose another {key}"
            raise config.ConfigError(
                f"{settings.path}: [{node.position}] {key} = {port}: cannot listen on {address}: "
                f"{error.strerror}; {advice}"
            ) from None


def borrowed_ports(
    node: config.NodeSettings, lent: Path = LENT_PORTS, reserved: Path = RESERVED_PORTS
) -> list[str]:
    """Warnings of ports that the system gives to outgoing connections, too.

    ``lent`` holds the first and the last such port, ``reserved`` those not given away.
    """
    try:
        first, last = map(int, lent.read_text().split())
        kept = reserved.read_text().strip()
    except (OSError, ValueError):  # no Linux, or no /proc
        return []
    ports = {
        "chain-port": node.chain_port,
        "client-port": node.client_port,
        "tls-port": node.tls_port,
        "web-port": node.web_port,
    }
    return [
        f"{key} = {port} is among those that the system gives to outgoing connections ({first} to "
        f"{last}): one of them may have it when this node starts again; choose another, or name it "
        "in net.ipv4.ip_local_reserved_ports"
        for key, port in ports.items()
        if first <= port <= last and not _is_listed(port, kept)
    ]


def _is_listed(port: int, ranges: str) -> bool:
    pairs = (text.partition("-") for text in ranges.split(",") if text)
    return any(int(first) <= port <= int(last or first) for first, _, last in pairs)


def _bind(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
