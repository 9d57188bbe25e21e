"""Copying: a learner copies the tail's log, cuts what the tail lacks, and keeps up."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs_made_up import chained, entries, entry, everything, log_of
from msgspec.structs import replace

from chainchat.chain.configuration import Member
from chainchat.chain.copying import Apart, Learner, Take
from chainchat.chain.effects import Cut, Send
from chainchat.chain.entries import Entry, EntryId
from chainchat.chain.lending import Sponsor
from chainchat.chain.limits import USUAL_PROTOCOL
from chainchat.chain.log import newest_not_after, size
from chainchat.chain.messages import Copied, Differs, Fetch, Synced
from chainchat.chain.timing import Timing
from chainchat.storage.memory import MemoryStorage

SUSPECT_AFTER = 4.0
NEAR = USUAL_PROTOCOL.near_entries
EPOCH = 9
ME, OTHER = Member("newcomer", "id-new", 3), Member("other", "id-other", 1)


def asking(last, epoch=EPOCH, **values):
    return Fetch(epoch, ME, last, takes_offers=True, **values)


def learner_with(log):
    return Learner(ME, log, Timing(SUSPECT_AFTER))


def carry_out(log, effects):
    """Carry out what a learner wants; returns the effects."""
    done = []
    for effect in effects:
        done.append(effect)
        match effect:
            case Cut():
                log.cut(effect.after)
            case Take():
                log.append(effect.entries)
    return done


class Pair:
    """A learner and its source."""

    def __init__(self, mine, its):
        self.mine, self.its = mine, its
        self.learner, self.sponsor = learner_with(mine), Sponsor(its)
        self.trace = []

    def begin(self):
        self.to_source(carry_out(self.mine, self.learner.begin("tail", EPOCH, 0.0)))

    def to_source(self, effects):
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, Fetch):
                self.sponsor.asked("newcomer", effect.message)
            self.trace.append(effect)

    def run(self):
        """Exchange questions and answers until nothing is left to say."""
        while answers := list(self.sponsor.turn(set())):
            for answer in answers:
                step = self.learner.copied
                if isinstance(answer.message, Differs):
                    step = self.learner.differs
                self.to_source(carry_out(self.mine, step("tail", answer.message, 0.0)))

    def of_kind(self, kind):
        return [effect for effect in self.trace if isinstance(effect, kind)]


# --- the last common entry ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        (EntryId(0, 0), EntryId(0, 0)),
        (EntryId(9, 9), EntryId(5, 6)),
        (EntryId(9, 4), EntryId(3, 4)),
        (EntryId(4, 9), EntryId(3, 5)),
        (EntryId(2, 9), EntryId(1, 2)),
        (EntryId(1, 1), EntryId(1, 1)),
        (EntryId(0, 9), EntryId(0, 0)),
    ],
)
def test_the_newest_entry_not_after_a_limit(limit, found):
    assert newest_not_after(log_of(1, 1, 3, 3, 3, 5), limit) == found


def test_an_empty_log_has_none():
    assert newest_not_after(log_of(), EntryId(9, 9)) == EntryId(0, 0)


@pytest.mark.parametrize(
    ("mine", "its", "common"),
    [
        ((), (1, 1, 2), 0),
        ((1, 1), (1, 1, 2), 2),
        ((1, 1, 2), (1, 1, 2), 3),
        # a suffix that the chain does not have
        ((1, 1, 1), (1, 1, 2), 2),
        ((1, 1, 1, 1, 1), (1, 1, 2), 2),
        ((1, 2, 2, 2), (1, 3, 3, 3), 1),
        ((2, 2), (1, 1), 0),
        # of several epochs
        ((1, 1, 2, 2, 4, 4), (1, 1, 2, 3, 3, 5, 5), 3),
        ((1, 3, 3, 3), (1, 2, 2, 4), 1),
        ((1, 1, 1, 4, 4), (1, 2, 3, 5), 1),
    ],
)
def test_a_learner_cuts_what_is_not_common_and_takes_the_rest(mine, its, common):
    pair = Pair(log_of(*mine), log_of(*its))
    before = everything(pair.mine)
    pair.begin()
    pair.run()
    assert everything(pair.mine) == everything(pair.its)
    assert pair.mine.cuts == list(before[common:])
    end = pair.its.last
    assert pair.of_kind(Cut) == ([Cut(common, end)] if common < len(mine) else [])
    assert [e for take in pair.of_kind(Take) for e in take.entries] == list(
        everything(pair.its)[common:]
    )


def spans(*pairs):
    """A log of entries of these epochs, each with its span."""
    log, seq = MemoryStorage(), 0
    for epoch, span in pairs:
        seq += span
        log.append([Entry(seq, epoch, "a.1", seq, 1_000, b"x", span)])
    return log


@pytest.mark.parametrize(
    ("mine", "its", "common"),
    [
        ([(1, 1), (1, 3)], [(1, 1), (1, 3), (2, 2)], 4),
        # where one log has an end, the other is in the midst of an entry
        ([(1, 1), (1, 5)], [(1, 1), (2, 1), (2, 1)], 1),
        ([(1, 1), (2, 1), (2, 1)], [(1, 1), (1, 5), (3, 1)], 1),
        ([(1, 2), (2, 5), (2, 5)], [(1, 2), (2, 5), (3, 3), (3, 3)], 7),
        ([(1, 4), (3, 4)], [(2, 3), (2, 3)], 0),
    ],
)
def test_entries_of_several_sequence_numbers_are_common_or_cut_as_a_whole(mine, its, common):
    pair = Pair(spans(*mine), spans(*its))
    before = everything(pair.mine)
    pair.begin()
    pair.run()
    assert everything(pair.mine) == everything(pair.its)
    assert pair.mine.cuts == [entry for entry in before if entry.seq > common]


def named(epochs, different_from=None, *, salt=b"x"):
    """A log whose entries have digests; two such logs differ from some entry on."""
    made = [
        entry(seq, epoch, b"x" if different_from is None or seq < different_from else salt)
        for seq, epoch in enumerate(epochs, 1)
    ]
    log = MemoryStorage()
    log.append(chained(EntryId(), made))
    return log


@pytest.mark.parametrize(("mine", "its"), [(40, 40), (40, 55), (55, 40), (7, 40), (40, 7)])
@pytest.mark.parametrize("apart", [1, 2, 6, 7])
@pytest.mark.parametrize("step", [1, 7, 100])
def test_of_two_chains_that_had_the_same_epochs_the_true_common_entry_is_found(
    mine, its, apart, step
):
    """Only their content tells the two logs apart."""
    epochs = [1 + seq // step for seq in range(60)]
    pair = Pair(named(epochs[:mine], apart), named(epochs[:its], apart, salt=b"y"))
    before = everything(pair.mine)
    pair.begin()
    pair.run()
    assert everything(pair.mine) == everything(pair.its)
    assert pair.of_kind(Cut) == [Cut(apart - 1, pair.its.last)]
    assert pair.mine.cuts == list(before[apart - 1 :])


def test_the_common_entry_of_two_long_chains_is_found_in_few_questions():
    for apart in (2, 600, 1_500, 1_999):
        mine, its = named([1] * 2_000, apart), named([1] * 2_000, apart, salt=b"y")
        pair = Pair(mine, its)
        pair.begin()
        pair.run()
        assert everything(pair.mine) == everything(pair.its)
        assert len(pair.of_kind(Send)) < 20


@pytest.mark.parametrize(("mine", "its"), [((1, 1, 2), (1, 1, 2)), ((1, 1, 1), (1, 1)), ((), ())])
def test_a_learner_that_lacks_nothing_has_caught_up_before_anybody_writes(mine, its):
    pair = Pair(log_of(*mine), log_of(*its))
    pair.begin()
    pair.run()
    assert pair.learner.caught_up
    assert everything(pair.mine) == everything(pair.its)
    assert pair.of_kind(Take) == []


def test_what_is_not_common_is_cut_before_anything_is_taken():
    pair = Pair(log_of(1, 1, 1), log_of(1, 2, 2))
    pair.begin()
    pair.run()
    assert [type(effect) for effect in pair.trace if not isinstance(effect, Send)] == [Cut, Take]


histories = st.lists(st.integers(0, 2), max_size=12)


@given(histories, histories, histories.filter(bool))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_whatever_two_logs_have_in_common_the_learner_ends_with_the_others(both, mine, its):
    """After the common part the epochs differ, as those of different heads do."""

    def epochs(steps, first, parity):
        found, epoch = [], first
        for step in steps:
            epoch += step
            found.append(2 * epoch + parity)
        return found

    common = [2 * epoch for epoch in epochs(both, 1, 0)]
    first = (common[-1] if common else 2) + 1
    pair = Pair(
        log_of(*common, *epochs(mine, first, 0)),
        log_of(*common, *epochs(its, first, 1)),
    )
    pair.begin()
    pair.run()
    assert everything(pair.mine) == everything(pair.its)
    assert len(pair.mine.cuts) == len(mine)
    assert pair.learner.caught_up


# --- the learner -------------------------------------------------------------------------


def test_a_learner_asks_what_comes_after_its_last_entry():
    learner = learner_with(log_of(1, 1, 2))
    [ask] = learner.begin("tail", EPOCH, 0.0)
    assert ask == Send("tail", asking(EntryId(2, 3)))
    assert list(learner.begin("tail", EPOCH, 1.0)) == []  # it is asking already
    assert list(learner.begin("tail", EPOCH + 1, 1.0)) == [
        Send("tail", asking(EntryId(2, 3), EPOCH + 1))
    ]


def test_what_it_takes_is_committed_unless_the_source_has_not_said_so():
    for committed in (True, False):
        log = log_of()
        learner = learner_with(log)
        list(learner.begin("tail", EPOCH, 0.0, committed=committed))
        copied = Copied(EPOCH, EntryId(), entries(1, 1), EntryId(1, 2), False, committed=1)
        _, take = carry_out(log, learner.copied("tail", copied, 0.0))
        assert take == Take(entries(1, 1), int(committed))


def test_it_takes_the_word_that_more_is_committed_without_entries():
    log = log_of(1, 1)
    learner = learner_with(log)
    list(learner.begin("tail", EPOCH, 0.0))
    told = []
    for committed in (1, 1, 2):
        copied = Copied(EPOCH, EntryId(1, 2), (), EntryId(1, 2), False, committed=committed)
        told += [e for e in learner.copied("tail", copied, 0.0) if isinstance(e, Take)]
    assert told == [Take((), 1), Take((), 2)]


def test_a_tail_of_protocol_6_lends_only_what_is_committed():
    log = log_of()
    learner = learner_with(log)
    list(learner.begin("tail", EPOCH, 0.0))
    copied = Copied(EPOCH, EntryId(), entries(1, 1), EntryId(1, 2), False, committed=None)
    assert Take(entries(1, 1), 2) in carry_out(log, learner.copied("tail", copied, 0.0))


def test_it_asks_on_and_then_writes_what_came():
    log = log_of()
    learner = learner_with(log)
    list(learner.begin("tail", EPOCH, 0.0))
    copied = Copied(EPOCH, EntryId(), entries(1, 1), EntryId(1, 5), False, committed=1)
    ask, take = carry_out(log, learner.copied("tail", copied, 0))
    assert ask == Send("tail", asking(EntryId(1, 2)))
    assert take == Take(entries(1, 1), committed=1)
    assert everything(log) == entries(1, 1)


def in_parts(*lengths):
    """An answer in parts of so many entries each."""
    parts, last = [], EntryId()
    for length in lengths:
        part = entries(*[1] * length, after=last.seq)
        end = EntryId(1, sum(lengths))
        parts.append(Copied(EPOCH, last, part, end, False, True, committed=part[0].seq))
        last = part[-1].id
    return [*parts[:-1], replace(parts[-1], more=False)]


def test_it_writes_an_answer_that_comes_in_parts_in_one_go():
    log = log_of()
    learner = learner_with(log)
    list(learner.begin("tail", EPOCH, 0.0))
    first, second, third = in_parts(2, 1, 2)
    assert carry_out(log, learner.copied("tail", first, 0.0)) == []
    assert carry_out(log, learner.copied("tail", second, 0.0)) == []
    ask, take = carry_out(log, learner.copied("tail", third, 0.0))
    assert take == Take(entries(*[1] * 5), committed=4)
    assert ask == Send("tail", asking(EntryId(1, 5)))


def test_when_a_part_is_lost_it_keeps_what_it_has_and_asks_for_what_follows():
    log = log_of()
    learner = learner_with(log)
    list(learner.begin("tail", EPOCH, 0.0))
    first, second, third = in_parts(2, 1, 2)
    carry_out(log, learner.copied("tail", first, 0.0))
    carry_out(log, learner.copied("tail", third, 0.0))
    assert everything(log) == ()
    took, asked = carry_out(log, learner.tick(SUSPECT_AFTER))
    assert took == Take(entries(1, 1), committed=1)
    assert asked == Send("tail", asking(EntryId(1, 2)))
    for part in (third, first, second, third):
        carry_out(log, learner.copied("tail", part, SUSPECT_AFTER))
    assert everything(log) == entries(*[1] * 5)


def test_the_more_often_it_asks_in_vain_for_what_is_there_the_longer_it_waits():
    """Otherwise, on a very narrow link, the source would send the same part for ever."""
    log = log_of()
    learner = learner_with(log)
    list(learner.begin("tail", EPOCH, 0.0))
    parts = in_parts(1, 1, 1, 1)
    carry_out(log, learner.copied("tail", parts[0], 0.0))
    asked = []
    for tick in range(1, 200):
        now = tick * SUSPECT_AFTER / 10
        asked += [now for effect in carry_out(log, learner.tick(now)) if isinstance(effect, Send)]
    waited = [later - now for now, later in pairwise([0.0, *asked])]
    steps = (0.6, 1.1, 2.1, 4.1, 4.1, 4.1)
    assert waited == pytest.approx([step * SUSPECT_AFTER for step in steps])
    for part in parts[1:]:
        carry_out(log, learner.copied("tail", part, now))
    assert everything(log) == entries(*[1] * 4)
    assert len(list(learner.tick(now + 2.1 * SUSPECT_AFTER))) == 1  # what came took half of it


def test_it_does_not_ask_again_while_parts_come():
    log = log_of()
    learner = learner_with(log)
    list(learner.begin("tail", EPOCH, 0.0))
    carry_out(log, learner.copied("tail", in_parts(2, 1)[0], 0.4 * SUSPECT_AFTER))
    assert list(learner.tick(0.8 * SUSPECT_AFTER)) == []
    assert list(learner.tick(1.0 * SUSPECT_AFTER)) != []


def test_before_a_resume_another_history_is_told_and_nothing_is_cut():
    mine, its = named([1] * 5, 3), named([1] * 5, 3, salt=b"y")
    before = everything(mine)
    learner, source = learner_with(mine), Sponsor(its)
    [ask] = learner.begin("head", EPOCH, 0.0, committed=False)
    source.asked("newcomer", ask.message)
    [answer] = source.turn(set())
    [apart] = learner.differs("head", answer.message, 0.0)
    assert apart == Apart("head", its.id_of(3))
    assert learner.source is None
    assert everything(mine) == before


def test_answers_of_another_configuration_are_not_believed():
    learner = learner_with(log_of())
    [ask] = learner.begin("tail", EPOCH, 0.0, identity=7)
    assert ask.message == asking(EntryId(), identity=7)
    other = Copied(EPOCH, EntryId(), entries(1, 1), EntryId(1, 2), False, identity=8)
    assert list(learner.copied("tail", other, 0.0)) == []
    assert list(learner.copied("tail", replace(other, identity=7), 0.0)) != []


def test_before_a_resume_it_leaves_its_log_as_it_is_though_the_source_has_less():
    log = log_of(1, 1, 2)
    learner = learner_with(log)
    list(learner.begin("head", EPOCH, 0.0, committed=False))
    assert list(learner.differs("head", Differs(EPOCH, EntryId(1, 2)), 0.0)) == []
    assert learner.source is None
    copied = Copied(EPOCH, EntryId(1, 2), (), EntryId(1, 2), False)
    assert list(learner.copied("head", copied, 0.0)) == []
    assert everything(log) == entries(1, 1, 2)


def taught(log, *, end, sealed=False):
    """A learner that has received two entries."""
    learner = learner_with(log)
    list(learner.begin("tail", EPOCH, 0.0))
    copied = Copied(EPOCH, EntryId(), entries(1, 1), end, sealed)
    return learner, copied, carry_out(log, learner.copied("tail", copied, 0.0))


@pytest.mark.parametrize(
    ("sender", "epoch", "previous"),
    [
        ("tail", EPOCH, EntryId()),  # an answer that comes twice
        ("tail", EPOCH, EntryId(1, 1)),
        ("tail", EPOCH, EntryId(1, 3)),
        ("tail", EPOCH, EntryId(2, 2)),
        ("other", EPOCH, EntryId(1, 2)),
        ("tail", EPOCH - 1, EntryId(1, 2)),
    ],
)
def test_late_and_repeated_answers_are_ignored(sender, epoch, previous):
    log = log_of()
    learner, _, _ = taught(log, end=EntryId(1, 5))
    late = Copied(epoch, previous, entries(7, after=previous.seq), EntryId(7, 9), True)
    assert list(learner.copied(sender, late, 0.0)) == []
    assert learner.end == EntryId(1, 5)
    assert everything(log) == entries(1, 1)


@pytest.mark.parametrize(
    ("sender", "epoch"), [("other", EPOCH), ("tail", EPOCH - 1), ("tail", EPOCH)]
)
def test_word_that_logs_differ_is_ignored_once_the_common_entry_is_found(sender, epoch):
    learner, _, _ = taught(log_of(), end=EntryId(1, 5))
    assert list(learner.differs(sender, Differs(epoch, EntryId(1, 1)), 0.0)) == []


@pytest.mark.parametrize("previous", [EntryId(3, 3), EntryId(1, 1), EntryId()])
def test_an_answer_to_an_earlier_question_does_not_make_an_entry_common(previous):
    log = log_of(1, 1, 3)
    learner = learner_with(log)
    list(learner.begin("tail", EPOCH, 0.0))
    [ask] = learner.differs("tail", Differs(EPOCH, EntryId(1, 2)), 0.0)
    assert ask.message.last == EntryId(1, 2)
    late = Copied(EPOCH, previous, entries(9, after=previous.seq), EntryId(9, 9), False)
    assert carry_out(log, learner.copied("tail", late, 0.0)) == []
    assert everything(log) == entries(1, 1, 3)


def test_it_says_that_it_has_all_only_when_the_tail_is_sealed_and_all_is_there():
    _, _, effects = taught(log_of(), end=EntryId(1, 2), sealed=False)
    assert effects[0] == Send("tail", asking(EntryId(1, 2)))
    _, _, effects = taught(log_of(), end=EntryId(1, 3), sealed=True)
    assert effects[0] == Send("tail", asking(EntryId(1, 2)))
    _, _, effects = taught(log_of(), end=EntryId(1, 2), sealed=True)
    assert effects == [
        Take(entries(1, 1), 2),
        Send("tail", Synced(EPOCH, ME, EntryId(1, 2))),
    ]


def test_it_says_so_when_only_the_seal_was_missing():
    log = log_of()
    learner, _, _ = taught(log, end=EntryId(1, 2))
    sealed = Copied(EPOCH, EntryId(1, 2), (), EntryId(1, 2), True)
    assert list(learner.copied("tail", sealed, 0.0)) == [
        Send("tail", Synced(EPOCH, ME, EntryId(1, 2)))
    ]


def test_then_its_log_stays_as_it_is():
    log = log_of()
    learner, _, _ = taught(log, end=EntryId(1, 2), sealed=True)
    assert learner.frozen
    more = Copied(EPOCH, EntryId(1, 2), entries(1, after=2), EntryId(1, 3), False)
    assert list(learner.copied("tail", more, 0.0)) == []
    assert everything(log) == entries(1, 1)


def test_it_asks_again_after_half_of_suspect_after_without_an_answer():
    learner = learner_with(log_of(1))
    [ask] = learner.begin("tail", EPOCH, 10.0)
    assert list(learner.tick(12.0)) == []
    assert list(learner.tick(12.1)) == [ask]
    assert list(learner.tick(14.1)) == []
    assert list(learner.tick(14.2)) == [ask]


def test_it_goes_on_if_nothing_became_of_its_word():
    log = log_of()
    learner, _, _ = taught(log, end=EntryId(1, 2), sealed=True)
    assert list(learner.tick(2.1)) == [Send("tail", asking(EntryId(1, 2)))]
    more = Copied(EPOCH, EntryId(1, 2), entries(1, after=2), EntryId(1, 3), False)
    carry_out(log, learner.copied("tail", more, 2.2))
    assert everything(log) == entries(1, 1, 1)


def test_one_that_stopped_asks_and_takes_nothing_until_it_begins_again():
    learner, copied, _ = taught(log_of(), end=EntryId(1, 2), sealed=True)
    learner.stop()
    assert (learner.source, learner.frozen, learner.caught_up) == (None, False, False)
    assert list(learner.tick(99.0)) == []
    assert list(learner.copied("tail", copied, 0.0)) == []
    assert len(list(learner.begin("tail", EPOCH, 0.0))) == 1


@pytest.mark.parametrize(("lacks", "near"), [(NEAR, True), (NEAR + 1, False)])
def test_it_has_caught_up_when_it_lacks_no_more_than_a_batch(lacks, near):
    learner, _, _ = taught(log_of(), end=EntryId(1, 2 + lacks))
    assert learner.caught_up is near


def test_it_has_not_caught_up_before_the_common_entry_is_found():
    learner = learner_with(log_of(1, 1))
    list(learner.begin("tail", EPOCH, 0.0))
    assert not learner.caught_up


def test_it_counts_what_it_copied():
    learner, copied, _ = taught(log_of(), end=EntryId(1, 5))
    assert (learner.copied_entries, learner.copied_octets) == (2, sum(map(size, copied.entries)))
    list(learner.begin("other", EPOCH, 7.0))
    assert (learner.copied_entries, learner.copied_octets, learner.began) == (0, 0, 7.0)


# --- how far it is, for people


def progress(now, *, last=2_000, copied=2_000):
    """The progress of a learner that has copied since second 10 from a source of 2,500 entries."""
    learner = Learner(
        ME, SimpleNamespace(last=EntryId(3, last), staged=None), Timing(SUSPECT_AFTER)
    )
    learner.source, learner.began, learner.end = "tail", 10.0, EntryId(3, 2_500)
    learner.copied_entries, learner.copied_octets = copied, 3_200 * copied
    return learner.progress(now)


@pytest.mark.parametrize(
    ("last", "copied", "now", "text"),
    [
        (2_000, 2_000, 14.0, "2000 entries (6.4 MB, 1.6 MB/s) from tail, 500 to go, 1 s left"),
        (1_500, 2_000, 14.0, "2000 entries (6.4 MB, 1.6 MB/s) from tail, 1000 to go, 2 s left"),
        (1_500, 2_000, 50.0, "2000 entries (6.4 MB, 0.2 MB/s) from tail, 1000 to go, 20 s left"),
        (2_500, 2_000, 14.0, "2000 entries (6.4 MB, 1.6 MB/s) from tail, 0 to go"),
        (2_600, 2_000, 14.0, "2000 entries (6.4 MB, 1.6 MB/s) from tail, 0 to go"),
        (0, 0, 10.0, "0 entries (0.0 MB, 0.0 MB/s) from tail, 2500 to go"),
    ],
)
def test_progress_is_entries_octets_rate_what_is_missing_and_the_time_left(last, copied, now, text):
    assert progress(now, last=last, copied=copied) == f"copied {text}"


def test_who_copies_nothing_has_no_progress():
    assert learner_with(log_of(1)).progress(14.0) == ""
