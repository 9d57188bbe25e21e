"""Lets ``twistd chainchat`` run a node; the only module that imports the reactor."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet import reactor as installed_reactor
from twisted.python import usage

from chainchat import config
from chainchat.logs.logs import Logs, handle_signals
from chainchat.network.resolving import chain_addresses, client_addresses
from chainchat.service import preflight
from chainchat.service.service import NodeService
from chainchat.storage.interface import StorageError
from chainchat.tls.credentials import CredentialsError
from chainchat.tls.node import read

OTHERS_MASK = 0o027
"""What the umask takes from others at least, in the pid file and whatever twistd makes."""

reactor: Any = installed_reactor
"""The static type of Twisted's reactor knows few of its methods."""

logs = Logs()
"""``twistd`` finds what it logs with by a name."""


def log_observer() -> Any:
    """What ``twistd --logger`` names."""
    return logs.observer()


class Options(usage.Options):
    """The command line after ``twistd chainchat``."""

    synopsis = "--position POSITION [--config FILE]"
    longdesc = (
        "Runs one node of the chain that chain.ini describes. Start one process for each founding "
        "position, in any order; then talk to any of them: nc HOST CLIENT-PORT. With -n (before "
        "'chainchat') the node stays in the foreground; otherwise it becomes a daemon that writes "
        "POSITION.pid and POSITION.log."
    )
    optParameters = [
        ["position", "p", None, "the node of chain.ini to run, for example: head"],
        ["config", "c", "chain.ini", "the file that describes the chain"],
        ["fenced", None, None, "with --force-alone: the positions that are off, as in: head,tail"],
    ]
    optFlags = [
        [
            "force-alone",
            None,
            "go on alone, without the other members; asks you to confirm",
        ]
    ]

    settings: config.Settings
    node: config.NodeSettings
    user: preflight.User

    def postOptions(self) -> None:
        """Check everything that can be wrong before twistd makes a process.

        Raises:
            SystemExit: says in one line what is wrong and what to do.
        """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the node can reload
        handle_signals(lambda: reactor.callFromThread(logs.renew))
        try:
            preflight.check_system()
            self.settings = config.load(Path(self["config"]))
            self.node = self._chosen_node()
            self.user = self._chosen_user()
            preflight.check_control(self.settings, self.node)
            preflight.check_data(self.node.data, self.user)
            address = chain_addresses(self.settings)[self.node.position]
            for_clients = client_addresses(self.settings)[self.node.position]
            self.user.does(read, self.settings, self.node.position, address)
            preflight.refuse_passed_port(self.settings, self.node)
            preflight.probe_ports(self.settings, self.node, address, for_clients)
        except (config.ConfigError, CredentialsError, StorageError) as error:
            raise SystemExit(f"chainchat: {error}") from None
        self.fenced = self._confirmed_fenced()
        self._name_files()

    def _confirmed_fenced(self) -> tuple[str, ...] | None:
        if not self["force-alone"]:
            if self["fenced"] is not None:
                raise SystemExit("chainchat: --fenced goes with --force-alone; nothing was changed")
            return None
        fenced = tuple(filter(None, (self["fenced"] or "").split(",")))
        if not fenced or self.node.position in fenced:
            raise SystemExit(
                "chainchat: --force-alone needs --fenced with the positions of all other members"
            )
        names = ",".join(fenced)
        print(  # noqa: T201 - it is asked on the terminal, before there is a log
            f"{self.node.position} will go on ALONE, with its own log. Confirm this only if {names}"
            f"\nare off and will never start again with their present data. Messages that only they"
            f"\nhold are lost. If one of them still serves, there will be two chains, and nothing"
            f"\ncan join them again.\nType: {names} are off"
        )
        if sys.stdin.readline().strip() != f"{names} are off":
            raise SystemExit("chainchat: not confirmed; nothing was changed")
        return fenced

    def _chosen_node(self) -> config.NodeSettings:
        chosen, nodes = self["position"], self.settings.nodes
        if chosen not in nodes:
            problem = "is missing" if chosen is None else f"{chosen} is not known"
            raise config.ConfigError(
                f"--position {problem}; {self.settings.path} has: {', '.join(nodes)}"
            )
        return nodes[chosen]

    def _chosen_user(self) -> preflight.User:
        twistd: dict[str, Any] = self.parent or {}
        return preflight.User.chosen(twistd.get("uid"), twistd.get("gid"))

    def _name_files(self) -> None:
        os.umask(os.umask(0o077) | OTHERS_MASK)
        twistd = self.parent
        if twistd is None:
            return
        preflight.check_folder(Path(twistd.get("rundir", ".")))
        if twistd.get("pidfile") == "twistd.pid":
            twistd["pidfile"] = f"{self.node.position}.pid"
            preflight.check_folder_free(Path(twistd["pidfile"]))
            preflight.remove_stale(Path(twistd["pidfile"]))
        elif twistd.get("pidfile"):
            pidfile = Path(twistd["pidfile"])
            if pidfile.is_file() and pidfile.read_bytes().strip().isdigit():
                preflight.remove_stale(pidfile)  # any other file may not be ours
        if not any(twistd.get(option) for option in ("nodaemon", "logfile", "syslog")):
            twistd["logfile"] = f"{self.node.position}.log"
        if twistd.get("logfile") not in (None, "-"):
            preflight.keep_log_private(Path(twistd["logfile"]), self.user)
        if twistd.get("pidfile"):
            preflight.check_writable(Path(twistd["pidfile"]))
        if not twistd.get("syslog") and not twistd.get("logger"):
            logs.name = "" if twistd.get("logfile") in (None, "-") else twistd["logfile"]
            logs.form = self.settings.log_format
            twistd["logger"] = f"{__name__}.{log_observer.__name__}"


def makeService(options: Options) -> Service:
    # Timers must not follow the wall clock: a step back would stop them all. And a confirmation
    # must age while the machine sleeps (macOS counts the sleep in CLOCK_MONOTONIC).
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    reactor.seconds = partial(time.clock_gettime, clock)
    foreground = options.parent is None or bool(options.parent.get("nodaemon"))
    return NodeService(
        reactor,
        options.settings,
        options.node,
        fenced=options.fenced,
        foreground=foreground,
        logs=logs,
    )
