"""Membership: the chain goes on without members that are dead or silent (rules 2 to 5 and 8)."""

import pytest
from membership_house import (
    PORTS,
    SUSPECT_AFTER,
    THREE,
    active,
    configuration,
    confirm,
    die,
    hear,
    life,
    member,
    of_kind,
    propose,
    reach,
    refuse,
    ticks,
    vote_for,
)
from msgspec.structs import replace

from chainchat.chain.effects import Save, Send, Tell
from chainchat.chain.entries import EntryId
from chainchat.chain.messages import Abort, Decided, Propose, Voted
from chainchat.chain.record import Record, Status

# --- proof of death (rule 2) -------------------------------------------------------------

NEXT_LIFE = member("tail", 2)
ANOTHER_DISK = member("tail", 1, "id-other")


def is_dead(node, position="tail"):
    return node.evidence.is_dead(configuration(1, *THREE).member(position).life)


@pytest.mark.parametrize(
    ("caller", "dead"),
    [
        (NEXT_LIFE, True),
        (ANOTHER_DISK, True),
        (member("tail", 1), False),
        (member("tail", 0), False),
        (replace(NEXT_LIFE, host="elsewhere"), False),
        (replace(NEXT_LIFE, chain_port=7999), False),
        (replace(ANOTHER_DISK, host="elsewhere"), False),
    ],
)
def test_a_later_life_or_another_disk_at_a_members_own_address_proves_it_dead(caller, dead):
    node = active("head")
    reach(node, caller)
    assert is_dead(node) is dead


@pytest.mark.parametrize("caller", [NEXT_LIFE, ANOTHER_DISK])
def test_what_is_said_on_a_connection_that_came_in_proves_nothing(caller):
    node = active("head")
    list(node.linked("tail", caller, 0.0))
    assert not is_dead(node)


def test_what_answers_elsewhere_than_it_says_proves_nothing():
    node = active("head")
    list(node.reached("tail", ("elsewhere", 1), NEXT_LIFE, 0.0))
    assert not is_dead(node)


@pytest.mark.parametrize("met", [None, NEXT_LIFE])
def test_where_a_member_was_never_reached_neither_a_refusal_nor_another_proves_it_dead(met):
    held = configuration(1, *THREE)
    node = life(held.member("head"), Record("id-head", 1, THREE, held))
    if met is not None:
        reach(node, met)
    list(node.linked("tail", member("tail"), 0.0))
    assert die(node, "tail", 0.0) == []
    assert not is_dead(node)


def test_who_was_reached_in_an_earlier_life_of_this_node_has_to_be_reached_again():
    node = life(member("head", 2), Record("id-head", 2, THREE, configuration(1, *THREE)))
    assert refuse(node, "tail", 0.0) == []
    assert not is_dead(node)


def test_the_end_of_a_connection_proves_nothing():
    node = active("head")
    list(node.linked("tail", member("tail"), 0.0))
    node.unlinked("tail")
    assert not is_dead(node)


def test_a_refusal_while_there_is_a_connection_proves_nothing():
    node = active("head")
    list(node.linked("tail", member("tail"), 0.0))
    assert refuse(node, "tail", 0.0) == []
    assert not is_dead(node)
    node.unlinked("tail")
    assert Tell("tail is dead: its port refuses connections") in refuse(node, "tail", 0.0)
    assert is_dead(node)


@pytest.mark.parametrize(
    ("host", "port"), [("elsewhere", PORTS["tail"]), ("here", PORTS["tail"] + 1)]
)
def test_a_refusal_elsewhere_than_at_the_members_own_address_proves_nothing(host, port):
    node = active("head")
    confirm(node, "tail", 0.0)
    newcomer = replace(ANOTHER_DISK, host=host, chain_port=port)
    list(node.linked("tail", newcomer, 0.1))  # it only says that it is the tail
    node.unlinked("tail")
    assert list(node.refused("tail", host, port, 0.2)) == []
    assert not is_dead(node)
    assert Tell("tail is dead: its port refuses connections") in refuse(node, "tail", 0.3)
    assert is_dead(node)


def test_a_connection_with_somebody_elsewhere_does_not_keep_a_member_from_being_found_dead():
    node = active("head")
    list(node.linked("tail", replace(ANOTHER_DISK, host="elsewhere"), 0.1))
    refuse(node, "tail", 0.2)
    assert is_dead(node)


def test_a_refusal_of_whom_the_configuration_does_not_name_is_nothing():
    node = active("head", "head", "tail")
    assert refuse(node, "middle", 0.0) == []
    assert refuse(node, "head", 0.0) == []


def test_a_death_is_told_once():
    node = active("tail")
    assert len(of_kind([*die(node, "head", 0.0), *die(node, "head", 0.1)], Tell)) == 1


def test_a_death_is_clean_while_the_confirmation_is_fresh():
    for age, clean in ((0.74, True), (0.76, False)):
        node = active("middle")
        confirm(node, "head", 10.0, now=10.1)
        die(node, "head", 10.0 + age * SUSPECT_AFTER)
        assert node.evidence.is_clean(member("head").life) is clean


# --- who proposes (rule 4) ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "dead", "proposed"),
    [
        ("head", "tail", ("head", "middle")),
        ("head", "middle", ("head", "tail")),
        ("middle", "head", ("middle", "tail")),
        ("middle", "tail", None),
        ("tail", "head", None),
        ("tail", "middle", None),
    ],
)
def test_the_first_of_those_who_stay_proposes(position, dead, proposed):
    node = active(position)
    proposals = of_kind(die(node, dead, 0.0), Propose)
    assert [p.vote.configuration.positions for p in proposals] == ([proposed] if proposed else [])


def test_a_proposal_says_why_and_by_whom():
    node = active("middle")
    hear(node, "tail", 0.0)
    [send] = die(node, "head", 0.0)[1:]
    base, vote = send.message.base, send.message.vote
    why = "without head: its process is dead; seen by middle"
    assert base == configuration(1, *THREE)
    assert vote.configuration == configuration(2, "middle", "tail", why=why)
    assert (send.to, vote.proposer, vote.ballot) == ("tail", node.me, (1, 1))


def test_it_is_made_again_with_every_tick_under_the_same_ballot():
    node = active("middle")
    hear(node, "head", 0.0)
    ticks(node, 0.0, 0.9)
    proposals = []
    for now in (1.0, 1.1, 1.2):
        hear(node, "tail", now)
        proposals += of_kind(node.tick(now), Propose)
    assert len(proposals) == 3
    assert len(set(proposals)) == 1
    assert "head: silent for 1.00 s" in proposals[0].vote.configuration.why


def test_whoever_is_heard_again_is_not_excluded():
    node = active("middle")
    hear(node, "head", 0.0)
    ticks(node, 0.0, 0.9)
    hear(node, "tail", 0.9)
    [proposal] = of_kind(node.tick(1.0), Propose)
    hear(node, "head", 1.05)
    assert of_kind(node.tick(1.1), Propose) == []
    late = Voted(member("tail"), proposal.vote, EntryId())
    assert list(node.receive("tail", late, 1.15)) == [Send("tail", Abort(proposal.vote))]


def test_a_new_proposal_has_a_higher_ballot():
    node = active("head")
    hear(node, "middle", 0.0)
    ticks(node, 0.0, 0.5)
    hear(node, "tail", 0.5)
    [first] = of_kind(ticks(node, 0.5, 1.0), Propose)
    hear(node, "middle", 1.1)
    second = of_kind(ticks(node, 1.0, 1.6), Propose)[-1]
    assert [p.vote.configuration.positions for p in (first, second)] == [
        ("head", "tail"),
        ("head", "middle"),
    ]
    assert [p.vote.ballot for p in (first, second)] == [(1, 1), (1, 2)]


def test_who_holds_a_vote_proposes_nothing():
    node = active("middle")
    die(node, "tail", 0.0)
    propose(node, vote_for(configuration(2, "head", "middle"), member("head")))
    assert of_kind(node.tick(5.0), Propose) == []


@pytest.mark.parametrize("status", [Status.WEDGED, Status.LEARNER])
def test_who_is_no_member_excludes_nobody(status):
    held = configuration(1, *THREE)
    me = member("head", 2, None if status is Status.WEDGED else "id-new")
    node = life(me, Record(me.id, 2, THREE, held))
    assert node.status is status
    die(node, "tail", 0.0)
    die(node, "middle", 0.0)
    assert of_kind(node.tick(5.0), Propose) == []
    assert node.configuration == held


def alone(position, *, clean=(), silent=(), of=THREE):
    """True if the member at ``position`` goes on alone."""
    node = active(position, *of)
    for other in of:
        if other != position:
            hear(node, other, 0.0)
    for other in clean:
        confirm(node, other, 0.0)
        die(node, other, 0.1)
    ticks(node, 0.1, 5.0 if silent else 0.2)
    return node.configuration.positions == (position,)


@pytest.mark.parametrize(
    ("position", "clean", "goes_on"),
    [
        ("head", "middle tail", True),
        ("middle", "head tail", True),
        ("tail", "head middle", True),
        ("head", "middle", True),
        ("head", "tail", True),
        ("middle", "head", True),
        ("middle", "tail", False),
        ("tail", "head", False),
        ("tail", "middle", False),
        ("head", "", False),
        ("middle", "", False),
        ("tail", "", False),
    ],
)
def test_of_three_one_goes_on_alone_if_the_dead_leave_it_half_and_first(position, clean, goes_on):
    clean = tuple(clean.split())
    silent = tuple(p for p in THREE if p not in (position, *clean))
    assert alone(position, clean=clean, silent=silent) is goes_on


@pytest.mark.parametrize(
    ("position", "clean", "goes_on"),
    [("head", True, True), ("tail", True, True), ("head", False, True), ("tail", False, False)],
)
def test_of_two_the_first_goes_on_alone_and_the_other_only_with_proof(position, clean, goes_on):
    of = ("head", "tail")
    other = tuple(p for p in of if p != position)
    gone = {"clean" if clean else "silent": other}
    assert alone(position, of=of, **gone) is goes_on


def test_a_stale_proof_is_no_better_than_silence():
    node = active("tail", "head", "tail")
    confirm(node, "head", 0.0)
    die(node, "head", 0.75 * SUSPECT_AFTER)
    assert node.configuration.epoch == 1


def test_a_member_that_goes_on_alone_decides_at_once():
    node = active("head", "head", "tail")
    confirm(node, "tail", 0.0)
    dead, save, report, send = die(node, "tail", 0.1)
    why = "without tail: its process is dead; seen by head"
    decided = configuration(2, "head", why=why)
    assert dead == Tell("tail is dead: its port refuses connections")
    assert save == Save(Record("id-head", 1, THREE, decided))
    assert report == Tell(f"epoch 2 (head): {why}")
    assert send == Send("tail", Decided(decided))


# --- the voter's own judgement (rules 3 and 5) -------------------------------------------

WITHOUT_HEAD = vote_for(configuration(2, "middle", "tail"), member("middle"))


@pytest.mark.parametrize(("now", "votes"), [(0.99, False), (1.0, True)])
def test_a_voter_judges_silence_by_its_own_clock(now, votes):
    node = active("tail")
    hear(node, "head", 0.0)
    ticks(node, 0.0, 0.9)
    effects = propose(node, WITHOUT_HEAD, now)
    assert bool(of_kind(effects, Voted)) is votes
    if not votes:
        assert effects == []


def test_a_voter_that_has_not_heard_of_somebody_gives_it_its_time():
    node = active("tail")
    assert not of_kind(propose(node, WITHOUT_HEAD, 50.0), Voted)
    ticks(node, 50.0, 50.9)
    assert of_kind(propose(node, WITHOUT_HEAD, 51.0), Voted)


def test_a_voter_votes_with_a_proof_that_is_not_fresh():
    node = active("tail")
    die(node, "head", 0.0)
    assert of_kind(propose(node, WITHOUT_HEAD), Voted)


def test_that_one_sees_a_death_before_another_is_nothing_to_tell_unless_it_lasts():
    node = active("tail")
    told = []
    for now in (0.5, 1.0, 1.5, 2.0, 2.5):
        hear(node, "head", now)
        told += [(now, effect) for effect in propose(node, WITHOUT_HEAD, now)]
    text = "no vote for epoch 2 (middle -> tail): head lives, as seen from here"
    assert told == [(2.0, Tell(text, alarm=True))]


def test_what_is_wrong_is_told_the_operator_once():
    node = active("tail")
    wrong = vote_for(configuration(3, "middle", "tail"), member("middle"))
    assert [len(propose(node, wrong)) for _ in range(3)] == [1, 0, 0]


@pytest.mark.parametrize(
    ("vote", "why"),
    [
        (
            vote_for(configuration(2, "head", "middle"), member("head")),
            "it does not list this life of this node",
        ),
        (
            vote_for(configuration(2, "middle", "tail", tail=2), member("middle")),
            "it does not list this life of this node",
        ),
        (
            vote_for(configuration(3, "middle", "tail"), member("middle")),
            "it does not follow from the configuration here",
        ),
        (
            vote_for(configuration(2, "tail", "middle"), member("tail")),
            "it does not follow from the configuration here",
        ),
        (
            vote_for(configuration(2, "middle", "tail"), member("tail")),
            "its proposer would not be the head",
        ),
        (
            vote_for(configuration(2, "middle", "tail", middle=2), member("middle", 2)),
            "it does not follow from the configuration here",
        ),
    ],
)
def test_what_does_not_follow_is_not_voted_for(vote, why):
    node = active("tail")
    die(node, "head", 0.0)
    assert propose(node, vote) == [Tell(f"no vote for {vote.configuration}: {why}", alarm=True)]
    assert node.record.vote is None


def test_a_restarted_member_votes_for_no_exclusion():
    held = configuration(1, *THREE)
    wedged = life(member("tail", 2), Record("id-tail", 2, THREE, held))
    die(wedged, "head", 0.0)
    assert not of_kind(propose(wedged, WITHOUT_HEAD, 9.0), Voted)


# --- completing (rule 8) -----------------------------------------------------------------


def test_the_vote_of_a_clean_dead_proposer_is_completed_and_the_last_goes_on_alone():
    node = active("tail")
    confirm(node, "middle", 0.0)
    confirm(node, "head", 0.0)
    die(node, "head", 0.1)
    propose(node, WITHOUT_HEAD, 0.1)
    saves = [effect.record.configuration for effect in of_kind(die(node, "middle", 0.2), Save)]
    assert [(c.epoch, c.positions) for c in saves] == [(2, ("middle", "tail")), (3, ("tail",))]
    assert node.active


def test_the_vote_of_a_proposer_that_is_only_silent_is_not_completed():
    node = active("tail")
    hear(node, "middle", 0.0)
    die(node, "head", 0.1)
    propose(node, WITHOUT_HEAD, 0.1)
    list(node.tick(50.0))
    assert node.record.vote == WITHOUT_HEAD
    assert node.configuration.epoch == 1


def test_the_vote_of_a_proposer_whose_death_is_not_clean_is_not_completed():
    node = active("tail")
    confirm(node, "middle", 0.0)
    die(node, "head", 0.1)
    propose(node, WITHOUT_HEAD, 0.1)
    die(node, "middle", 0.1 + SUSPECT_AFTER)
    assert node.record.vote == WITHOUT_HEAD


def test_a_resume_with_another_voter_is_not_completed():
    node = active("tail")
    confirm(node, "head", 0.0)
    reach(node, member("middle", 2))
    vote = vote_for(configuration(2, *THREE, middle=2), member("head"))
    propose(node, vote)
    die(node, "head", 0.1)
    assert node.record.vote == vote
    assert node.configuration.epoch == 1


# --- the lease (rule 13) -----------------------------------------------------------------


def test_a_lease_needs_a_fresh_confirmation_of_every_other_member_or_its_clean_death():
    node = active("tail")
    confirm(node, "head", 0.0)
    assert not node.holds_lease(0.1)
    confirm(node, "middle", 0.2)
    assert node.holds_lease(0.74)
    assert not node.holds_lease(0.75)
    die(node, "head", 0.74)
    assert node.holds_lease(0.94)
    assert not node.holds_lease(0.95)


def test_who_is_alone_always_has_the_lease():
    assert active("head", "head").holds_lease(1e9)


def test_who_holds_a_vote_has_no_lease():
    node = active("middle")
    confirm(node, "head", 0.0)
    confirm(node, "tail", 0.0)
    die(node, "tail", 0.1)
    assert node.holds_lease(0.1)
    propose(node, vote_for(configuration(2, "head", "middle"), member("head")), 0.1)
    assert not node.holds_lease(0.1)


# --- one's own pauses --------------------------------------------------------------------


def test_who_was_paused_blames_nobody_for_what_it_did_not_hear():
    head = active("head")
    for other in ("middle", "tail"):
        hear(head, other, 0.0)
    ticks(head, 0.0, 0.5)
    assert of_kind(head.tick(60.0), Propose) == []
    assert of_kind(ticks(head, 60.0, 60.4), Propose) == []
    for other in ("middle", "tail"):
        hear(head, other, 60.4)
    assert of_kind(ticks(head, 60.4, 61.3), Propose) == []
    proposals = of_kind(ticks(head, 61.3, 62.5), Propose)
    assert proposals == []  # alone it would be no majority
    assert head.configuration.positions == THREE


def test_who_was_paused_notices_before_it_acts_on_what_waited_for_it():
    tail = active("tail")
    for other in ("head", "middle"):
        hear(tail, other, 0.0)
    ticks(tail, 0.0, 0.5)
    assert of_kind(propose(tail, WITHOUT_HEAD, 60.0), Voted) == []
    assert of_kind(ticks(tail, 60.0, 60.4), Voted) == []


def test_after_a_pause_silence_counts_on_from_where_it_was():
    head = active("head")
    hear(head, "middle", 0.0)
    hear(head, "tail", 0.0)
    ticks(head, 0.0, 0.5)
    list(head.tick(60.0))
    hear(head, "middle", 60.0)
    assert of_kind(ticks(head, 60.0, 60.2), Propose) == []
    proposal = of_kind(ticks(head, 60.2, 60.8), Propose)[0]
    assert proposal.vote.configuration.positions == ("head", "middle")
