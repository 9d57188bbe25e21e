"""Every story gives the trace that its file shows."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.checks import InvariantError
from tests.simulation.script import Script, StoryError
from tests.stories.runner import play
from tests.stories.scripts import NAMES, difference

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_story_gives_its_trace(name):
    diff = difference(name)
    assert diff == "", f"\n{diff}\nIf that is meant: python -m tests.stories --renew"


def test_a_trace_is_the_same_where_sets_have_another_order():
    command = [sys.executable, "-m", "tests.stories"]
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        again = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert (again.stdout, again.returncode) == ("", 0), again.stderr


def test_what_has_to_come_and_does_not_is_noticed():
    text = "found head middle tail\nrun until serving\nexpect tail goes on without head within 2\n"
    with pytest.raises(InvariantError, match="not in time: tail goes on without head"):
        play(Script.parse("nobody dies", text))


def test_a_command_that_nobody_knows_is_named_with_its_line():
    with pytest.raises(StoryError, match=r"odd.txt:2: .*: dance head"):
        play(Script.parse("odd", "found head middle tail\ndance head\n"))
