"""The rules of membership, explored: small worlds have no harm in them, and bugs are found."""

import pytest

from chainchat.chain.membership.clocks import Clocks
from chainchat.chain.membership.evidence import Evidence
from chainchat.chain.membership.membership import Membership
from spec import report
from spec.rules import BUGS, UNSEEN, WORLDS
from spec.search import explore
from spec.world import Bounds
from tests.simulation.planted import PLANTED

STATES = 3_000
"""As many are looked at of each world; ``python -m spec`` looks at all."""


@pytest.mark.parametrize("name", WORLDS)
def test_within_bounds_nothing_goes_wrong(name):
    found = explore(WORLDS[name], states=STATES, recover=100)
    assert found.harm == "", found
    assert found.complete or found.states >= STATES


@pytest.mark.parametrize("bug", BUGS)
def test_a_rule_that_is_left_out_is_found_as_histories_tells(bug):
    found = report.explore_bug(bug)
    assert found.harm, found
    assert report.history(bug, found) in report.HISTORIES.read_text(), "run python -m spec --table"


def test_each_planted_bug_in_membership_is_looked_for_or_said_to_be_unseen():
    parts = (Membership, Evidence, Clocks)
    planted = {name for name, (bug, _) in PLANTED.items() if getattr(bug, "__mro__", None)}
    here = {name for name in planted if issubclass(PLANTED[name][0], parts)}
    assert here <= {*BUGS, *UNSEEN}
    assert {*BUGS, *UNSEEN} <= set(PLANTED)
    text = report.README.read_text()
    assert all(report.unseen_row(bug) in text for bug in UNSEEN)


def test_what_cannot_happen_is_an_error():
    with pytest.raises(ValueError, match="nothing that can happen is called"):
        explore(Bounds(("A sleeps",)))
    with pytest.raises(ValueError, match="this cannot happen there"):
        explore(Bounds(first=("A starts",)))
