"""The command line of ``chainchatctl``."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from chainchat import __version__, config
from chainchat.ctl import files, health
from chainchat.ctl.asking import (
    Connection,
    RefusedError,
    UnreachableError,
    chosen_node,
    tell_to_wait,
)
from chainchat.ctl.tables import size
from chainchat.ctl.verbs import VERBS

DONE, REFUSED, UNREACHABLE = 0, 1, 2
WAIT_SECONDS = 60.0

EPILOG = """\
exit status:
  0  done; status: the chain is well
  1  refused; may-stop: it may not; status: the chain confirms, but something is wrong
  2  not reachable or misused; status: the chain does not confirm, or nobody answers
"""


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--position", "-p", help="the node; not needed if one alone is here")
    common.add_argument("--config", "-c", help="the file that describes the chain (chain.ini)")
    common.add_argument("--json", action="store_true", help="show answers as JSON, a line each")
    return common


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="chainchatctl",
        description="Asks a node on this machine, and gives it orders, as the owner of its data.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_common()],
    )
    options.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    options.set_defaults(position=None, config="chain.ini", json=False)
    verbs = options.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    def add(name: str, about: str) -> argparse.ArgumentParser:
        return verbs.add_parser(
            name,
            help=about,
            description=about,
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[_common()],
        )

    for name, verb in VERBS.items():
        of_verb = add(name, verb.about)
        for argument in verb.arguments:
            of_verb.add_argument("words", metavar=argument, action="append")
        for argument in verb.optional:
            of_verb.add_argument("word", metavar=argument, nargs="?")
        if verb.choices:
            of_verb.add_argument("choice", nargs="?", choices=verb.choices)
        if name == "status":
            _add_status(of_verb)
        if name == "export":
            _add_export(of_verb)
    backup = add("backup", "copy the data of a running node to a new file")
    backup.add_argument("file", type=Path, metavar="FILE")
    inspect = add("inspect", "show what is in a data folder or a backup; changes nothing")
    inspect.add_argument("path", type=Path, metavar="FOLDER|FILE")
    return options


def _add_status(status: argparse.ArgumentParser) -> None:
    status.add_argument("--all", action="store_true", help="ask every node of chain.ini")
    status.add_argument(
        "--wait",
        choices=health.GOALS,
        help="until it takes clients (serving), is a member, or nobody is missing (full)",
    )
    status.add_argument(
        "--timeout", type=float, default=WAIT_SECONDS, metavar="S", help="wait no longer than this"
    )


def _add_export(export: argparse.ArgumentParser) -> None:
    export.add_argument("path", type=Path, nargs="?", metavar="FOLDER|FILE", help="ask no node")
    export.add_argument("--after", type=int, default=0, metavar="ID", help="only messages above it")
    export.add_argument(
        "--account",
        default="",
        metavar="NAME",
        help="what this account can read, with what was said to it alone; else what all can read",
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry out a command, and return the exit status.

    Raises:
        ConfigError: chain.ini cannot be used.
        RefusedError: the node refuses.
        UnreachableError: the node could not be asked, or the question is wrong.
    """
    match arguments.verb:
        case "inspect":
            return _inspect(arguments)
        case "export" if arguments.path is not None:
            files.export(None, arguments.path, arguments.after, arguments.account)
            return DONE
    settings = config.load(Path(arguments.config))
    if arguments.verb == "status" and arguments.all:
        return _status(arguments, settings, list(settings.nodes))
    node = chosen_node(settings, arguments.position)
    match arguments.verb:
        case "status":
            return _status(arguments, settings, [node.position])
        case "export":
            files.export(node, None, arguments.after, arguments.account)
        case "backup":
            return _backup(arguments, node)
        case _:
            return _ask(arguments, node)
    return DONE


def _status(arguments: argparse.Namespace, settings: config.Settings, positions: list[str]) -> int:
    if arguments.wait is None:
        return health.status(settings, positions, as_json=arguments.json)
    goal, timeout = arguments.wait, arguments.timeout
    return health.wait(settings, positions, goal, timeout, as_json=arguments.json)


def _inspect(arguments: argparse.Namespace) -> int:
    found = files.inspected(arguments.path)
    shown = [json.dumps(found)] if arguments.json else files.described(arguments.path, found)
    for line in shown:
        print(line)
    return DONE


def _backup(arguments: argparse.Namespace, node: config.NodeSettings) -> int:
    octets = files.backup(node, arguments.file)
    if arguments.json:
        print(json.dumps({"file": str(arguments.file), "octets": octets}))
    else:
        print(f"{arguments.file}: {size(octets)}")
    return DONE


def _ask(arguments: argparse.Namespace, node: config.NodeSettings) -> int:
    verb = VERBS[arguments.verb]
    words = [*getattr(arguments, "words", ())]
    words += [getattr(arguments, name, None) for name in ("word", "choice")]
    command = " ".join([arguments.verb, *filter(None, words)])
    if not command.isprintable():
        raise UnreachableError("a name has no control characters")
    status, connection = DONE, Connection(node)
    try:
        for answer in connection.ask(command, partial(tell_to_wait, verb.waiting)):
            for line in [json.dumps(answer)] if arguments.json else verb.show(answer):
                print(line)
            if verb.refused(answer):
                status = REFUSED
        if arguments.verb == "stop":
            connection.wait_for_end()
    finally:
        connection.close()
    return status


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        status = run(parser().parse_args(arguments))
    except RefusedError as error:
        status = _told(f"refused: {error}", REFUSED)
    except (UnreachableError, config.ConfigError) as error:
        status = _told(str(error), UNREACHABLE)
    except KeyboardInterrupt:
        status = UNREACHABLE
    except BrokenPipeError:  # whoever read the list has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = DONE
    if status:
        sys.exit(status)


def _told(text: str, status: int) -> int:
    print(f"chainchatctl: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
