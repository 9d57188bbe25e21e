"""``bin/rolling-restart``: restarts one node after the other, never two at once.

For each node it asks if the chain goes on without it, drains it, restarts it, and waits until it is
a member.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from chainchat import config
from chainchat.ctl.asking import UnreachableError
from chainchat.ctl.health import MEMBERS, seen

DRAIN_SECONDS, MEMBER_SECONDS = 10, 300
RESTART = "systemctl restart chainchat@{position}"
DESCRIPTION = """\
Restarts the nodes of a chain one after the other, the tail first. Before each it asks if the chain
goes on without that node, and ends if not.
"""
EPILOG = """\
{position} and {host} stand for those of the node. For nodes on several machines:

  bin/rolling-restart --run 'ssh root@{host}'

exit status:
  0  all nodes are restarted, and members again
  1  it ended before: a node may not stop, could not be restarted, or did not come back
  2  misused
"""


class RollingError(Exception):
    """A node cannot be restarted; the text says what to do."""


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="rolling-restart",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("positions", nargs="*", metavar="POSITION", help="only these, in this order")
    add("--config", "-c", type=Path, default=Path("chain.ini"), help="here, and on each machine")
    add("--run", default="", metavar="COMMAND", help="runs the commands where the node is")
    add("--ctl", default="chainchatctl", metavar="COMMAND", help="chainchatctl, as it is run there")
    add("--restart", default=RESTART, metavar="COMMAND", help=f"default: {RESTART}")
    add("--drain", type=int, default=DRAIN_SECONDS, metavar="S", help="send clients away within S")
    add("--timeout", type=int, default=MEMBER_SECONDS, metavar="S", help="to be a member again")
    return options


class Rolling:
    """One rolling restart."""

    def __init__(self, arguments: argparse.Namespace, settings: config.Settings) -> None:
        self._arguments = arguments
        self._settings = settings

    def order(self) -> list[str]:
        """Return the members from the tail to the head, then the others that run."""
        positions = self._arguments.positions
        unknown = [each for each in positions if each not in self._settings.nodes]
        if unknown:
            known = ", ".join(self._settings.nodes)
            raise RollingError(f"{unknown[0]} is not known; {self._settings.path} has: {known}")
        if positions:
            return list(positions)
        found = [seen(self._settings, position) for position in self._settings.nodes]
        views = [one.report["members"] for one in found if one.report.get("role") in MEMBERS]
        if not views:
            raise RollingError("no member answers: ask chainchatctl status --all")
        members = views[0]
        others = [one.position for one in found if one.report and one.position not in members]
        return [*reversed(members), *others]

    def restart(self, position: str) -> None:
        """Restart one node.

        Raises:
            RollingError: the node may not stop, or does not come back.
        """
        self._ctl(position, "may-stop", problem=f"{position} is left as it is")
        self._ctl(position, "drain", str(self._arguments.drain), problem="it is not drained")
        command = shlex.split(self._filled(self._arguments.restart, position))
        self._do(position, command, f"{position} is drained: start it, or undrain it")
        seconds = str(self._arguments.timeout)
        waiting = ("status", "--wait", "member", "--timeout", seconds)
        self._ctl(
            position, *waiting, problem=f"{position} did not come back: see its log", ok=(0, 1)
        )

    def _filled(self, text: str, position: str) -> str:
        host = self._settings.nodes[position].host
        return text.replace("{position}", position).replace("{host}", host)

    def _ctl(self, position: str, *words: str, problem: str, ok: Sequence[int] = (0,)) -> None:
        ctl = shlex.split(self._filled(self._arguments.ctl, position))
        file = str(self._arguments.config)
        self._do(position, [*ctl, "--config", file, "--position", position, *words], problem, ok)

    def _do(
        self, position: str, command: list[str], problem: str, ok: Sequence[int] = (0,)
    ) -> None:
        command = [*shlex.split(self._filled(self._arguments.run, position)), *command]
        print(f"+ {shlex.join(command)}", flush=True)
        try:
            status = subprocess.run(command, check=False).returncode  # noqa: S603 - the operator's
        except OSError as error:
            raise RollingError(f"{command[0]}: {error.strerror}; {problem}") from None
        if status not in ok:
            raise RollingError(f"{command[0]} ended with status {status}; {problem}")


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        options = parser().parse_args(arguments)
        rolling = Rolling(options, config.load(options.config))
        for position in rolling.order():
            rolling.restart(position)
    except config.ConfigError as error:
        print(f"rolling-restart: {error}", file=sys.stderr)
        sys.exit(2)
    except (RollingError, UnreachableError) as error:
        print(f"rolling-restart: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
