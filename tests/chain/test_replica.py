"""The replica: what it writes, syncs, sends and applies, and in which order."""

import pytest
from logs_made_up import log_of
from replica_chain import NOW, THREE, Chain, opening

from chainchat.chain.effects import Distrust, Send, Sync, Write
from chainchat.chain.entries import Entry, EntryId
from chainchat.chain.limits import USUAL_PROTOCOL, ProtocolLimits
from chainchat.chain.log import FRAME_ENTRIES, DivergenceError, fitting, size
from chainchat.chain.messages import Ack, Forward, Holding, Submit
from chainchat.chain.replica import Replica


@pytest.fixture
def chain():
    chain = Chain(*THREE)
    chain.settle()
    chain.trace.clear()
    return chain


# --- the way of an entry -----------------------------------------------------------------


def test_an_entry_is_forwarded_before_it_is_synced_and_applied_once_every_disk_has_it(chain):
    chain["tail"].submit(b"hello")
    chain.settle()
    assert chain.trace == [
        "tail: Submit to head",
        "head: Write",
        "head: Forward to middle",
        "head: Sync",
        "head: Forward to middle",
        "middle: Write",
        "middle: Forward to tail",
        "middle: Sync",
        "middle: Forward to tail",
        "tail: Write",
        "tail: Sync",
        "tail: Ack to middle",
        "tail: Apply",
        "middle: Ack to head",
        "middle: Apply",
        "head: Apply",
    ]
    assert chain.commands("head") == [b"opening 1", b"hello"]


def test_what_comes_between_two_turns_moves_as_one_batch(chain):
    for number in range(50):
        chain["head"].submit(b"%d" % number)
        chain["tail"].submit(b"%d" % number)
    chain.turn("tail")
    chain.deliver("tail", "head")
    chain.trace.clear()
    chain.settle()
    assert chain.trace[:4] == [
        "head: Write",
        "head: Forward to middle",
        "head: Sync",
        "head: Forward to middle",
    ]
    assert len([step for step in chain.trace if not step.endswith("Apply")]) == 12
    assert len(chain.applied["tail"]) == 101


def test_nothing_counts_as_synced_before_the_sync_is_complete(chain):
    head = chain["head"]
    opening = head.last
    head.submit(b"hello")
    turn = head.turn(NOW)
    write = next(turn)
    assert isinstance(write, Write)
    assert (head.last.seq, head.written, head.synced, head.committed) == (2, 1, 1, 1)
    chain.logs["head"].append(write.entries)
    assert next(turn) == Send("middle", Forward(1, opening, write.entries, 1, synced=1))
    assert next(turn) == Sync()
    assert (head.written, head.synced) == (2, 1)
    assert next(turn) == Send("middle", Forward(1, head.last, (), 1, synced=2))
    assert (head.synced, head.committed) == (2, 1)


def test_nothing_is_applied_before_the_tail_has_it(chain):
    chain["head"].submit(b"hello")
    for _ in range(3):
        chain.turn("head", "middle")
        chain.deliver("head", "middle")
    assert [chain[p].committed for p in THREE] == [1, 1, 1]
    assert not [line for line in chain.trace if line.startswith("tail") or "Apply" in line]


# --- the word that every disk before has synced ------------------------------------------


def synced(entry_after, *entries, word):
    return Forward(1, entry_after, entries, 1, synced=word)


def entry_of(forwards):
    [entry] = [entry for forward in forwards for entry in forward.entries]
    return entry


def test_the_tail_commits_no_more_than_the_least_of_its_disk_and_its_predecessors_word(chain):
    tail, before = chain["tail"], chain["tail"].last
    chain["head"].submit(b"hello")
    entry = entry_of(chain.turn("head"))
    for word, committed in ((1, 1), (9, 2)):
        tail.receive("middle", synced(before, entry, word=word))
        chain.turn("tail")
        assert (tail.synced, tail.committed) == (2, committed)


def test_a_word_ahead_of_the_entries_does_not_commit_them_before_this_disk_has_them(chain):
    tail = chain["tail"]
    tail.receive("middle", synced(tail.last, word=9))
    chain.turn("tail")
    assert (tail.committed, chain.trace) == (1, [])


def test_a_member_gives_the_least_of_its_disk_and_its_predecessors_word(chain):
    middle, before = chain["middle"], chain["middle"].last
    chain["head"].submit(b"one")
    entry = entry_of(chain.turn("head"))
    middle.receive("head", synced(before, entry, word=1))
    assert [forward.synced for forward in chain.turn("middle")] == [1]
    middle.receive("head", synced(entry.id, word=2))
    assert chain.turn("middle") == [Forward(1, entry.id, (), 1, synced=2)]
    assert chain.turn("middle") == []


def test_a_word_rides_on_entries_that_go_the_same_way(chain):
    head, middle = chain["head"], chain["middle"]
    head.submit(b"one")
    chain.turn("head")
    chain.deliver("head", "middle")
    chain.turn("middle")
    head.submit(b"two")
    entries, word = chain.turn("head")
    middle.receive("head", entries)
    [forward] = chain.turn("middle")
    assert (entries.synced, word.synced) == (2, 3)
    assert (len(forward.entries), forward.synced) == (1, 2)


@pytest.mark.parametrize("anew", ["connection", "epoch"])
def test_a_word_begins_anew_with_each_connection_and_epoch(chain, anew):
    chain.settle()
    middle = chain["middle"]
    assert middle.word == 1
    if anew == "connection":
        middle.linked("head")
    else:
        chain.adopt(*THREE)
    assert middle.word == 0
    chain["head"].submit(b"hello")
    chain["head"].linked("middle")
    chain["tail"].linked("middle")
    middle.linked("tail")
    chain.settle()
    assert chain["tail"].committed == chain["head"].last.seq


def test_a_word_waits_while_the_connection_is_full(chain):
    middle, before = chain["middle"], chain["middle"].last
    middle.full("tail", full=True)
    chain["head"].submit(b"hello")
    for forward in chain.turn("head"):
        middle.receive("head", forward)
    assert chain.turn("middle") == []
    middle.full("tail", full=False)
    entry = chain["head"].last
    [forward] = chain.turn("middle")
    assert (forward.previous, forward.entries[0].id, forward.synced) == (before, entry, 2)


def test_a_node_of_protocol_6_gets_only_what_is_synced(chain):
    head = chain["head"]
    head.linked("middle", older=True)
    head.receive("middle", Holding(1, head.last))
    chain.turn("head")
    chain.trace.clear()
    head.submit(b"hello")
    [forward] = chain.turn("head")
    assert chain.trace == ["head: Write", "head: Sync", "head: Forward to middle"]
    assert forward.synced == 2


def test_a_node_of_protocol_6_gets_only_what_the_disks_before_have_synced_too(chain):
    middle, before = chain["middle"], chain["middle"].last
    middle.linked("tail", older=True)
    middle.receive("tail", Holding(1, before))
    chain.turn("middle")
    chain["head"].submit(b"hello")
    entry = entry_of(chain.turn("head"))
    middle.receive("head", synced(before, entry, word=1))
    assert chain.turn("middle") == []
    assert middle.synced == 2
    middle.receive("head", synced(entry.id, word=2))
    assert chain.turn("middle") == [Forward(1, before, (entry,), 1, synced=2)]


def test_what_a_node_of_protocol_6_forwards_is_synced_there_and_before(chain):
    tail = chain["tail"]
    chain["head"].submit(b"hello")
    entry = entry_of(chain.turn("head"))
    tail.receive("middle", Forward(1, tail.last, (entry,), 1))
    tail.linked("middle", older=True)  # which has nothing to send again
    chain.turn("tail")
    assert tail.committed == 2


def test_of_an_entry_that_is_acknowledged_in_part_nothing_is_applied(chain):
    head = chain["head"]
    head.submit(b"five", span=5)
    chain.turn("head")
    head.receive("middle", Ack(1, 3))
    chain.turn("head")
    assert head.committed == 1
    assert chain.commands("head") == [b"opening 1"]


# --- chains of other lengths -------------------------------------------------------------


def test_a_chain_of_one_sends_nothing():
    alone = Chain("head")
    alone["head"].submit(b"hello")
    assert alone.turn("head") == []
    assert alone.trace == ["head: Write", "head: Sync", "head: Apply"]
    assert alone.commands("head") == [b"opening 1", b"hello"]


def test_a_chain_of_two_has_a_head_and_a_tail():
    two = Chain("head", "tail")
    two["head"].submit(b"one")
    two["tail"].submit(b"two")
    two.settle()
    assert two.commands("head") == two.commands("tail") == [b"opening 1", b"one", b"two"]
    assert [two[p].own_requests.pending for p in ("head", "tail")] == [0, 0]


def test_a_replica_that_takes_no_part_has_no_effects(chain):
    chain["head"].submit(b"hello")
    chain["head"].active = False
    assert list(chain["head"].turn(NOW)) == []


# --- what gets lost ----------------------------------------------------------------------


def test_what_was_lost_with_a_connection_is_forwarded_again_on_the_next(chain):
    for command in (b"one", b"two"):
        chain["head"].submit(command)
        chain.turn("head")
    chain.reconnect("head", "middle")
    chain.settle()
    assert chain.commands("tail") == [b"opening 1", b"one", b"two"]
    assert [chain.logs[p].last.seq for p in THREE] == [3, 3, 3]


def test_a_lost_acknowledgement_is_given_again(chain):
    chain["head"].submit(b"one")
    chain.turn("head")
    chain.deliver("head", "middle")
    chain.turn("middle")
    chain.deliver("middle", "tail")
    chain.turn("tail")
    chain.reconnect("middle", "tail")
    chain.settle()
    assert [chain[p].applied for p in THREE] == [2, 2, 2]


def test_requests_lost_on_the_way_to_the_head_are_submitted_again_in_order(chain):
    for command in (b"one", b"two"):
        chain["tail"].submit(command)
        chain.turn("tail")
    chain.reconnect("head", "tail")
    chain["tail"].submit(b"three")
    chain.settle()
    assert chain.commands("head") == [b"opening 1", b"one", b"two", b"three"]
    assert chain["tail"].own_requests.pending == 0


def test_requests_that_were_not_lost_but_submitted_again_do_no_harm(chain):
    chain["tail"].submit(b"one")
    chain.turn("tail")
    chain.deliver("tail", "head")
    chain.reconnect("head", "tail")
    chain.settle()
    assert [entry.command for entry in chain.applied["head"]][1:] == [b"one", b"one"]
    assert chain.commands("head") == [b"opening 1", b"one"]
    assert chain["tail"].own_requests.pending == 0


def test_nothing_is_sent_to_whom_there_is_no_connection(chain):
    chain["head"].submit(b"one")
    chain["head"].unlinked("middle")
    chain["tail"].submit(b"two")
    chain["tail"].unlinked("head")
    chain["middle"].unlinked("head")
    assert chain.turn(*THREE) == []


def test_entries_wait_while_a_connection_is_paused(chain):
    chain["head"].submit(b"one")
    chain["head"].full("middle", full=True)
    assert chain.turn("head") == []
    chain["head"].full("middle", full=False)
    assert [type(message) for message in chain.turn("head")] == [Forward]


def test_requests_wait_while_the_connection_with_the_head_is_paused(chain):
    big = b"x" * 40_000
    chain["tail"].submit(big)
    chain["tail"].submit(big)
    sent = []
    for effect in chain["tail"].turn(0):
        sent.append(effect)
        chain["tail"].full("head", full=True)
    assert [[r.number for r in send.message.requests] for send in sent] == [[1]]
    chain["tail"].submit(b"last")
    assert list(chain["tail"].turn(0)) == []
    chain["tail"].full("head", full=False)
    numbers = [[r.number for r in send.message.requests] for send in chain["tail"].turn(0)]
    assert numbers == [[2, 3]]


# --- what is taken and what is not -------------------------------------------------------


def test_entries_held_already_are_skipped(chain):
    chain["head"].submit(b"one")
    first, _ = chain.turn("head")
    chain["head"].submit(b"two")
    second, _ = chain.turn("head")
    chain["middle"].receive("head", first)
    chain.turn("middle")
    both = Forward(1, first.previous, first.entries + second.entries, 1, synced=1)
    chain["middle"].receive("head", both)
    chain["middle"].receive("head", both)
    assert next(chain["middle"].turn(NOW)) == Write(second.entries, committed=1)


ANOTHER = bytes(16)


@pytest.mark.parametrize(
    "previous", [EntryId(1, 2), EntryId(1, 99), EntryId(7, 1), EntryId(1, 1, ANOTHER)]
)
def test_entries_that_do_not_follow_are_answered_with_what_is_held(chain, previous):
    held = chain["middle"].last
    after = Entry(previous.seq + 1, 1, "head.1", 9, NOW, b"x")
    chain["middle"].receive("head", Forward(1, previous, (after,), 50))
    assert chain.turn("middle") == [Holding(1, held)]
    assert chain["middle"].last == held
    assert chain["middle"].committed == 1


@pytest.mark.parametrize(
    ("position", "successor", "last"),
    [
        ("middle", "tail", EntryId(2, 1)),
        ("head", "middle", EntryId(2, 1)),
        ("head", "middle", EntryId(1, 2)),  # nobody can have had it from anybody else
        ("head", "middle", EntryId(1, 1, ANOTHER)),
        ("middle", "tail", EntryId(1, 1, ANOTHER)),
    ],
)
def test_a_successor_that_holds_what_this_log_does_not_is_a_divergence(
    chain, position, successor, last
):
    with pytest.raises(DivergenceError, match="which this log does not hold"):
        chain[position].receive(successor, Holding(1, last))


def test_a_successor_that_is_ahead_diverges_if_what_comes_is_not_what_it_holds(chain):
    chain["middle"].receive("tail", Holding(1, EntryId(7, 2)))
    chain["head"].submit(b"one")
    chain.turn("head")
    chain.deliver("head", "middle")
    [refuse] = [e for e in chain["middle"].turn(NOW) if isinstance(e, Distrust)]
    assert refuse.sender == "tail"
    assert "which this log does not hold" in refuse.reason


@pytest.mark.parametrize("epoch", [1, 7])
def test_another_entry_in_the_place_of_one_held_is_a_divergence(chain, epoch):
    other = Entry(1, epoch, "", 0, NOW, b"x")
    with pytest.raises(DivergenceError, match="is not what this log holds"):
        chain["middle"].receive("head", Forward(1, EntryId(), (other,), 1))


@pytest.mark.parametrize(
    ("position", "sender", "message"),
    [
        ("tail", "head", Forward(1, EntryId(1, 1), (Entry(2, 1, "x", 1, NOW, b""),), 2)),
        ("head", "middle", Forward(1, EntryId(1, 1), (Entry(2, 1, "x", 1, NOW, b""),), 2)),
        ("head", "tail", Ack(1, 99)),
        ("tail", "middle", Ack(1, 99)),
        ("middle", "head", Holding(1, EntryId(9, 9))),
        ("tail", "middle", Submit(1, "middle.1", ())),
    ],
)
def test_what_comes_from_the_wrong_side_is_ignored(chain, position, sender, message):
    chain[position].receive(sender, message)
    assert list(chain[position].turn(NOW)) == []
    assert chain[position].committed == 1


def test_no_acknowledgement_commits_more_than_this_disk_has(chain):
    chain["middle"].receive("tail", Ack(1, 99))
    assert chain["middle"].committed == 1


# --- limits and time ---------------------------------------------------------------------


def test_the_time_of_entries_never_goes_back(chain):
    for now in (5_000, 3_000, 6_000):
        chain.now = now
        chain["head"].submit(b"x")
        chain.settle()
    chain.now = 10
    chain.adopt("middle", "tail")
    chain.settle()
    times = [entry.time for entry in chain.applied["tail"]]
    assert times == [NOW, 5_000, 5_000, 6_000, 6_000]
    again = Replica("tail", "tail.2", chain.logs["tail"], opening=opening, applied=0)
    assert again.time == 6_000


def test_much_goes_in_frames_of_bounded_size(chain):
    for number in range(20):
        chain["tail"].submit(b"%d" % number * 5_000)
    submits = chain.turn("tail")
    chain.deliver("tail", "head")
    forwards = chain.turn("head")
    requests = [request for submit in submits for request in submit.requests]
    assert [request.number for request in requests] == list(range(1, 21))
    assert [entry.seq for f in forwards for entry in f.entries] == list(range(2, 22))
    assert [f.previous.seq for f in forwards] == [1, *(f.entries[-1].seq for f in forwards[:-1])]
    assert all(sum(map(size, forward.entries)) <= FRAME_ENTRIES for forward in forwards)
    chain.settle()
    assert len(chain.commands("middle")) == 21


# --- entries that take several sequence numbers ----------------------------------------------


def test_an_entry_takes_as_many_sequence_numbers_as_its_request_asked_for(chain):
    chain["tail"].submit(b"three", 3)
    chain["tail"].submit(b"one")
    chain.settle()
    for position in THREE:
        applied = chain.applied[position][-2:]
        assert [(e.first, e.seq, e.command) for e in applied] == [(2, 4, b"three"), (5, 5, b"one")]
        assert chain[position].committed == 5


def test_what_is_pending_is_counted_in_sequence_numbers(chain):
    chain["tail"].submit(b"three", 3)
    chain["tail"].submit(b"one")
    assert chain["tail"].own_requests.pending == 4
    chain.settle()
    assert chain["tail"].own_requests.pending == 0


def test_such_an_entry_is_skipped_as_a_whole_when_it_is_held_already(chain):
    chain["head"].submit(b"three", 3)
    chain.turn("head")
    forward, _ = chain.wires["head", "middle"]
    chain.deliver("head", "middle")
    chain["middle"].receive("head", forward)
    chain["head"].submit(b"two", 2)
    chain.settle()
    assert [(e.first, e.seq) for e in chain.applied["tail"]] == [(1, 1), (2, 4), (5, 6)]


def test_a_frame_that_begins_inside_of_such_an_entry_is_a_divergence(chain):
    chain["head"].submit(b"three", 3)
    chain.settle()
    overlapping = Entry(6, 1, "head.1", 2, NOW, b"x", 3)
    with pytest.raises(DivergenceError, match="begins within what this log holds"):
        chain["middle"].receive("head", Forward(1, chain["middle"].last, (overlapping,), 4))


def test_the_longest_beginning_that_fits_has_at_least_one():
    entries = [Entry(seq, 1, "a.1", seq, NOW, b"x" * 77) for seq in (1, 2, 3)]  # 200 octets each
    assert [len(fitting(entries, octets)) for octets in (0, 200, 399, 400, 600)] == [1, 1, 1, 2, 3]
    assert fitting([], 100) == []


# --- a node that is slow to apply ----------------------------------------------------------


def test_a_tail_commits_only_so_far_ahead_of_what_it_has_applied():
    chain = Chain("only")
    chain.settle()
    only, span = chain["only"], USUAL_PROTOCOL.unapplied // 2 - 1
    for _ in range(4):
        only.submit(b"many", span)
    for effect in only.turn(NOW):
        chain.carry_out("only", effect)
    before = only.applied
    assert (only.synced, only.committed) == (before + 4 * span, before + 2 * span)
    chain.settle()
    assert only.applied == only.committed == only.synced
    assert only.own_requests.pending == 0


# --- memory --------------------------------------------------------------------------------


def test_what_was_applied_and_forwarded_is_in_memory_no_more(chain):
    for number in range(50):
        chain["head"].submit(f"{number}".encode())
        chain.settle()
    assert [chain[position]._recent for position in THREE] == [[], [], []]


def test_what_waits_to_be_applied_at_a_slow_node_is_bounded_in_memory():
    chain = Chain(*THREE, limits=ProtocolLimits(recent_entries=20, apply_octets=1))
    chain.settle()
    for number in range(100):
        chain["head"].submit(f"{number}".encode())
        for position in THREE:
            for effect in chain[position].turn(NOW):
                chain.carry_out(position, effect)
            list(chain[position].apply(lambda: False))  # one entry
        for wire in list(chain.wires):
            chain.deliver(*wire)
        chain["head"].submit(b"and one more")
    waiting = [chain[position].committed - chain[position].applied for position in THREE]
    assert min(waiting) > 50
    assert max(len(chain[position]._recent) for position in THREE) <= 30


def test_an_acknowledgement_that_comes_late_takes_nothing_back(chain):
    chain["head"].submit(b"one")
    chain.settle()
    committed = chain["head"].committed
    assert committed == 2
    chain["head"].receive("middle", Ack(1, 1))
    assert chain["head"].committed == committed


def test_what_was_taken_and_not_persisted_is_dropped_with_the_configuration(chain):
    chain.settle()
    chain["head"].submit(b"one")
    chain.turn("head")
    chain.deliver("head", "middle")
    assert chain["middle"].last.seq == 2
    chain.adopt("middle", "tail")
    assert chain["middle"].last == chain.logs["middle"].last
    assert chain["middle"].last.seq == 1


def test_a_log_that_was_cut_is_not_read_from_memory():
    chain = Chain("head", "tail")
    chain.settle()
    chain["tail"].active = False
    copied = [Entry(seq, 1, "x.1", seq, NOW, b"x") for seq in (2, 3)]
    chain.copy("tail", copied)
    chain.logs["tail"].cut(1)
    chain["tail"].cut()
    assert chain["tail"]._id_of(3) is None
    others = [Entry(seq, 2, "y.1", seq, NOW, b"y") for seq in (2, 3)]
    chain.copy("tail", others)
    assert chain["tail"]._entries(1, 3, 1 << 20) == others


def test_a_log_that_was_cut_down_to_its_beginning_begins_again():
    """As one that was installed with a checkpoint, whose own entries nobody had committed."""
    log = log_of(1, 1, 1, 1)
    log.write_committed(3)
    log.begin_checkpoint(3)
    log.finish_checkpoint(b"head")
    log.remove(3)
    log.cut(3)
    replica = Replica("tail", "tail.2", log, opening=lambda _: b"", applied=3, time=1_000)
    assert (replica.last, replica.time) == (EntryId(1, 3), 1_000)
