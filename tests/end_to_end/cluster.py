"""A chain of real nodes on this machine: processes, sockets, disks and signals.

``Cluster`` starts and stops the nodes; ``talking`` has the people who talk to them.
"""

import atexit
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from cables import Cable, Cables
from networks import Networks
from ports import free_ports
from talking import DEADLINE, HOST, PASSWORD, SECURED, Caller, Program, until

import chainchat
from chainchat.network.addresses import host_port

SOURCES = Path(chainchat.__file__).parent.parent
"""Where the chainchat under test is: the nodes run the same."""

LOG_LINES = 12
"""Lines of a node's log that are shown when a test fails."""

LIMITLESS = "send-rate = 0\nmost-accounts = 1000000"
"""Lines of the section [limits]: the programs of tests and benchmarks say all they can."""

STOPS_WITHIN = 10.0
"""Seconds that a node has for a polite end."""


def twistd() -> list[str]:
    """What runs twistd in the environment of this Python."""
    beside = Path(sys.executable).with_name("twistd")
    if beside.exists():
        return [str(beside)]
    return [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, with chainchat where this process has it from."""
    path = os.pathsep.join(filter(None, [str(SOURCES), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, **changes}


def make_certificates(config: Path, *options: str) -> None:
    """Run ``chainchat-certs`` beside a chain.ini."""
    command = [sys.executable, "-m", "chainchat.tls.certs", "--config", str(config), *options]
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)


def copy_data(data: Path, to: Path) -> Path:
    """Copy a data folder, but for the socket of a process that was killed; returns ``to``."""
    without = shutil.ignore_patterns("control")
    return Path(shutil.copytree(data, to, ignore=without, dirs_exist_ok=True))


class Node:
    """One position: its files, its ports, and its process while there is one.

    Attributes:
        config: the chain.ini that it is started with.
        host: the address that it listens on.
        launcher: what its command line begins with, if it is to run somewhere else.
        tls_port: for people with TLS; 0: none.
        web_port: for browsers; 0: none.
        log: what its processes have written, one after another.
        environment: what its processes have besides the environment of the tests.
        process: the newest one, if any.
    """

    def __init__(self, folder: Path, position: str, client_port: int, chain_port: int) -> None:
        self.position = position
        self.config = folder / "chain.ini"
        self.host = HOST
        self.launcher: list[str] = []
        self.client_port = client_port
        self.tls_port = 0
        self.web_port = 0
        self.chain_port = chain_port
        self.data = folder / "var" / position
        self.log = folder / f"{position}.log"
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return self.position

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.client_port

    @property
    def tls_address(self) -> tuple[str, int]:
        return self.host, self.tls_port

    @property
    def named(self) -> str:
        """What the others name when they send somebody here."""
        host, port = SECURED[self.address][0] if self.address in SECURED else self.address
        return host_port(host, port)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        """True if its process runs, be it paused."""
        return self.process is not None and self.process.poll() is None

    def start(self, *options: str, typed: str = "", pass_fds: Sequence[int] = ()) -> None:
        """Start the process, with further options; it is not waited for, nor is what is typed."""
        assert not self.running, f"{self} runs already"
        arguments = ["-n", "chainchat", "--position", self.position, "--config", str(self.config)]
        keyboard, hand = os.pipe()
        os.write(hand, typed.encode())
        os.close(hand)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.launcher, *twistd(), *arguments, *options],
                cwd=self.config.parent,
                env=environment(**self.environment),
                stdin=keyboard,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                process_group=0,  # Ctrl-C is for the tests, which then stop the nodes
            )
        os.close(keyboard)

    def kill(self) -> None:
        """End it as a power failure does: ``kill -9``."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def pause(self) -> None:
        """Let it stand still, as a machine that is overloaded or asleep."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        if self.process is not None and self.running:
            self.process.send_signal(number)

    def wait(self, within: float = STOPS_WITHIN) -> int:
        assert self.process is not None
        return self.process.wait(within)

    def log_text(self) -> str:
        """What it has logged, in all its lives."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def last_words(self) -> str:
        return "\n".join(self.log_text().splitlines()[-LOG_LINES:])

    def chain(self, within: float = 2.0) -> dict[str, str] | None:
        """What it answers to CHAIN; None if it serves nobody, or gives no answer in this time."""
        try:
            with Program(self.address, "observer", within=within) as program:
                return program.words("CHAIN")
        except (OSError, AssertionError):
            return None


class Cluster:
    """A chain: its chain.ini, its nodes, and the cables between them if they can be cut.

    Attributes:
        folder: where everything of it is.
        nodes: by position, in founding order.
        cables: between each two nodes; none unless asked for.
    """

    alive: list["Cluster"] = []
    """Those not closed yet, for whoever reports a failure."""

    def __init__(
        self,
        folder: Path,
        positions: Sequence[str] = ("head", "middle", "tail"),
        *,
        spares: Sequence[str] = (),
        suspect_after: float = 1.0,
        rejoin_pause: float = 0.0,
        clients: str = "",
        limits: str = LIMITLESS,
        sections: str = "",
        cabled: bool = False,
        networks: Networks | None = None,
        host: str = HOST,
        chain: str = "",
        tls: bool = False,
        web: bool = False,
    ) -> None:
        """Write the files; ``start`` starts the nodes.

        Args:
            folder: an empty one.
            positions: in founding order.
            spares: further positions in chain.ini, not started by ``start()``.
            suspect_after: seconds, as in chain.ini.
            rejoin_pause: the same; none, because tests kill the same nodes over and over.
            clients: lines of the section [clients].
            limits: lines of the section [limits].
            cabled: the nodes reach each other through ``cables``, which can be cut.
            host: of all nodes.
            networks: a machine of its own for every node.
            chain: further lines of the section [chain].
            tls: between the nodes, and for clients on a port of their own.
            web: a web port for every node.
        """
        self.folder = folder
        self._founding = tuple(positions)
        self._spares = tuple(spares)
        known = (*positions, *spares)
        ports = free_ports(4 * len(known))
        self.nodes = {
            position: Node(folder, position, *ports[4 * i : 4 * i + 2])
            for i, position in enumerate(known)
        }
        for i, node in enumerate(self.nodes.values()):
            node.host = host
            node.tls_port = ports[4 * i + 2] if tls else 0
            node.web_port = ports[4 * i + 3] if web else 0
        if networks is not None:
            for position, node in self.nodes.items():
                node.host = networks.hosts[position]
                node.launcher = networks.launcher(position)
        self._head = (
            f"[chain]\nname = test\nfounding = {' '.join(positions)}\n"
            f"suspect-after = {suspect_after}\nrejoin-pause = {rejoin_pause}\n{chain}\n"
            f"[clients]\n{clients}\n[limits]\n{limits}\n{sections}\n"
        )
        if tls:
            self._head += "[tls]\nchain = yes\n"
        self.cables = Cables() if cabled else None
        self._write_configs()
        if tls:
            self.make_certificates()
        self.alive.append(self)
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, position: str) -> Node:
        return self.nodes[position]

    def _write_configs(self) -> None:
        if self.cables is None:
            (self.folder / "chain.ini").write_text(self._config({}))
            return
        positions = [*self._spares, *self._founding]
        for i, position in enumerate(positions):
            # A node dials those after it: it finds them at the near ends of its cables.
            node = self.nodes[position]
            near = {
                other: self.cables.lay(position, other, self.nodes[other].chain_port)
                for other in positions[i + 1 :]
            }
            node.config = self.folder / f"{position}.ini"
            node.config.write_text(self._config(near))

    def _config(self, chain_ports: dict[str, int]) -> str:
        sections = [
            f"[{position}]\nhost = {node.host}\nclient-port = {node.client_port}\n"
            f"chain-port = {chain_ports.get(position, node.chain_port)}\ndata = var/{position}\n"
            f"tls-port = {node.tls_port or 'none'}\nweb-port = {node.web_port or 'none'}\n"
            f"web-host = {HOST}\n"
            for position, node in self.nodes.items()
        ]
        return self._head + "".join(sections)

    def make_certificates(self, *options: str) -> None:
        make_certificates(next(iter(self.nodes.values())).config, *options)

    @property
    def trust(self) -> ssl.SSLContext:
        """For people: whom to trust."""
        return ssl.create_default_context(cafile=self.folder / "tls/ca.crt")

    def secure_clients(self) -> None:
        """Let all who call come with TLS, and set a password; the others, who can do neither, not.

        Programs that are started find the password in their environment.
        """
        trust = self.trust
        for node in self.nodes.values():
            if node.tls_port:
                SECURED[node.address] = node.tls_address, trust
        os.environ["CHAINCHAT_PASSWORD"] = PASSWORD

    # --- the nodes

    def start(self, *positions: str) -> Self:
        """Start these nodes, or all founders, and wait until the chain serves."""
        for position in positions or self._founding:
            self.nodes[position].start()
        self.wait_until_it_serves()
        return self

    def bring_back(self, *positions: str) -> None:
        """Start nodes that are no members; they become the newest, behind those that serve."""
        before = self.members()
        for position in positions:
            self.nodes[position].start()
        after = self.members()
        assert after[: len(before)] == before, f"{before} became {after}"

    def kill(self, *positions: str) -> None:
        """Kill these nodes, or all, at once: none of them lives to see another dead."""
        killed = [self.nodes[position] for position in positions or self.nodes]
        killed = [node for node in killed if node.running]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for node in killed:
                node.signal(number)
        for node in killed:
            node.wait()

    def stop(self) -> None:
        """End all nodes that run, politely, all at once; the last may see the others dead."""
        stopped = self.running
        for node in stopped:
            node.signal(signal.SIGTERM)
        for node in stopped:
            node.wait()

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.running]

    def others(self, position: str) -> list[Node]:
        return [node for name, node in self.nodes.items() if name != position]

    def wait_until_it_serves(self, *positions: str, within: float = DEADLINE) -> dict[str, str]:
        """Wait until these nodes (or all that run) serve, as one chain, and miss nobody in it.

        Returns:
            What CHAIN tells, the same at all of them but for ``node``, ``role``, ``committed``.
        """
        nodes = [self.nodes[position] for position in positions] or self.running
        expected = ",".join(node.position for node in nodes)
        found: dict[str, dict[str, str] | None] = {}

        def serves() -> bool:
            for node in nodes:
                assert node.running, f"{node} has ended with status {node.wait()}"
                found[node.position] = node.chain()
            seen = [words for words in found.values() if words is not None]
            return (
                len(seen) == len(nodes)
                and len({(words["epoch"], words["members"]) for words in seen}) == 1
                and not any(words.get("away") for words in seen)
                and sorted(seen[0]["members"].split(",")) == sorted(expected.split(","))
            )

        until(serves, lambda: f"the chain {expected} does not serve: {found}", within)
        words = found[nodes[0].position]
        assert words is not None
        return words

    def wait_until_whole(self, within: float = DEADLINE) -> list[str]:
        """Wait until there are as many members as there may be, of those that run, and all serve.

        Returns:
            The chain from head to tail.
        """
        found: dict[str, dict[str, str] | None] = {}

        def is_whole() -> bool:
            found.update({node.position: node.chain() for node in self.nodes.values()})
            seen = [words for words in found.values() if words is not None]
            chains = {(words["epoch"], words["members"]) for words in seen}
            serving = ",".join(position for position, words in found.items() if words is not None)
            return (
                len(seen) == min(len(self.running), len(self._founding))
                and len(chains) == 1
                and not any(words.get("away") for words in seen)
                and sorted(seen[0]["members"].split(",")) == sorted(serving.split(","))
            )

        until(is_whole, lambda: f"the chain is not whole: {found}", within)
        [members] = {words["members"] for words in found.values() if words is not None}
        return members.split(",")

    def members(self, *positions: str) -> list[str]:
        """The chain from head to tail, once these nodes (or all that run) are its members."""
        return self.wait_until_it_serves(*positions)["members"].split(",")

    @property
    def epoch(self) -> int:
        """Of the chain, once all that run are its members."""
        return int(self.wait_until_it_serves()["epoch"])

    def cable(self, one: str, other: str) -> Cable:
        assert self.cables is not None
        return self.cables.between(one, other)

    def isolate(self, position: str) -> list[Cable]:
        return [self.cable(position, other.position) for other in self.others(position)]

    # --- the end

    def close(self) -> None:
        """End everything that was started, at once: ``stop`` is the polite way."""
        self.kill()
        if self.cables is not None:
            self.cables.close()
        if self in self.alive:
            self.alive.remove(self)
        atexit.unregister(self.close)

    def complaints(self) -> list[str]:
        """What stands in the logs and should not: tracebacks, and warnings of Python."""
        bad = ("Traceback", "Unhandled", "Warning:")
        return [
            f"{node}: {line}"
            for node in self.nodes.values()
            for line in node.log_text().splitlines()
            if any(word in line for word in bad)
        ]


def last_words(clusters: Iterable[Cluster]) -> Iterable[tuple[str, str]]:
    """Titles and ends of the logs of all nodes of these clusters."""
    for cluster in clusters:
        for node in cluster.nodes.values():
            state = "runs" if node.running else "does not run"
            yield f"the log of {node}, which {state}", node.last_words()


def wait_for_log(node: Node, text: str, within: float = DEADLINE) -> None:
    until(lambda: text in node.log_text(), lambda: f"{node} never logs {text!r}", within)


def wait_for_change(node: Node, epoch: int) -> int:
    """Wait until a node has told of the change to an epoch, in one line; the epoch before it."""
    line = (
        rf"epoch (\d+) \(.*\) is followed by epoch {epoch} \(.*\): "
        r".+; writes stood still for \d+\.\d+ s$"
    )
    found: list[str] = []

    def told() -> bool:
        found[:] = re.findall(line, node.log_text(), re.MULTILINE)
        return bool(found)

    until(told, lambda: f"{node} does not tell of epoch {epoch}")
    [before] = found
    return int(before)


def refusal(node: Node) -> str:
    """The line with which a node refuses whoever calls; empty while it does not listen."""
    try:
        with Caller(node.address) as caller:
            return " ".join(caller.end(within=2.0)[-1:])
    except (ConnectionRefusedError, TimeoutError):
        return ""


def wait_for_refusal(node: Node, reason: str) -> None:
    """Wait until a node refuses whoever calls with exactly this reason, and names the others."""
    line = rf"-ERR 421 {re.escape(reason)}; try \S+( or \S+)*"
    until(lambda: re.fullmatch(line, refusal(node)) is not None, lambda: refusal(node))


def waits_for(node: Node, *positions: str) -> None:
    """Wait until a node that was restarted waits for exactly these."""
    wait_for_refusal(node, f"restarted; waiting to be taken back by {', '.join(positions)}")


def catches_up_with(node: Node, *positions: str) -> None:
    wait_for_refusal(node, f"this node is catching up with the chain ({', '.join(positions)})")
