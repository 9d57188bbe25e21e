"""How ``chainchatctl`` asks a node."""

import errno
import json
import re
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

from chainchat import config
from chainchat.network.control_socket import objection_to, socket_of

PATIENCE = 3.0
"""Seconds until somebody at the terminal is told to wait."""

MISUSE = ("500", "501", "502", "503", "504", "520")

WAIT_FOR_CHAIN = (
    "waiting for the chain to confirm; Ctrl-C ends the waiting, and what was asked for may still "
    "be done"
)

_LINE = re.compile(r"(\+OK|-ERR (?P<code>\d+)|[|.]) @\S+ ?(?P<rest>.*)")


class RefusedError(Exception):
    """The node or the chain refuses."""


class UnreachableError(Exception):
    """There is nobody to ask, or the question is wrong; the text says what to do."""


def chosen_node(settings: config.Settings, position: str | None) -> config.NodeSettings:
    """Return the node at ``position``, or the only one whose data are on this machine.

    Raises:
        UnreachableError: there is none, or there are several.
    """
    nodes = settings.nodes
    if position is not None:
        if position not in nodes:
            known = ", ".join(nodes)
            raise UnreachableError(
                f"--position {position} is not known; {settings.path} has: {known}"
            )
        return nodes[position]
    here = [name for name, node in nodes.items() if is_here(node)]
    if len(here) == 1:
        return nodes[here[0]]
    if here:
        raise UnreachableError(
            f"{len(here)} nodes have their data on this machine: choose one by --position, "
            f"as in --position {here[0]} (or {', '.join(here[1:])})"
        )
    folders = ", ".join(str(node.data) for node in nodes.values())
    raise UnreachableError(
        f"no node of {settings.path} has its data on this machine (looked for {folders}): "
        "ask on the machine where the node runs"
    )


def is_here(node: config.NodeSettings) -> bool:
    try:
        return node.data.is_dir()
    except PermissionError:  # whoever may not look will be told so
        return True


class Connection:
    """A connection to a node's control socket.

    Raises:
        UnreachableError: nothing answers there; the text says why.
    """

    def __init__(self, node: config.NodeSettings) -> None:
        self._position = node.position
        objection = objection_to(node.data)
        if objection:
            raise UnreachableError(objection)
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(socket_of(node.data)))
        except OSError as error:
            self._socket.close()
            raise UnreachableError(_why_not(node, error)) from None
        self._lines = self._socket.makefile("rb")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def ask(
        self, command: str, told_to_wait: Callable[[], None], *, patience: float = PATIENCE
    ) -> Iterator[Any]:
        """Yield what the node answers: a value, or the items of a list.

        ``told_to_wait`` is called once, after ``patience`` seconds without an answer.

        Raises:
            RefusedError: the node refuses.
            UnreachableError: the command is wrong, or the node has ended.
        """
        self._socket.sendall(f"@1 {command}\n".encode())
        self._wait(told_to_wait, patience)
        for line in self._lines:
            found = _LINE.fullmatch(line.decode().rstrip("\n"))
            if found is None:
                break
            match found[1]:
                case "|":
                    yield json.loads(found["rest"])
                case "+OK":
                    yield json.loads(found["rest"])
                    return
                case ".":
                    return
                case _ if found["code"] in MISUSE:
                    raise UnreachableError(found["rest"])
                case _:
                    raise RefusedError(found["rest"])
        raise UnreachableError(
            f"{self._position} has ended the connection without an answer: look into its log; "
            "what was asked for may or may not have been done"
        )

    def wait_for_end(self) -> None:
        for _ in self._lines:
            pass

    def _wait(self, told_to_wait: Callable[[], None], patience: float) -> None:
        self._socket.settimeout(patience)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            told_to_wait()
        except OSError:  # the node has ended, as reading will show
            pass
        self._socket.settimeout(None)


def _why_not(node: config.NodeSettings, error: OSError) -> str:
    position, data = node.position, node.data
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return (
                f"only the owner of {data} may ask {position}: run this as that user "
                "(sudo -u USER chainchatctl …) or as root"
            )
        case errno.ENOENT if not data.is_dir():
            return (
                f"{data} is not on this machine: ask where {position} runs ({node.host}), "
                "or choose another --config"
            )
        case errno.ENOENT | errno.ECONNREFUSED:
            return f"{position} is not running: nobody listens at {socket_of(data)}"
        case errno.EAGAIN:
            return f"{position} does not take connections: it is stopped, or much too busy"
    return f"{socket_of(data)}: {error.strerror}"


def tell_to_wait(why: str = WAIT_FOR_CHAIN) -> None:
    print(f"chainchatctl: {why}", file=sys.stderr)
