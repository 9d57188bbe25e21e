"""The rules of membership, explored: small worlds have no harm in them, and bugs are found."""

import pytest
from msgspec.structs import replace

from spec.rules import BUGS, SMALL
from spec.search import explore
from tests.simulation.planted import PLANTED, planted

STATES = 15_000
"""As many are looked at of each world; ``python -m spec`` looks at more."""

QUICKLY_FOUND = (
    "BelievesStaleProofs",
    "ForgetsWhomItTriedToExclude",
    "ForgetsItsOwnTries",
    "VotesOnHearsay",
    "ResumesWithoutOne",
)


@pytest.mark.parametrize("name", SMALL)
def test_within_bounds_nothing_goes_wrong(name):
    found = explore(SMALL[name], states=STATES, recover=100)
    assert found.harm == "", found
    assert found.complete or found.states >= STATES


def test_one_death_of_three_is_explored_to_its_end():
    found = explore(replace(SMALL["two die"], kills=1), recover=20)
    assert found.complete, found
    assert found.states > 1_000


@pytest.mark.parametrize("name", QUICKLY_FOUND)
def test_a_rule_that_is_left_out_is_found(name):
    with planted(name):
        found = explore(BUGS[name], states=STATES)
    assert found.harm, found
    assert 0 < len(found.trace) < 20


def test_every_bug_that_is_looked_for_is_one_of_the_simulators():
    assert set(BUGS) <= set(PLANTED)
