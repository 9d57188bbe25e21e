"""Copying a checkpoint: who is offered one, in which order it is copied, what is refused."""

import pytest
from logs_made_up import chained, entries, everything
from msgspec.structs import replace

from chainchat.chain.checkpoints import RECORDS, START, Row
from chainchat.chain.configuration import Member
from chainchat.chain.copying import Learner, Replace, Take
from chainchat.chain.effects import Cut, Install, Send, StageEntries, StageRows, Unstage
from chainchat.chain.entries import EntryId
from chainchat.chain.lending import Sponsor
from chainchat.chain.limits import ProtocolLimits
from chainchat.chain.log import DivergenceError
from chainchat.chain.messages import Copied, Differs, Fetch, FetchRows, Offer, Rows
from chainchat.chain.timing import Timing
from chainchat.storage.memory import MemoryStorage

EPOCH = 9
ME = Member("newcomer", "id-new", 3)
LIMITS = ProtocolLimits(checkpoint_worth=10)


def log_of(count, *, salt=b"x"):
    log = MemoryStorage()
    log.append(chained(EntryId(), entries(*[1] * count, command=salt)))
    return log


def lender(count=40, checkpoint=30, beginning=20):
    """A log that has a checkpoint, and has lost its beginning."""
    log = log_of(count)
    log.write_committed(count)
    log.begin_checkpoint(checkpoint)
    log.write_records([(1, b"one"), (2, b"two")])
    log.finish_checkpoint(b"head")
    log.remove(beginning)
    return log


def lets_go_of_its_checkpoint(its):
    its.begin_checkpoint(35)
    its.finish_checkpoint(b"another header")
    its.remove(34)


class Pair:
    """A learner and its source; ``lost``: kinds of messages that do not arrive."""

    def __init__(self, mine, its):
        self.mine, self.sponsor = mine, Sponsor(its, LIMITS)
        self.lost = ()
        self.done = []
        self.asked = []
        self.restart()

    def restart(self):
        """A new life of the learner, which asks again."""
        self.learner = Learner(ME, self.mine, Timing(4.0), LIMITS)
        self._carry_out(self.learner.begin("tail", EPOCH, 0.0))

    def run(self, **options):
        """Exchange questions and answers until nothing is left to say, or the copy is there."""
        while answers := list(self.sponsor.turn(set(), **options)):
            for answer in answers:
                self.hear(answer.message)
            if isinstance(self.done[-1], Install):
                return  # a new life begins

    def hear(self, message):
        if isinstance(message, self.lost):
            return
        step = {
            Copied: self.learner.copied,
            Differs: self.learner.differs,
            Offer: self.learner.offered,
            Rows: self.learner.rows,
        }[type(message)]
        self._carry_out(step("tail", message, 0.0))

    def _carry_out(self, effects):
        for effect in effects:
            self.done.append(effect)
            match effect:
                case Cut():
                    self.mine.cut(effect.after)
                case Take():
                    self.mine.append(effect.entries)
                case Replace():
                    self.mine.stage(effect.offered)
                case StageRows():
                    self.mine.stage_rows(effect.rows, complete=effect.complete)
                case StageEntries():
                    self.mine.stage_entries(effect.entries)
                case Install():
                    self.mine.install()
                case Unstage():
                    self.mine.abandon_staged()
                case Send(_, Fetch() | FetchRows()):
                    self.asked.append(effect.message)
                    self.sponsor.asked("newcomer", effect.message)

    def kinds(self):
        return [type(effect).__name__ for effect in self.done if not isinstance(effect, Send)]


def test_an_empty_disk_copies_the_checkpoint_and_the_log_from_its_beginning():
    its = lender()
    pair = Pair(MemoryStorage(), its)
    pair.run()
    assert pair.kinds() == ["Replace", "StageRows", "StageEntries", "Install"]
    assert pair.mine.beginning == its.beginning
    assert everything_kept(pair.mine) == everything_kept(its)
    assert dict(pair.mine.records()) == {1: b"one", 2: b"two"}
    assert pair.mine.committed == 30


def everything_kept(log):
    return tuple(log.read(log.beginning.seq, log.last.seq, 1 << 40))


@pytest.mark.parametrize(
    ("held", "offered"),
    [
        (0, True),  # an empty disk
        (19, True),  # it ends before the other begins
        (20, False),  # the entries suffice, and are fewer than the checkpoint's worth
        (40, False),
    ],
)
def test_who_lacks_little_of_what_is_there_copies_entries(held, offered):
    pair = Pair(log_of(held) if held else MemoryStorage(), lender(checkpoint=29))
    pair.sponsor._limits = ProtocolLimits(checkpoint_worth=25)
    pair.run()
    assert ("Replace" in pair.kinds()) == offered
    assert everything_kept(pair.mine)[-10:] == everything_kept(pair.sponsor._log)[-10:]


def test_who_lacks_much_is_offered_a_checkpoint_though_the_log_is_whole():
    pair = Pair(log_of(5), lender(beginning=0))
    pair.run()
    assert "Install" in pair.kinds()
    assert everything(pair.mine) == everything(pair.sponsor._log)


def test_what_a_learner_has_beyond_the_last_common_entry_goes_to_a_side_file_first():
    mine = log_of(22)
    more = chained(mine.last, entries(*[1] * 5, after=22, command=b"never confirmed"))
    mine.append(more)
    mine.write_committed(15)
    pair = Pair(mine, lender(checkpoint=38, beginning=20))
    pair.run()
    assert pair.kinds()[:2] == ["Cut", "Replace"]
    assert pair.done[-1] == Install("tail")
    assert mine.cuts == list(more)


def test_who_is_offered_another_checkpoint_meanwhile_says_again_what_it_holds():
    its = lender()
    pair = Pair(MemoryStorage(), its)
    pair.lost = (Copied,)
    pair.run()
    lets_go_of_its_checkpoint(its)
    pair.asked.clear()
    pair.lost = ()
    pair.sponsor.asked("newcomer", pair.learner._ask(0.0).message)
    pair.run()
    first, *_ = pair.asked
    assert first == Fetch(EPOCH, ME, EntryId(), takes_offers=True)
    assert pair.mine.newest_checkpoint().header == b"another header"


def test_before_a_resume_nobody_is_offered_a_checkpoint():
    pair = Pair(log_of(5), lender(beginning=0))
    pair.run(offers=False)
    assert "Replace" not in pair.kinds()
    assert everything(pair.mine) == everything(pair.sponsor._log)


def test_a_new_life_goes_on_with_what_was_copied():
    pair = Pair(MemoryStorage(), lender())
    pair.lost = (Copied,)
    pair.run()
    assert pair.mine.staged.complete
    pair.lost = ()
    pair.restart()
    pair.done.clear()
    pair.run()
    assert pair.kinds() == ["StageEntries", "Install"]


def test_a_checkpoint_that_is_gone_meanwhile_is_not_gone_on_with():
    its = lender()
    pair = Pair(MemoryStorage(), its)
    pair.lost = (Copied,)
    pair.run()
    lets_go_of_its_checkpoint(its)
    pair.lost = ()
    pair.restart()
    pair.run()
    assert pair.mine.newest_checkpoint().header == b"another header"
    assert pair.mine.beginning == its.beginning


def test_rows_of_another_checkpoint_than_the_one_that_is_copied_are_asked_for_no_more():
    its = lender()
    pair = Pair(MemoryStorage(), its)
    pair.lost = (Rows,)
    pair.run()
    its.begin_checkpoint(35)
    its.finish_checkpoint(b"another header")
    pair.lost = ()
    pair.sponsor.asked("newcomer", pair.asked[-1])
    pair.run()
    assert pair.mine.newest_checkpoint().header == b"another header"


def test_a_log_that_does_not_lead_to_the_entry_of_the_checkpoint_is_thrown_away():
    its = lender()
    pair = Pair(MemoryStorage(), its)
    its._checkpointed = replace(its.id_of(30), digest=b"another")
    offer = Offer(EPOCH, its._checkpointed, its.beginning, b"head", True)
    pair.hear(offer)
    pair.hear(Rows(EPOCH, its._checkpointed, START, (Row(RECORDS, 1, 0, b"one"),), complete=True))
    pair.hear(Copied(EPOCH, its.beginning, everything_kept(its), its.last, False))
    assert isinstance(pair.done[-1], Unstage)
    assert "is not the one that its checkpoint is of" in pair.done[-1].reason
    assert pair.mine.staged is None


def test_a_copied_log_that_lacks_what_was_committed_here_stops_the_node():
    its = lender(beginning=0)
    mine = log_of(25, salt=b"y")
    mine.write_committed(25)
    pair = Pair(mine, its)
    offered = its.offered()
    mine.stage(offered)
    pair.restart()
    pair.hear(Offer(EPOCH, offered.checkpoint, offered.beginning, offered.header, False))
    pair.hear(Rows(EPOCH, offered.checkpoint, START, (), complete=True))
    with pytest.raises(DivergenceError, match="Nothing was changed"):
        pair.hear(Copied(EPOCH, offered.beginning, everything(its), its.last, False))


def asks(sponsor, question, now):
    sponsor.asked("newcomer", question, now)
    return [send.message for send in sponsor.turn(set(), now=now)]


def test_a_tail_keeps_the_checkpoint_and_the_log_that_it_lends():
    its = lender()
    sponsor = Sponsor(its, LIMITS)
    assert not sponsor.lends_checkpoint(0.0)
    [offer] = asks(sponsor, Fetch(EPOCH, ME, EntryId(), takes_offers=True), 1.0)
    assert sponsor.lends_checkpoint(1.0)
    assert sponsor.needed_after(1.0) == 20
    asks(sponsor, FetchRows(EPOCH, ME, offer.checkpoint, START), 5.0)
    assert sponsor.lends_checkpoint(14.0)
    assert not sponsor.lends_checkpoint(15.0)  # it says nothing any more
    asks(sponsor, Fetch(EPOCH, ME, its.id_of(25), staged=True, takes_offers=True), 15.0)
    assert not sponsor.lends_checkpoint(5.0)
    assert sponsor.needed_after(15.0) == 25
    sponsor.forget("newcomer")
    assert sponsor.needed_after(15.0) > its.last.seq


def test_to_ask_for_the_same_again_and_again_keeps_neither_checkpoint_nor_log():
    its = lender()
    sponsor = Sponsor(its, LIMITS)
    [offer] = asks(sponsor, Fetch(EPOCH, ME, EntryId(), takes_offers=True), 1.0)
    for now in range(1, 12):
        asks(sponsor, FetchRows(EPOCH, ME, offer.checkpoint, START), float(now))
    assert not sponsor.lends_checkpoint(11.0)
    for now in range(12, 302):
        asks(sponsor, Fetch(EPOCH, ME, EntryId(), takes_offers=True), float(now))
    assert not sponsor.lends_checkpoint(301.0)
    assert sponsor.needed_after(301.0) == 20
    assert sponsor.needed_after(302.0) > its.last.seq


def test_who_stops_copying_the_log_keeps_it_for_five_minutes_and_operators_are_told_once():
    its = lender(beginning=0)
    sponsor = Sponsor(its, ProtocolLimits(answer_octets=1))
    question = Fetch(EPOCH, ME, its.id_of(5))
    for now in range(302):
        asks(sponsor, question, float(now))
    assert [sponsor.needed_after(300.0), list(sponsor.tick(300.0))] == [5, []]
    [told] = sponsor.tick(301.0)
    assert told.text == "newcomer has copied nothing for 300 s: no log is kept for it any longer"
    assert list(sponsor.tick(302.0)) == []
    assert sponsor.needed_after(302.0) > its.last.seq
    asks(sponsor, Fetch(EPOCH, ME, its.last), 303.0)  # it goes on
    assert sponsor.needed_after(303.0) == its.last.seq


def test_who_has_the_whole_log_may_wait_for_more_for_hours():
    its = lender(beginning=0)
    sponsor = Sponsor(its, LIMITS)
    asks(sponsor, Fetch(EPOCH, ME, its.last), 0.0)
    asks(sponsor, Fetch(EPOCH, ME, its.last), 1.0)
    assert list(sponsor.tick(9_000.0)) == []
    its.append(chained(its.last, entries(1, after=its.last.seq)))
    [_] = sponsor.turn(set(), now=9_000.0)
    assert list(sponsor.tick(9_001.0)) == []
    assert sponsor.needed_after(9_001.0) == its.last.seq - 1


def agreed_then_apart(its):
    """A learner that has agreed with its source, and has stood still since."""
    pair = Pair(log_of(5), log_of(5))
    pair.run()
    pair.sponsor._log = its
    return pair


@pytest.mark.parametrize("beginning", [0, 20])
def test_who_has_agreed_and_then_lacks_much_copies_the_checkpoint(beginning):
    its = lender(beginning=beginning)
    pair = agreed_then_apart(its)
    pair.run()
    assert pair.kinds() == ["Replace", "StageRows", "StageEntries", "Install"]
    assert not any(isinstance(effect, Cut) for effect in pair.done)
    assert everything_kept(pair.mine) == everything_kept(its)


def test_what_was_offered_before_it_came_further_is_not_taken():
    its = lender(beginning=0)
    pair = Pair(log_of(35), its)
    pair.run()
    assert pair.mine.last == its.last
    offered = its.offered()
    pair.hear(Offer(EPOCH, offered.checkpoint, offered.beginning, offered.header, True))
    assert "Replace" not in pair.kinds()
