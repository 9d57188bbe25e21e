"""The sponsor: what it answers to learners, when, and to whom."""

import pytest
from logs_made_up import entries, everything, log_of

from chainchat.chain.configuration import Member
from chainchat.chain.entries import EntryId
from chainchat.chain.lending import Sponsor
from chainchat.chain.limits import ProtocolLimits
from chainchat.chain.log import FRAME_ENTRIES, size
from chainchat.chain.messages import Copied, Differs, Fetch, Offer

EPOCH = 9
ME, OTHER = Member("newcomer", "id-new", 3), Member("other", "id-other", 1)


def copied(*fields, committed=0):
    return Copied(*fields, committed=committed)


def at_the_end(log, *learners):
    """A sponsor that has told these learners that its last entry is common."""
    sponsor = Sponsor(log)
    for learner in learners:
        [(_, answer)] = asks(sponsor, log.last, learner)
        assert answer == copied(EPOCH, log.last, (), log.last, False)
    return sponsor


def asks(sponsor, last, learner=ME, full=frozenset(), go_on=lambda: False):
    sponsor.asked(learner.position, Fetch(EPOCH, learner, last))
    return [(send.to, send.message) for send in sponsor.turn(set(full), go_on=go_on)]


def pieces(count):
    left = iter([True] * (count - 1))
    return lambda: next(left, False)


def test_a_question_from_within_the_log_is_answered_with_what_comes_after():
    answer = copied(EPOCH, EntryId(1, 1), entries(1, 2, after=1), EntryId(2, 3), False)
    assert asks(Sponsor(log_of(1, 1, 2)), EntryId(1, 1)) == [("newcomer", answer)]


@pytest.mark.parametrize(
    ("last", "newest"),
    [
        (EntryId(1, 3), EntryId(1, 2)),
        (EntryId(1, 9), EntryId(1, 2)),
        (EntryId(3, 9), EntryId(2, 3)),
        (EntryId(2, 2), EntryId(1, 2)),
    ],
)
def test_an_entry_that_the_log_does_not_have_is_answered_with_what_may_be_common(last, newest):
    sponsor = Sponsor(log_of(1, 1, 2))
    assert asks(sponsor, last) == [("newcomer", Differs(EPOCH, newest))]
    assert list(sponsor.turn(set())) == []


def test_the_first_question_of_each_life_is_answered_at_once_even_from_the_end():
    sponsor = Sponsor(log_of(1, 1))
    empty = copied(EPOCH, EntryId(1, 2), (), EntryId(1, 2), False)
    assert asks(sponsor, EntryId(1, 2)) == [("newcomer", empty)]
    assert asks(sponsor, EntryId(1, 2)) == []
    later = Member("newcomer", "id-new", 4)
    assert asks(sponsor, EntryId(1, 2), later) == [("newcomer", empty)]
    assert asks(sponsor, EntryId(1, 2), later) == []


def test_what_differs_was_no_first_question():
    sponsor = Sponsor(log_of(1, 1))
    assert asks(sponsor, EntryId(1, 3)) == [("newcomer", Differs(EPOCH, EntryId(1, 2)))]
    assert len(asks(sponsor, EntryId(1, 2))) == 1


def test_after_a_new_connection_a_learner_is_told_again_what_is_committed():
    sponsor = Sponsor(log_of(1, 1), committed=lambda: 1)
    assert len(asks(sponsor, EntryId(1, 2))) == 1
    sponsor.forget("newcomer")
    [(_, copied_again)] = asks(sponsor, EntryId(1, 2))
    assert copied_again.committed == 1
    assert not sponsor._told_committed.keys() - sponsor._newest.keys()


def test_after_a_new_configuration_the_first_question_is_answered_again():
    sponsor = at_the_end(log_of(1, 1), ME)
    sponsor.adopt()
    assert len(asks(sponsor, EntryId(1, 2))) == 1


def test_a_question_from_the_end_waits_until_there_is_more():
    log = log_of(1, 1)
    sponsor = at_the_end(log, ME)
    assert asks(sponsor, EntryId(1, 2)) == []
    assert list(sponsor.turn(set())) == []
    log.append(entries(1, after=2))
    [answer] = sponsor.turn(set())
    assert answer.message == copied(EPOCH, EntryId(1, 2), entries(1, after=2), EntryId(1, 3), False)
    assert list(sponsor.turn(set())) == []


def test_a_learner_at_the_end_is_told_once_that_more_is_committed():
    log = log_of(1, 1)
    committed = [1]
    sponsor = Sponsor(log, committed=lambda: committed[0])
    assert [answer.committed for _, answer in asks(sponsor, log.last)] == [1]
    assert asks(sponsor, log.last) == []
    committed[0] = 2
    [told] = sponsor.turn(set())
    assert told.message == copied(EPOCH, log.last, (), log.last, False, committed=2)
    assert asks(sponsor, log.last) == []


def test_a_question_that_is_repeated_is_answered_once():
    log = log_of(1)
    sponsor = at_the_end(log, ME)
    assert asks(sponsor, EntryId(1, 1)) == asks(sponsor, EntryId(1, 1)) == []
    log.append(entries(1, after=1))
    assert len(list(sponsor.turn(set()))) == 1


def test_when_it_is_sealed_the_learner_it_is_sealed_for_is_told_and_no_other():
    sponsor = at_the_end(log_of(1, 1), OTHER)
    sponsor.sealed = ME
    assert asks(sponsor, EntryId(1, 2), OTHER) == []
    answer = copied(EPOCH, EntryId(1, 2), (), EntryId(1, 2), True)
    assert asks(sponsor, EntryId(1, 2)) == [("newcomer", answer)]
    assert asks(Sponsor(log_of(1, 1)), EntryId(1, 1), OTHER)[0][1].sealed is False


def test_a_learner_that_waits_is_told_when_it_is_sealed():
    sponsor = at_the_end(log_of(1), ME)
    assert asks(sponsor, EntryId(1, 1)) == []
    sponsor.sealed = ME
    [answer] = sponsor.turn(set())
    assert answer.message == copied(EPOCH, EntryId(1, 1), (), EntryId(1, 1), True)


def test_nothing_goes_to_whom_too_much_stands_unsent():
    sponsor = Sponsor(log_of(1))
    assert asks(sponsor, EntryId(), full={"newcomer"}) == []
    assert [send.to for send in sponsor.turn(set())] == ["newcomer"]


def test_a_long_answer_comes_in_parts_no_longer_than_a_frame_as_many_as_a_turn_has_time_for():
    sponsor = Sponsor(log_of(*[1] * 30, command=b"x" * 5_000))
    parts = [part for _, part in asks(sponsor, EntryId(), go_on=pieces(2))]
    assert len(parts) == 2
    while sponsor.busy:
        parts += [send.message for send in sponsor.turn(set())]
    assert all(sum(map(size, part.entries)) <= FRAME_ENTRIES for part in parts)
    assert [entry for part in parts for entry in part.entries] == list(everything(sponsor._log))
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    assert {part.end for part in parts} == {EntryId(1, 30)}


def test_an_answer_ends_when_it_is_long_enough():
    limits = ProtocolLimits(answer_octets=2 * FRAME_ENTRIES)
    sponsor = Sponsor(log_of(*[1] * 30, command=b"x" * 5_000), limits)
    parts = [part for _, part in asks(sponsor, EntryId(), go_on=lambda: True)]
    assert [part.more for part in parts] == [True, True, False]
    assert not sponsor.busy
    assert parts[-1].entries[-1].seq < 30


def test_a_turn_without_time_sends_one_part_and_the_next_goes_to_the_next_learner():
    sponsor = Sponsor(log_of(*[1] * 30, command=b"x" * 5_000))
    for learner in (ME, OTHER):
        sponsor.asked(learner.position, Fetch(EPOCH, learner, EntryId()))
    turns = [[send.to for send in sponsor.turn(set())] for _ in range(4)]
    assert turns == [["newcomer"], ["other"], ["newcomer"], ["other"]]
    sent = [send.to for send in sponsor.turn(set(), go_on=pieces(3))]
    assert sent == ["newcomer", "other", "newcomer"]


def test_a_learner_that_takes_nothing_keeps_no_other_waiting():
    sponsor = Sponsor(log_of(*[1] * 30, command=b"x" * 5_000))
    for learner in (ME, OTHER):
        sponsor.asked(learner.position, Fetch(EPOCH, learner, EntryId()))
    sent = [send.to for send in sponsor.turn({"newcomer"}, go_on=pieces(3))]
    assert sent == ["other"] * 3
    assert sponsor.busy
    assert list(sponsor.turn({"newcomer", "other"})) == []
    assert not sponsor.busy  # nothing can be sent before one of them takes more


def test_another_question_ends_the_answer_to_the_one_before():
    sponsor = Sponsor(log_of(*[1] * 30, command=b"x" * 5_000))
    [(_, first)] = asks(sponsor, EntryId())
    [(_, second)] = asks(sponsor, EntryId())
    assert first == second


def test_the_question_of_one_who_may_not_copy_now_waits():
    log = log_of(1, 1)
    sponsor = Sponsor(log)
    sponsor.asked("newcomer", Fetch(EPOCH, ME, EntryId(1, 1)))
    sponsor.asked("other", Fetch(EPOCH, OTHER, EntryId(1, 1)))
    assert [send.to for send in sponsor.turn(set(), lambda learner: learner == OTHER)] == ["other"]
    assert [send.to for send in sponsor.turn(set())] == ["newcomer"]


def test_the_rest_of_an_answer_to_one_who_may_copy_no_more_is_dropped():
    sponsor = Sponsor(log_of(*[1] * 30, command=b"x" * 5_000))
    asks(sponsor, EntryId())
    assert sponsor.busy
    assert list(sponsor.turn(set(), lambda learner: False)) == []
    assert not sponsor.busy


def test_a_new_configuration_forgets_every_question():
    log = log_of(1)
    sponsor = at_the_end(log, ME)
    sponsor.sealed = OTHER
    asks(sponsor, EntryId(1, 1))
    sponsor.adopt()
    log.append(entries(1, after=1))
    assert (sponsor.sealed, sponsor.nearby(), list(sponsor.turn(set()))) == (None, frozenset(), [])


def test_a_question_ends_with_its_connection():
    log = log_of(1)
    sponsor = at_the_end(log, ME)
    asks(sponsor, EntryId(1, 1))
    assert sponsor.nearby() == {ME}
    sponsor.forget("newcomer")
    sponsor.forget("nobody")
    log.append(entries(1, after=1))
    assert list(sponsor.turn(set())) == []
    assert sponsor.nearby() == frozenset()


def test_nearby_are_those_who_lacked_no_more_than_a_batch():
    log = log_of(1, 1, 1, 1)
    sponsor = Sponsor(log, ProtocolLimits(near_entries=2))
    asks(sponsor, EntryId(1, 1))
    asks(sponsor, EntryId(1, 2), OTHER)
    assert sponsor.nearby() == {OTHER}
    asks(sponsor, EntryId(1, 4))
    assert sponsor.nearby() == {OTHER, ME}
    log.append(entries(1, after=4))
    assert sponsor.nearby() == {ME}


def test_one_whose_log_differs_is_not_nearby():
    sponsor = Sponsor(log_of(1, 1))
    asks(sponsor, EntryId(2, 2))
    assert sponsor.nearby() == frozenset()


@pytest.mark.parametrize(("knows", "answer"), [(True, Offer), (False, Copied)])
def test_a_checkpoint_is_offered_to_who_knows_what_an_offer_is(knows, answer):
    log = log_of(*[1] * 30)
    log.begin_checkpoint(20)
    log.write_committed(20)
    log.finish_checkpoint(b"head")
    sponsor = Sponsor(log, ProtocolLimits(checkpoint_worth=10))
    sponsor.asked("newcomer", Fetch(EPOCH, ME, EntryId(), takes_offers=knows))
    [sent] = sponsor.turn(set())
    assert type(sent.message) is answer
