"""A machine of its own for every node: network namespaces on a switch, and packets that get lost.

Each node has a namespace with one address. One more is *outside*: there the switch is, and there
the clients are. Who enters a ``Networks`` is outside, with all threads and processes started
meanwhile.

A packet is lost as in a broken cable: nobody refuses it, nobody is told. Its sender is made to
believe in a wrong hardware address of its receiver. All hardware addresses are given by hand:
nothing has to be found out, so an attempt to reach a machine ends with its time and no sooner.
"""

import atexit
import contextlib
import ctypes
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

ADDRESS = "10.77.0.{}"
"""Of the machine with this number. Only the namespaces know of it, so it is in nobody's way."""

HARDWARE = "02:00:00:00:00:{:02x}"
"""02: given by hand."""

OUTSIDE, NOBODY = 254, 255
"""Numbers that are no node's."""

NAMESPACES = Path("/var/run/netns")

RENO = "net.ipv4.tcp_congestion_control=reno"

OVER = ("06", "07", "0A")
"""States of a socket that sends nothing any more, as /proc/net/tcp has them."""

CLONE_NEWNET = 0x40000000

Way = tuple[str, str]
"""A sender and a receiver, by position."""

_serial = itertools.count(1)


class NotPermittedError(Exception):
    """This user on this machine cannot have network namespaces; says why."""


class Networks:
    """The machines of one cluster; all is whole at first.

    Attributes:
        hosts: the address of each machine, by position.
    """

    def __init__(self, positions: Sequence[str]) -> None:
        """Make the machines and plug them in.

        Raises:
            NotPermittedError: it cannot be done here.
            FileNotFoundError: there is no ``ip``.
        """
        self.hosts = {p: ADDRESS.format(i) for i, p in enumerate(positions, 1)}
        self._hardware = {p: HARDWARE.format(i) for i, p in enumerate(positions, 1)}
        # Tests of other processes, and others of this one, may run at the same time.
        self._prefix = f"chainchat-{os.getpid()}-{next(_serial)}"
        self._made: list[str] = []
        self._home: int | None = None
        if not sys.platform.startswith("linux"):
            raise NotPermittedError("only Linux has network namespaces")
        if os.geteuid() != 0:
            raise NotPermittedError("only root may make network namespaces")
        atexit.register(self.close)
        try:
            self._make()
        except FileNotFoundError:
            self.close()
            raise
        except subprocess.CalledProcessError as error:
            self.close()
            raise NotPermittedError(f"no network namespaces here: {error.stderr.strip()}") from None

    def _make(self) -> None:
        self._add("outside")
        self._ip(
            "outside",
            "link set lo up",
            "link add switch type bridge",
            f"address add {ADDRESS.format(OUTSIDE)}/24 dev switch",
            "link set switch up",
        )
        for position, host in self.hosts.items():
            self._add(position)
            self._ip(
                "outside",
                f"link add {position} type veth peer name eth0 netns {self._name(position)}",
                f"link set {position} master switch up",
            )
            self._ip(
                position,
                f"link set eth0 address {self._hardware[position]} up",
                f"address add {host}/24 dev eth0",
            )
        self.heal()

    def _add(self, place: str) -> None:
        _run("netns", "add", self._name(place))
        self._made.append(place)

    def _ip(self, place: str, *commands: str) -> None:
        _run("-n", self._name(place), "-batch", "-", typed="\n".join(commands))

    def _name(self, place: str) -> str:
        return f"{self._prefix}-{place}"

    # --- being somewhere

    def launcher(self, position: str) -> list[str]:
        """What a command line begins with that is to run there; the process stays the same."""
        return ["ip", "netns", "exec", self._name(position)]

    def __enter__(self) -> Self:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        outside = os.open(NAMESPACES / self._name("outside"), os.O_RDONLY)
        try:
            _enter(outside)
        finally:
            os.close(outside)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Go home, and remove everything that was made."""
        if self._home is not None:
            _enter(self._home)
            os.close(self._home)
            self._home = None
        while self._made:
            with contextlib.suppress(subprocess.CalledProcessError):
                _run("netns", "delete", self._name(self._made.pop()))
        atexit.unregister(self.close)

    # --- what is slow

    def narrow(self, kilobits: int, queue: str) -> None:
        """Let every node send no more than so much in a second; to be done before they start.

        Args:
            kilobits: a second.
            queue: how long a packet waits at most before it is lost, as in ``300ms``.
        """
        for position in self.hosts:
            # Some algorithms keep queues short by themselves; this one does not.
            _run("netns", "exec", self._name(position), "sysctl", "-qw", RENO)
            shape = f"rate {kilobits}kbit burst 5kb latency {queue}".split()
            device = ["qdisc", "add", "dev", "eth0", "root", "tbf"]
            _run("-n", self._name(position), *device, *shape, program="tc")

    # --- what is lost

    def silence(self, position: str) -> None:
        self.mute(position)
        self.deafen(position)

    def mute(self, position: str) -> None:
        self.lose(*((position, other) for other in self._others(position)))

    def deafen(self, position: str) -> None:
        self.lose(*((other, position) for other in self._others(position)))

    def part(self, one: str, other: str) -> None:
        self.lose((one, other), (other, one))

    def shatter(self) -> None:
        self.lose(*itertools.permutations(self.hosts, 2))

    def heal(self) -> None:
        self.carry(*itertools.permutations(self.hosts, 2))

    def lose(self, *ways: Way) -> None:
        for sender, receiver in ways:
            self._point(sender, receiver, HARDWARE.format(NOBODY))

    def carry(self, *ways: Way) -> None:
        for sender, receiver in ways:
            self._point(sender, receiver, self._hardware[receiver])

    def has_unsent(self, sender: str, receiver: str) -> bool:
        """True if the kernel of ``sender`` still wants to send there, for a process or a dead one.

        It would, as soon as nothing is lost any more.
        """
        command = [*self.launcher(sender), "cat", "/proc/net/tcp"]
        table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        remote = "".join(f"{int(octet):02X}" for octet in reversed(self.hosts[receiver].split(".")))
        rows = [line.split() for line in table.splitlines()[1:]]
        return any(row[2].startswith(remote) and row[3] not in OVER for row in rows)

    def _point(self, sender: str, receiver: str, hardware: str) -> None:
        """Let the sender believe that the receiver has this hardware address."""
        entry = f"{self.hosts[receiver]} lladdr {hardware} dev eth0 nud permanent"
        self._ip(sender, f"neighbour replace {entry}")

    def _others(self, position: str) -> list[str]:
        return [other for other in self.hosts if other != position]


def _run(*arguments: str, typed: str = "", program: str = "ip") -> None:
    subprocess.run([program, *arguments], input=typed, capture_output=True, text=True, check=True)


def _enter(namespace: int) -> None:
    """Move this thread, and what it will start, into a network namespace."""
    library = ctypes.CDLL(None, use_errno=True)  # os.setns is Python 3.12's
    if library.setns(namespace, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
