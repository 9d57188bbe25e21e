"""The replica through changes: other configurations, copying, random histories."""

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replica_chain import NOW, THREE, Chain, as_long_as_it_takes, opening

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.effects import Send, Sync, Write
from chainchat.chain.entries import Entry, EntryId
from chainchat.chain.limits import USUAL_PROTOCOL
from chainchat.chain.messages import Ack, Holding
from chainchat.chain.replica import Replica
from chainchat.storage.memory import MemoryStorage

deterministic = settings(derandomize=True, max_examples=300, deadline=None)


@pytest.fixture
def chain():
    chain = Chain(*THREE)
    chain.settle()
    chain.trace.clear()
    return chain


# --- another configuration ---------------------------------------------------------------


@pytest.mark.parametrize("gone", THREE)
@pytest.mark.parametrize("rounds", range(5))
def test_whoever_goes_the_others_lose_nothing_and_keep_the_order(gone, rounds):
    chain = Chain(*THREE)
    chain.settle()
    rest = [position for position in THREE if position != gone]
    said = {position: [] for position in rest}
    for number in range(rounds):
        for position in rest:
            said[position].append(f"{position} {number}".encode())
            chain[position].submit(said[position][-1])
        chain.turn(*THREE)
        for wire in list(chain.wires):
            chain.deliver(*wire)
    chain.adopt(*rest)
    chain.settle()
    assert chain.applied[rest[0]] == chain.applied[rest[1]]
    for position in rest:
        commands = chain.commands(position)
        assert [c for c in commands if c in said[rest[0]]] == said[rest[0]]
        assert [c for c in commands if c in said[rest[1]]] == said[rest[1]]
        assert chain[position].own_requests.pending == 0


def test_a_new_tails_log_is_committed_as_it_stands(chain):
    chain["head"].submit(b"one")
    chain.turn("head")
    chain.adopt("head")
    chain.settle()
    assert chain.commands("head") == [b"opening 1", b"one", b"opening 2"]


def test_an_epoch_has_one_opening_however_often_it_is_adopted(chain):
    for _ in range(3):
        chain["head"].adopt(chain["head"].configuration)
        chain["head"].active = True
        chain.settle()
    chain.adopt(*THREE)
    for _ in range(2):
        chain["head"].adopt(chain["head"].configuration)
        chain["head"].active = True
    chain.settle()
    assert chain.commands("tail") == [b"opening 1", b"opening 2"]


def test_a_replica_on_an_old_log_applies_what_comes_after_its_checkpoint(chain):
    for command in (b"one", b"two", b"three"):
        chain["head"].submit(command)
    chain.settle()
    again = Replica("tail", "tail.2", chain.logs["tail"], opening=opening, applied=2)
    assert (again.last, again.committed, again.applied) == (chain["tail"].last, 2, 2)
    assert list(again.turn(NOW)) == []
    again.adopt(Configuration(2, (Member("tail", "tail", 2),)))
    again.active = True
    persist = next(turn := again.turn(NOW))
    chain.logs["tail"].append(persist.entries)
    assert list(turn) == [Sync()]
    [apply] = again.apply(as_long_as_it_takes)
    assert [entry.command for entry in apply.entries] == [b"two", b"three", b"opening 2"]


def torn(position, *, to):
    """A chain that is resumed after one disk lost the end of its log."""
    chain = Chain(*THREE)
    for command in (b"one", b"two", b"three"):
        chain["head"].submit(command)
    chain.settle()
    chain.logs[position].cut(to)
    chain.replicas = {
        p: Replica(p, f"{p}.2", chain.logs[p], opening=opening, applied=0) for p in THREE
    }
    chain.wires.clear()
    chain.applied.clear()
    chain.adopt(*THREE)
    return chain


@pytest.mark.parametrize("to", [0, 1, 3])
@pytest.mark.parametrize("position", ["middle", "tail"])
def test_a_member_that_lost_the_end_of_its_log_gets_it_again(position, to):
    chain = torn(position, to=to)
    chain.turn("tail")
    chain.deliver("tail", "middle")  # before the head's entries can have come
    chain.settle()
    logs = [chain.logs[p].read(0, 99, 1 << 62) for p in THREE]
    assert logs[0] == logs[1] == logs[2]
    expected = [b"opening 1", b"one", b"two", b"three", b"opening 2"]
    assert [[entry.command for entry in chain.applied[p]] for p in THREE] == [expected] * 3


def test_a_tail_applies_nothing_that_a_disk_before_it_may_have_lost():
    chain = torn("middle", to=1)
    chain.turn("tail", "middle", "head")
    chain.deliver("tail", "middle")
    chain.turn("tail", "middle")
    assert chain.applied["tail"] == []
    chain.settle()
    assert len(chain.applied["tail"]) == 5


# --- outside the chain -------------------------------------------------------------------


def learner_on(*epochs, applied=0):
    """An inactive replica on a log with one entry in each of these epochs."""
    log = MemoryStorage()
    log.append(some(*epochs))
    return Replica("newcomer", "newcomer.1", log, opening=opening, applied=applied), log


def copied(replica, log, entries):
    """Let it copy committed entries, which are then on its disk and not yet applied."""
    effects = replica.copy(entries, committed=entries[-1].seq)
    log.append(next(effects).entries)
    assert list(effects) == [Sync()]


def some(*epochs, after=0):
    return tuple(Entry(s, e, "a.1", s, NOW + s, b"%d" % s) for s, e in enumerate(epochs, after + 1))


def test_what_a_learner_copies_is_applied_once_it_is_on_its_disk():
    replica, log = learner_on(1, 1)
    effects = replica.copy(some(1, 2, after=2), committed=4)
    assert next(effects) == Write(some(1, 2, after=2))
    assert (replica.synced, replica.applied) == (2, 0)
    log.append(some(1, 2, after=2))
    assert next(effects) == Sync()
    assert (replica.synced, replica.committed) == (2, 0)
    assert list(effects) == []
    applied = replica.apply(as_long_as_it_takes)
    assert [list(apply.entries) for apply in applied] == [list(some(1, 1, 1, 2))]
    assert (replica.last, replica.synced, replica.committed) == (EntryId(2, 4), 4, 4)
    assert replica.time == NOW + 4


def test_no_more_of_what_is_copied_counts_as_committed_than_the_source_says():
    replica, log = learner_on(1)
    effects = replica.copy(some(1, 1, after=1), committed=2)
    log.append(next(effects).entries)
    assert list(effects) == [Sync()]
    assert (replica.synced, replica.committed, replica.applied) == (3, 2, 0)
    assert list(replica.copy((), committed=9)) == []
    assert (replica.synced, replica.committed, replica.applied) == (3, 3, 0)


def test_what_was_taken_and_is_not_on_disk_is_copied_again(chain):
    chain["head"].submit(b"one")
    chain.turn("head")
    chain.deliver("head", "middle")
    middle, log = chain["middle"], chain.logs["middle"]
    assert middle.last.seq == log.last.seq + 1
    middle.active = False  # it votes for a resume, and has to have the end of the head's log first
    missing = list(chain.logs["head"].entries([middle.last.seq]))
    assert next(middle.copy(tuple(missing), committed=0)) == Write(tuple(missing), committed=1)


def test_who_drops_what_it_had_taken_says_what_it_holds(chain):
    for text in (b"one", b"two"):
        chain["head"].submit(text)
        chain.turn("head")
    chain.deliver("head", "middle")
    middle, log = chain["middle"], chain.logs["middle"]
    middle.active = False
    effects = middle.copy((next(chain.logs["head"].entries([log.last.seq + 1])),), committed=0)
    for effect in effects:
        chain.carry_out("middle", effect)
    middle.active = True
    assert Holding(1, log.last) in chain.turn("middle")
    chain.settle()
    assert len({tuple(log.read(0, 9, 1 << 20)) for log in chain.logs.values()}) == 1


@pytest.mark.parametrize("copied", [1, 2])
def test_a_locked_member_copies_in_place_of_what_it_has_taken_but_not_written(chain, copied):
    for command in (b"one", b"two"):
        chain["head"].submit(command)
    chain.turn("head")
    chain.deliver("head", "middle")
    chain["middle"].active = False
    chain.copy("middle", chain.logs["head"].read(1, 1 + copied, 1 << 62))
    assert (chain["middle"].synced, chain["middle"].committed) == (1 + copied, 1)
    chain["middle"].active = True  # what it copied for was given up
    chain.settle()
    assert chain.commands("tail") == [b"opening 1", b"one", b"two"]
    assert chain["head"].own_requests.pending == 0


def test_only_the_exact_next_entries_can_be_copied():
    replica, _ = learner_on(1, 1)
    with pytest.raises(AssertionError):
        next(replica.copy(some(1, after=3), committed=9))


def test_who_takes_part_copies_nothing():
    replica = Chain("head")["head"]
    with pytest.raises(AssertionError):
        next(replica.copy(some(1), committed=9))


def test_after_a_cut_it_goes_on_from_the_logs_new_end():
    replica, log = learner_on(1, 1, 1, applied=1)
    log.cut(1)
    replica.cut()
    assert (replica.last, replica.synced, replica.applied) == (EntryId(1, 1), 1, 1)
    copied(replica, log, some(2, after=1))
    applied = replica.apply(as_long_as_it_takes)
    assert [list(apply.entries) for apply in applied] == [list(some(2, after=1))]


def test_a_long_log_is_applied_in_slices():
    command = b"x" * (USUAL_PROTOCOL.apply_octets * 2 // 3)
    entries = tuple(Entry(s, 1, "a.1", s, NOW, command, 1) for s in range(1, 8))
    log = MemoryStorage()
    log.append(entries[:1])
    replica = Replica("newcomer", "newcomer.1", log, opening=opening, applied=1)
    copied(replica, log, entries[1:])
    assert (replica.committed, replica.applied) == (7, 1)
    [first] = replica.apply(lambda: False)
    assert (list(first.entries), replica.applied) == ([entries[1]], 2)
    there_is_time = iter([True, True, False])
    applied = replica.apply(lambda: next(there_is_time))
    assert [apply.entries[0].seq for apply in applied] == [3, 4, 5]
    assert [apply.entries[0].seq for apply in replica.apply(as_long_as_it_takes)] == [6, 7]


class Counted(list):
    """A list that counts what its slices hold."""

    sliced = 0

    def __getitem__(self, place):
        found = super().__getitem__(place)
        self.sliced += len(found) if isinstance(place, slice) else 0
        return found


def test_to_apply_a_slice_only_what_may_fit_is_looked_at():
    entries = tuple(Entry(s, 1, "a.1", s, NOW, b"x", 1) for s in range(1, 2_001))
    log = MemoryStorage()
    log.append(entries[:1])
    replica = Replica("newcomer", "newcomer.1", log, opening=opening, applied=1)
    copied(replica, log, entries[1:])
    recent = replica._recent = Counted(replica._recent)
    assert len(recent) == 1_999
    applied = replica.apply(as_long_as_it_takes)
    assert [entry for apply in applied for entry in apply.entries] == list(entries[1:])
    assert recent.sliced < 2 * len(entries)


def test_what_is_copied_faster_than_it_is_applied_does_not_stay_in_memory():
    entries = tuple(
        Entry(s, 1, "a.1", s, NOW, b"x" * (USUAL_PROTOCOL.copied_octets // 10), 1)
        for s in range(1, 31)
    )
    log = MemoryStorage()
    log.append(entries[:1])
    replica = Replica("newcomer", "newcomer.1", log, opening=opening, applied=0)
    for entry in entries[1:]:
        copied(replica, log, (entry,))
        assert len(replica._recent) <= 10
    applied = [e for apply in replica.apply(as_long_as_it_takes) for e in apply.entries]
    assert applied == list(entries)


def test_a_cut_never_reaches_what_was_applied():
    replica, log = learner_on(1, 1, 1, applied=2)
    log.cut(1)
    with pytest.raises(AssertionError):
        replica.cut()


def test_a_learner_that_joins_goes_on_where_it_copied_to():
    replica, log = learner_on(1)
    effects = replica.copy(some(1, after=1), committed=9)
    log.append(next(effects).entries)
    list(effects)
    list(replica.apply(as_long_as_it_takes))
    members = (Member("head", "head", 1), Member("newcomer", "newcomer", 1))
    replica.adopt(Configuration(2, members))
    replica.active = True
    assert list(replica.turn(NOW)) == [
        Send("head", Holding(2, EntryId(1, 2))),
        Send("head", Ack(2, 2)),
    ]
    assert replica.applied == 2


# --- whatever happens --------------------------------------------------------------------

pairs = st.sampled_from([(a, b) for a in THREE for b in THREE if a != b])
steps = st.one_of(
    st.tuples(
        st.sampled_from(["submit", "turn", "turn", "lock", "unlock", "copy"]),
        st.sampled_from(THREE),
    ),
    st.tuples(st.sampled_from(["deliver", "deliver", "deliver", "reconnect"]), pairs),
    st.tuples(st.just("splice"), st.sampled_from(THREE)),
)


def check(chain):
    """Check the invariants *prefix* and *committed*."""
    logs = [chain.logs[position].read(0, 1 << 62, 1 << 62) for position in chain.members]
    for longer, shorter in pairwise(logs):
        assert shorter == longer[: len(shorter)]
    applied = max((chain[position].applied for position in chain.members), default=0)
    assert all(len(log) >= applied for log in logs)


@given(st.lists(steps, max_size=60))
@deterministic
def test_whatever_happens_logs_are_prefixes_and_nothing_is_lost_or_turned_around(drawn):
    chain, numbers = Chain(*THREE), defaultdict(int)
    for step, where in drawn:
        match step:
            case "submit":
                numbers[where] += 1
                chain[where].submit(b"%s %d" % (where.encode(), numbers[where]))
            case "turn":
                chain.turn(where)
            case "lock" | "unlock" if where in chain.members:
                chain[where].active = step == "unlock"
            case "copy" if where in chain.members[1:] and not chain[where].active:
                log = chain.logs[chain[where].configuration.predecessor(where)]
                chain.copy(where, log.read(chain.logs[where].last.seq, log.last.seq, 1))
            case "deliver":
                chain.deliver(*where)
            case "reconnect":
                chain.reconnect(*where)
            case "splice" if where in chain.members and len(chain.members) > 1:
                chain.adopt(*(position for position in chain.members if position != where))
        check(chain)
    for position in chain.members:
        chain[position].active = True
    chain.settle()
    check(chain)
    for position in chain.members:
        assert chain.applied[position] == chain.applied[chain.members[0]]
        assert chain[position].own_requests.pending == 0
        own = [c for c in chain.commands(position) if c.startswith(position.encode())]
        assert own == [b"%s %d" % (position.encode(), n + 1) for n in range(numbers[position])]
        assert chain.commands(position).count(b"opening %d" % chain.epoch) == 1


def test_a_replica_does_not_begin_with_marks_in_another_order():
    with pytest.raises(AssertionError):  # applied up to 1, of a log that is empty
        Replica("tail", "tail.1", MemoryStorage(), opening=opening, applied=1)
