"""Starts the chain of chain.ini on this machine, joins it, and stops what it started.

Called by bin/demo, in the virtual environment. A signal only cancels the main task, which then
stops the nodes: so there is no moment at which a started process could be forgotten.
"""
# ruff: noqa: E402

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while there is nothing to stop

import argparse
import asyncio
import contextlib
import errno
import shutil
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from chainchat.chat.refusals import RefusedError
from chainchat.chat.requests import checked_name
from chainchat.config import ConfigError, NodeSettings, Settings, load
from chainchat.storage.interface import LockedError, StorageError
from chainchat.storage.lock import DataLock

ROOT = Path(__file__).resolve().parent.parent
TWISTD = Path(sys.executable).with_name("twistd")
CLIENT = ROOT / "bin" / "chainchat-client"
if not CLIENT.exists():
    CLIENT = Path(sys.executable).with_name("chainchat-client")

SAY_EVERY = 1.0  # seconds between two lines about what is waited for
POLL = 0.1  # seconds between two looks at what is waited for
PATIENCE = 2.0  # seconds for one node's answer
STOP_WITHIN = 10.0  # seconds that a node has for stopping by itself
LOG_LINES = 15  # lines of its log that are shown when a node fails


class DemoError(Exception):
    """The demo cannot go on; says why, for the one who started it."""


class Node:
    """One node: its settings, its log, and its process once it is started."""

    def __init__(self, settings: NodeSettings) -> None:
        self.settings = settings
        self.log = settings.data.parent / f"{settings.position}.log"
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, config: Path) -> None:
        """Start the process. It has a process group of its own: Ctrl-C is for the demo alone."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603  # what chain.ini names, and no shell
                self.command(config),
                cwd=config.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def command(self, config: Path) -> list[str]:
        """What starts this node."""
        options = ["--position", self.settings.position, "--config", str(config)]
        return [str(TWISTD), "-n", "--pidfile=", "chainchat", *options]

    @property
    def running(self) -> bool:
        """True if the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def ending(self) -> str:
        """How the process ended."""
        status = self._process.returncode if self._process else None
        if status is None or status >= 0:
            return f"exit status {status}"
        return f"signal {-status}"

    def signal(self, number: int) -> None:
        """Signal the process, if it runs."""
        if self._process is not None and self.running:
            self._process.send_signal(number)

    def last_words(self) -> str:
        """The end of what this run has logged."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode("utf-8", "replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES:])


# Before the start: nothing else may be in the way.


def refuse_taken_ports(settings: Settings, nodes: list[Node]) -> None:
    """Refuse to start where a port is taken: what answers there would be somebody else's."""
    problems = []
    for node in nodes:
        at = node.settings
        for key, host, port in (
            ("client-port", at.client_host, at.client_port),
            ("chain-port", at.host, at.chain_port),
        ):
            problem = port_problem(host, port)
            if problem:
                whose = f"change {key} in [{at.position}] of {settings.path}"
                problems.append(f"port {port} on {host} {problem}, or {whose}")
    if problems and any(data_in_use(node.settings.data) for node in nodes):
        problems.append(running_chain(nodes))
    if problems:
        raise DemoError("\n".join(problems))


def port_problem(host: str, port: int) -> str | None:
    """Why nothing can listen there, and what to do about it."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return "is taken: stop what uses it"
        return f"cannot be used ({error.strerror}): choose a host of this machine"
    return None


def data_in_use(data: Path) -> bool:
    """True if a node runs on this data."""
    if not data.is_dir():
        return False
    try:
        DataLock(data).release()
    except LockedError:
        return True
    return False


def running_chain(nodes: list[Node]) -> str:
    """What to do about a chain that runs already, be it without its first node."""
    at = next((node for node in nodes if data_in_use(node.settings.data)), nodes[0]).settings
    return f"The ports are taken by a running chain; join it: nc {at.client_host} {at.client_port}"


def delete_data(settings: Settings, nodes: list[Node]) -> None:
    """Delete the nodes' data folders, and nothing that is something else."""
    for node in nodes:
        data = node.settings.data
        if not data.exists():
            continue
        if settings.path.is_relative_to(data) or not is_node_data(data):
            raise DemoError(f"{data} is not the data of a node: it is not deleted")
        if data_in_use(data):
            raise DemoError(f"a node is running on {data}: it is not deleted")
        shutil.rmtree(data)
        print(f"deleted {data}", flush=True)


def is_node_data(data: Path) -> bool:
    """True if a folder is one that a node made, or an empty one."""
    names = {path.name for path in data.iterdir()} if data.is_dir() else {"a file"}
    return "chainchat.sqlite" in names or names <= {"lock"}


# The start, and what is waited for.


async def wait_until_serving(nodes: list[Node]) -> None:
    """Wait until every node serves with all others, saying what is waited for."""
    said, said_at = "", 0.0
    while True:
        obstacles = await asyncio.gather(*(obstacle(node, nodes) for node in nodes))
        refuse_dead(nodes)
        waiting: dict[str, list[str]] = {}
        for node, reason in zip(nodes, obstacles, strict=True):
            if reason:
                waiting.setdefault(reason, []).append(node.settings.position)
        if not waiting:
            return
        now = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in waiting.items())
        if now != said and time.monotonic() - said_at > SAY_EVERY:
            print(f"waiting for {now}", flush=True)
            said, said_at = now, time.monotonic()
        await asyncio.sleep(POLL)


def refuse_dead(nodes: list[Node]) -> None:
    """A node that ends while the chain starts ends the demo."""
    for node in nodes:
        if not node.running:
            what = f"{node.settings.position} has stopped ({node.ending})"
            raise DemoError(f"{what}; the end of {node.log}:\n{node.last_words()}")


async def obstacle(node: Node, nodes: list[Node]) -> str | None:
    """Why a node does not serve yet; None if it does, with all others."""
    at = node.settings
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await ask(at.client_host, at.client_port)
    except TimeoutError:
        return "listening, not answering"
    except OSError:
        return "not listening yet"
    if not answer.startswith("+OK @1 "):
        return answer.partition(";")[0] or "closes the connection"
    words = dict(word.split("=", 1) for word in answer.split() if "=" in word)
    if words.get("node") != at.position:
        raise DemoError(f"port {at.client_port} is not answered by {at.position}: {answer}")
    members = words.get("members", "").split(",")
    missing = {other.settings.position for other in nodes}.difference(members)
    return f"the chain is only {', '.join(members)}" if missing else None


async def ask(host: str, port: int) -> str:
    """A node's answer to the request CHAIN, or whatever else ends the conversation."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"/hello chainchat/1 client=demo\r\n@1 CHAIN\r\n")
        async for line in reader:
            text = line.decode("utf-8", "replace").strip()
            if text.startswith(("+OK @1 ", "-ERR ")):
                return text
        return ""
    finally:
        writer.close()


def announce(settings: Settings, nodes: list[Node]) -> None:
    """Say how to join, and where everything is."""
    print(f"\nThe chain {settings.name} serves. Join it from any terminal, at any node:\n")
    for node in nodes:
        at = node.settings
        print(f"  nc {at.client_host} {at.client_port:<10}# {at.position}")
    first = nodes[0].settings
    print(f"  telnet {first.client_host} {first.client_port}")
    usual = settings.path == Path.cwd() / "chain.ini"
    print(f"  {shown(CLIENT)}{'' if usual else f' --config {shown(settings.path)}'} --name YOU\n")
    print(f"Data: {', '.join(shown(node.settings.data) for node in nodes)}")
    print(f"Logs: {', '.join(shown(node.log) for node in nodes)}", flush=True)


def shown(path: Path) -> str:
    """The path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


# While it serves.


async def watch(settings: Settings, nodes: list[Node]) -> None:
    """Run until interrupted. Nodes may be killed, to see what the others do."""
    print("Ctrl-C stops it.", flush=True)
    going = list(nodes)
    while going:
        for node in [node for node in going if not node.running]:
            going.remove(node)
            print(f"{node.settings.position} has stopped ({node.ending}). Start it again with:")
            print(f"  {' '.join(node.command(settings.path))}", flush=True)
        await asyncio.sleep(POLL)
    raise DemoError("no node is left")


async def run_client(settings: Settings) -> int:
    """Open the client, and wait until its user leaves."""
    with restored_terminal():
        name = await ask_name()
        if name is None:
            return 0
        options = ["--config", str(settings.path), "--name", name]
        command = [sys.executable, "-m", "chainchat.client", *options]
        client = await asyncio.create_subprocess_exec(*command)
        try:
            status = await client.wait()
        finally:
            if client.returncode is None:
                client.terminate()
                await client.wait()
    return status if status >= 0 else 128 - status


async def ask_name() -> str | None:
    """Ask for the name to log in with; None if the input ends."""
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    loop.add_reader(sys.stdin, typed.set)  # so that a signal is heard while one thinks
    try:
        while True:
            print("\nYour name in the room: ", end="", flush=True)
            typed.clear()
            await typed.wait()
            line = sys.stdin.readline()
            if not line:
                return None
            try:
                return checked_name(line.strip())
            except RefusedError as error:
                print(error.text, flush=True)
    finally:
        loop.remove_reader(sys.stdin)


@contextlib.contextmanager
def restored_terminal() -> Iterator[None]:
    """Leaves the terminal as it was, however the client ends."""
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


# The end.


async def stop(nodes: list[Node]) -> None:
    """Stop what was started and wait for it, asking first."""
    if any(node.running for node in nodes):
        with contextlib.suppress(OSError):  # the terminal may be gone
            print("stopping the nodes ...", flush=True)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for node in nodes:
            node.signal(number)
        for _ in range(int(STOP_WITHIN / POLL)):
            if not any(node.running for node in nodes):
                return
            await asyncio.sleep(POLL)


async def demo(options: argparse.Namespace, settings: Settings, nodes: list[Node]) -> int:
    """All of it but the end."""
    refuse_taken_ports(settings, nodes)
    if options.fresh:
        delete_data(settings, nodes)
    print(f"starting {', '.join(settings.founding)} of {shown(settings.path)}", flush=True)
    for node in nodes:
        node.start(settings.path)
    await wait_until_serving(nodes)
    announce(settings, nodes)
    if options.no_client or not (sys.stdin.isatty() and sys.stdout.isatty()):
        await watch(settings, nodes)
    return await run_client(settings)


async def interruptible(options: argparse.Namespace, settings: Settings) -> int:
    """Run the demo until it ends or a signal comes, then stop the nodes."""
    nodes = [Node(settings.nodes[position]) for position in settings.founding]
    task = asyncio.current_task()
    assert task is not None
    signals: list[int] = []

    def interrupt(number: int) -> None:
        if not signals:
            task.cancel()
        signals.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, interrupt, number)
    locks = []
    try:
        for folder in sorted({node.settings.data.parent for node in nodes}):
            locks.append(DataLock(folder))  # a second demo waits for nothing: it is told
        return await demo(options, settings, nodes)
    except asyncio.CancelledError:
        return 128 + signals[0]
    except LockedError as error:
        print(f"{error}\n{running_chain(nodes)}", file=sys.stderr)
    except (DemoError, StorageError, OSError) as error:
        print(error, file=sys.stderr)
    finally:
        signals.append(0)  # from here on a signal changes nothing
        await stop(nodes)
        for lock in locks:
            lock.release()
    return 1


def main() -> int:
    """The exit status of bin/demo."""
    parser = argparse.ArgumentParser(prog="bin/demo")
    parser.add_argument("--no-client", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--config", type=Path, default=ROOT / "chain.ini")
    options = parser.parse_args()
    try:
        settings = load(options.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    return asyncio.run(interruptible(options, settings))


if __name__ == "__main__":
    sys.exit(main())
