"""Shows the trace that a story gives, or writes the traces of all into their files."""

import argparse
import sys

from tests.stories.scripts import NAMES, difference, renew, retold

parser = argparse.ArgumentParser(prog="python -m tests.stories", description=__doc__)
parser.add_argument("name", nargs="*", help=f"of a story: {', '.join(NAMES)}; without one: all")
parser.add_argument("--renew", action="store_true", help="write the traces into the files")
arguments = parser.parse_args()
if unknown := [name for name in arguments.name if name not in NAMES]:
    parser.error(f"there is no story {', '.join(unknown)}; --help names all")
changed = 0
for name in arguments.name or NAMES:
    diff = difference(name)
    changed += bool(diff)
    if arguments.renew:
        renew(name)
    sys.stdout.write(diff if not arguments.name or arguments.renew else retold(name))
sys.exit(1 if changed and not arguments.renew and not arguments.name else 0)
