"""The command line of ``chainchatctl``.

The exit status is 0 if all was done, 1 if the node or the chain refused it, 2 if there was nobody
to ask or the command was wrong.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from chainchat import config
from chainchat.ctl.asking import (
    Connection,
    RefusedError,
    UnreachableError,
    chosen_node,
    tell_to_wait,
)
from chainchat.ctl.verbs import VERBS

DONE, REFUSED, UNREACHABLE = 0, 1, 2


def _common() -> argparse.ArgumentParser:
    """The options that may come before the verb or after it."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--position", "-p", help="the node; not needed if one alone is here")
    common.add_argument("--config", "-c", help="the file that describes the chain (chain.ini)")
    common.add_argument("--json", action="store_true", help="show answers as JSON, a line each")
    return common


def parser() -> argparse.ArgumentParser:
    """The options, and a parser for each verb."""
    options = argparse.ArgumentParser(
        prog="chainchatctl",
        description="Asks a node on this machine, and gives it orders, as the owner of its data.",
        epilog="Exit status: 0 done, 1 refused, 2 not reachable or misused.",
        parents=[_common()],
    )
    options.set_defaults(position=None, config="chain.ini", json=False)
    verbs = options.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    for name, verb in VERBS.items():
        of_verb = verbs.add_parser(
            name, help=verb.about, description=verb.about, parents=[_common()]
        )
        for argument in verb.arguments:
            of_verb.add_argument("words", metavar=argument, action="append")
        if verb.choices:
            of_verb.add_argument("choice", nargs="?", choices=verb.choices)
    return options


def run(arguments: argparse.Namespace) -> None:
    """Ask, and show the answer.

    Raises:
        ConfigError: chain.ini cannot be used.
        RefusedError: the node says no.
        UnreachableError: it was not asked, or in a wrong way.
    """
    node = chosen_node(config.load(Path(arguments.config)), arguments.position)
    words = [*getattr(arguments, "words", ()), getattr(arguments, "choice", None)]
    command = " ".join([arguments.verb, *filter(None, words)])
    if not command.isprintable():
        raise UnreachableError("a name has no control characters")
    connection = Connection(node)
    try:
        for answer in connection.ask(command, tell_to_wait):
            lines = VERBS[arguments.verb].show(answer)
            for line in [json.dumps(answer)] if arguments.json else lines:
                print(line)
    finally:
        connection.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``chainchatctl``, and exit."""
    try:
        run(parser().parse_args(arguments))
    except RefusedError as error:
        sys.exit(_told(f"refused: {error}", REFUSED))
    except (UnreachableError, config.ConfigError) as error:
        sys.exit(_told(str(error), UNREACHABLE))
    except KeyboardInterrupt:
        sys.exit(UNREACHABLE)
    except BrokenPipeError:  # whoever read the list has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(text: str, status: int) -> int:
    print(f"chainchatctl: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
