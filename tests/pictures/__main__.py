"""Draws the pictures of the documents again, or those that are named."""

import argparse
from pathlib import Path

from tests.pictures.pictures import FOLDER, PICTURES, TERMINAL
from tests.pictures.terminal import draw, record

parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
parser.add_argument("name", nargs="*", help="of a picture, such as splice.svg; without one: all")
parser.add_argument("--terminal", action="store_true", help="record the terminal as well")
parser.add_argument("--into", type=Path, default=FOLDER, help="another folder")
arguments = parser.parse_args()
arguments.into.mkdir(exist_ok=True)
if arguments.terminal:
    (arguments.into / TERMINAL).write_text(draw(record()), "utf-8")
for name in arguments.name or PICTURES:
    (arguments.into / name).write_text(PICTURES[name](), "utf-8")
