"""The chain proper: what is persisted, sent and applied, in which order, and that nothing is lost.

Replicas are joined by ``Chain``, which carries out their effects and holds their messages until a
test delivers them.
"""

from collections import defaultdict, deque
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.chain.configuration import Configuration, Member
from chainchat.chain.messages import Ack, Entry, EntryId, Forward, Holding, Submit
from chainchat.chain.replica import (
    FRAME_ENTRIES,
    Apply,
    DivergenceError,
    Persist,
    Replica,
    Send,
    fitting,
    size,
)
from chainchat.storage.memory import MemoryStorage

deterministic = settings(derandomize=True, max_examples=300, deadline=None)

NOW = 1_000
THREE = ("head", "middle", "tail")


def opening(configuration):
    return f"opening {configuration.epoch}".encode()


class Chain:
    """Replicas, their disks and the wires between them, FIFO for each pair and direction."""

    def __init__(self, *positions):
        self.members = positions
        self.epoch = 0
        self.now = NOW
        self.logs = {p: MemoryStorage() for p in positions}
        self.replicas = {
            p: Replica(p, f"{p}.1", self.logs[p], opening=opening, applied=0) for p in positions
        }
        self.wires = defaultdict(deque)
        self.applied = defaultdict(list)
        self.trace = []
        self.adopt(*positions)

    def __getitem__(self, position):
        return self.replicas[position]

    def adopt(self, *positions):
        """The next epoch, of these."""
        self.members = positions
        self.epoch += 1
        members = tuple(Member(position, position, 1) for position in positions)
        for position, replica in self.replicas.items():
            replica.active = False
            if position in positions:
                replica.adopt(Configuration(self.epoch, members))
                replica.active = True

    def turn(self, *positions):
        """A turn of each; gives the messages sent."""
        sent = []
        for position in positions:
            for effect in self.replicas[position].turn(self.now):
                sent += self.carry_out(position, effect)
        return sent

    def carry_out(self, position, effect):
        match effect:
            case Persist():
                self.trace.append(f"{position}: Persist")
                self.logs[position].append(effect.entries)
            case Apply():
                self.trace.append(f"{position}: Apply")
                self.applied[position] += effect.entries
            case Send():
                self.trace.append(f"{position}: {type(effect.message).__name__} to {effect.to}")
                self.wires[position, effect.to].append(effect.message)
                return [effect.message]
        return []

    def deliver(self, sender, to):
        """What stands on one wire; what is of another epoch gets lost on the way."""
        replica, wire = self.replicas[to], self.wires[sender, to]
        while wire and replica.active:
            message = wire.popleft()
            if message.epoch == self.epoch:
                replica.receive(sender, message)

    def settle(self):
        """Turns and deliveries until nothing more happens."""
        busy = True
        while busy:
            before = len(self.trace)
            self.turn(*self.members)
            busy = len(self.trace) != before
            for sender, to in list(self.wires):
                busy = busy or bool(self.wires[sender, to] and self.replicas[to].active)
                self.deliver(sender, to)

    def reconnect(self, one, other):
        """What stands on the wires between the two is lost."""
        self.wires[one, other].clear()
        self.wires[other, one].clear()
        for here, there in ((one, other), (other, one)):
            self.replicas[here].unlinked(there)
            self.replicas[here].linked(there)

    def commands(self, position):
        """What was applied at one, in order; an origin's repetitions left out, as the chat does."""
        numbers, found = defaultdict(int), []
        for entry in self.applied[position]:
            if not entry.origin or entry.number == numbers[entry.origin] + 1:
                numbers[entry.origin] += 1
                found.append(entry.command)
        return found


@pytest.fixture
def chain():
    chain = Chain(*THREE)
    chain.settle()
    chain.trace.clear()
    return chain


# --- the way of an entry -----------------------------------------------------------------


def test_an_entry_is_persisted_then_forwarded_and_applied_once_every_disk_has_it(chain):
    chain["tail"].submit(b"hello")
    chain.settle()
    assert chain.trace == [
        "tail: Submit to head",
        "head: Persist",
        "head: Forward to middle",
        "middle: Persist",
        "middle: Forward to tail",
        "tail: Persist",
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
        "head: Persist",
        "head: Forward to middle",
        "middle: Persist",
        "middle: Forward to tail",
    ]
    assert len(chain.trace) == 10
    assert len(chain.applied["tail"]) == 101


def test_nothing_counts_as_durable_while_persisting_is_not_complete(chain):
    head = chain["head"]
    head.submit(b"hello")
    turn = head.turn(NOW)
    persist = next(turn)
    assert isinstance(persist, Persist)
    assert (head.last.seq, head.durable, head.committed) == (2, 1, 1)
    chain.logs["head"].append(persist.entries)
    assert next(turn) == Send("middle", Forward(1, EntryId(1, 1), persist.entries, 1))
    assert head.durable == 2


def test_nothing_is_applied_before_the_tail_has_it(chain):
    chain["head"].submit(b"hello")
    for _ in range(3):
        chain.turn("head", "middle")
        chain.deliver("head", "middle")
    assert [chain[p].committed for p in THREE] == [1, 1, 1]
    assert chain.trace == [
        "head: Persist",
        "head: Forward to middle",
        "middle: Persist",
        "middle: Forward to tail",
    ]


def test_a_chain_of_one_sends_nothing():
    alone = Chain("head")
    alone["head"].submit(b"hello")
    assert alone.turn("head") == []
    assert alone.trace == ["head: Persist", "head: Apply"]
    assert alone.commands("head") == [b"opening 1", b"hello"]


def test_a_chain_of_two_has_a_head_and_a_tail():
    two = Chain("head", "tail")
    two["head"].submit(b"one")
    two["tail"].submit(b"two")
    two.settle()
    assert two.commands("head") == two.commands("tail") == [b"opening 1", b"one", b"two"]
    assert [two[p].pending for p in ("head", "tail")] == [0, 0]


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
    assert chain["tail"].pending == 0


def test_requests_that_were_not_lost_but_submitted_again_do_no_harm(chain):
    chain["tail"].submit(b"one")
    chain.turn("tail")
    chain.deliver("tail", "head")
    chain.reconnect("head", "tail")
    chain.settle()
    assert [entry.command for entry in chain.applied["head"]][1:] == [b"one", b"one"]
    assert chain.commands("head") == [b"opening 1", b"one"]
    assert chain["tail"].pending == 0


def test_nothing_is_sent_to_whom_there_is_no_connection(chain):
    chain["head"].submit(b"one")
    chain["head"].unlinked("middle")
    chain["tail"].submit(b"two")
    chain["tail"].unlinked("head")
    chain["middle"].unlinked("head")
    assert chain.turn(*THREE) == []


def test_entries_wait_while_a_connection_is_paused(chain):
    chain["head"].submit(b"one")
    chain["head"].paused("middle", paused=True)
    assert chain.turn("head") == []
    chain["head"].paused("middle", paused=False)
    assert [type(message) for message in chain.turn("head")] == [Forward]


# --- what is taken and what is not -------------------------------------------------------


def test_entries_held_already_are_skipped(chain):
    chain["head"].submit(b"one")
    [first] = chain.turn("head")
    chain["head"].submit(b"two")
    [second] = chain.turn("head")
    chain["middle"].receive("head", first)
    chain.turn("middle")
    both = Forward(1, first.previous, first.entries + second.entries, 1)
    chain["middle"].receive("head", both)
    chain["middle"].receive("head", both)
    assert next(chain["middle"].turn(NOW)) == Persist(second.entries)


@pytest.mark.parametrize("previous", [EntryId(1, 2), EntryId(1, 99), EntryId(7, 1)])
def test_entries_that_do_not_follow_are_answered_with_what_is_held(chain, previous):
    after = Entry(previous.seq + 1, 1, "head.1", 9, NOW, b"x")
    chain["middle"].receive("head", Forward(1, previous, (after,), 50))
    assert chain.turn("middle") == [Holding(1, EntryId(1, 1))]
    assert chain["middle"].last == EntryId(1, 1)
    assert chain["middle"].committed == 1


@pytest.mark.parametrize("last", [EntryId(1, 2), EntryId(2, 1)])
def test_a_successor_that_holds_what_this_log_does_not_is_a_divergence(chain, last):
    with pytest.raises(DivergenceError, match="which this log does not hold"):
        chain["middle"].receive("tail", Holding(1, last))


def test_another_entry_in_the_place_of_one_held_is_a_divergence(chain):
    other = Entry(1, 7, "", 0, NOW, b"x")
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
        assert chain[position].pending == 0


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
    assert (again.last, again.committed, again.applied) == (EntryId(1, 4), 2, 2)
    assert list(again.turn(NOW)) == []
    again.adopt(Configuration(2, (Member("tail", "tail", 2),)))
    again.active = True
    persist = next(turn := again.turn(NOW))
    chain.logs["tail"].append(persist.entries)
    [apply] = turn
    assert [entry.command for entry in apply.entries] == [b"two", b"three", b"opening 2"]


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


def test_the_longest_beginning_that_fits_has_at_least_one():
    entries = [Entry(seq, 1, "a.1", seq, NOW, b"x" * 104) for seq in (1, 2, 3)]  # 200 octets each
    assert [len(fitting(entries, octets)) for octets in (0, 200, 399, 400, 600)] == [1, 1, 1, 2, 3]
    assert fitting([], 100) == []


# --- whatever happens --------------------------------------------------------------------

pairs = st.sampled_from([(a, b) for a in THREE for b in THREE if a != b])
steps = st.one_of(
    st.tuples(
        st.sampled_from(["submit", "turn", "turn", "lock", "unlock"]), st.sampled_from(THREE)
    ),
    st.tuples(st.sampled_from(["deliver", "deliver", "deliver", "reconnect"]), pairs),
    st.tuples(st.just("splice"), st.sampled_from(THREE)),
)


def check(chain):
    """The invariants *prefix* and *committed*."""
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
        assert chain[position].pending == 0
        own = [c for c in chain.commands(position) if c.startswith(position.encode())]
        assert own == [b"%s %d" % (position.encode(), n + 1) for n in range(numbers[position])]
        assert chain.commands(position).count(b"opening %d" % chain.epoch) == 1
