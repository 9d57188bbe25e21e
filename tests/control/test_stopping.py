"""``may-stop``: exactly when the others may splice this node out."""

import pytest
from msgspec.structs import replace

from chainchat.chain.configuration import Configuration, Member
from chainchat.control.stopping import objection
from chainchat.node.status import NodeStatus, Readiness

WELL = Readiness(serving=True, waiting_for=(), reason="", confirms=True)


def status(node, *members, silent=(), standing="head", readiness=WELL):
    found = tuple(Member(position, position, 1) for position in members)
    values = dict.fromkeys(NodeStatus.__struct_fields__)
    values |= {
        "node": node,
        "configuration": Configuration(1, found),
        "standing": standing,
        "readiness": readiness,
        "silent": silent,
    }
    return NodeStatus(**values)


@pytest.mark.parametrize("node", ["head", "middle", "tail"])
def test_any_one_of_three_may_stop(node):
    for refusal_is_death in (True, False):
        seen = status(node, "head", "middle", "tail")
        assert not objection(seen, refusal_is_death=refusal_is_death)


def test_the_last_member_may_not():
    assert "only member" in objection(status("tail", "tail"), refusal_is_death=True)


def test_nobody_may_while_another_is_away():
    seen = status("head", "head", "middle", "tail", silent=("tail",))
    assert objection(seen, refusal_is_death=True).startswith("tail is away")


def test_of_two_the_first_may_not_where_no_refusal_proves_a_death():
    for node, may in (("head", False), ("tail", True)):
        seen = status(node, "head", "tail")
        assert not objection(seen, refusal_is_death=True)
        assert (not objection(seen, refusal_is_death=False)) == may


def test_nobody_may_while_the_chain_cannot_confirm():
    waiting = replace(WELL, reason="the chain cannot confirm", confirms=False)
    seen = status("head", "head", "tail", readiness=waiting)
    assert objection(seen, refusal_is_death=True).startswith("the chain cannot confirm: mend")


@pytest.mark.parametrize(("standing", "may"), [("learner", True), ("wedged", False)])
def test_a_learner_may_and_whoever_waits_to_be_taken_back_may_not(standing, may):
    outside = Readiness(serving=False, waiting_for=(), reason="waiting")
    seen = status("tail", "head", standing=standing, readiness=outside)
    assert (not objection(seen, refusal_is_death=True)) == may
