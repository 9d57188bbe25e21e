"""What no node sends: the sender is named and cut off, and the others go on as before.

Each run makes some hundred seeded frames of every kind, at and beyond the bounds, and gives them to
the nodes of a chain as if from each other.
"""

import contextlib
import random

import pytest
from logs_made_up import chained
from msgspec.structs import replace
from node_house import founded

from chainchat.chain.checkpoints import START, Row
from chainchat.chain.configuration import MOST, Configuration, Member
from chainchat.chain.early import MOST_OCTETS, OVERHEAD, EarlyMessages
from chainchat.chain.engine import EPOCHS_AHEAD
from chainchat.chain.entries import DIGEST_OCTETS, MAX_SPAN, Entry, EntryId, Submission
from chainchat.chain.messages import (
    KINDS,
    Ack,
    BadMessageError,
    ClockReading,
    Copied,
    Decided,
    Forward,
    Holding,
    Ping,
    Pong,
    Read,
    Rows,
    Submit,
    Vote,
    decode,
    encode,
    speaker,
)
from chainchat.chat import commands, queries

FRAMES = 300
"""Of each kind in each run."""

NESTED = b"\x91" * 50_000


class Liar:
    """Makes up messages."""

    def __init__(self, seed, house):
        self.random = random.Random(seed)
        self.house = house

    def number(self):
        epoch = self.house["head"].configuration.epoch
        last = self.house.disks["head"].last.seq
        near = (0, 1, epoch, epoch + 1, last - 1, last, last + 1, last + 5)
        far = (EPOCHS_AHEAD + epoch + 1, 2**31, MOST, MOST + 1, 2**63, 2**64 - 1, -1)
        return self.random.choice(self.random.choice((near, near, near, far)))

    def octets(self):
        some = (b"", b"x", NESTED, self.random.randbytes(20), commands.encode(commands.Nothing()))
        return self.random.choice(some)

    def text(self):
        return self.random.choice(("", "head", "middle", "tail", "spare", "x" * 40, "x" * 5_000))

    def member(self):
        nodes = list(self.house.nodes.values())
        if nodes and self.random.random() < 0.7:
            return self.random.choice(nodes).me
        port = self.random.choice((0, 7101, 70_000, -1))
        return Member(self.text(), self.text(), self.number(), self.text(), port, port)

    def configuration(self):
        mine = self.house["head"].configuration
        if self.random.random() < 0.3:
            return mine
        members = tuple(self.member() for _ in range(self.random.choice((0, 1, 2, 3, 4))))
        return Configuration(self.number(), members, self.text(), self.identity())

    def identity(self):
        mine = self.house["head"].configuration.identity
        return mine if self.random.random() < 0.7 else self.number()

    def clocks(self):
        seconds = (0.0, 1.0, 1e9, -1.0, float("inf"), float("nan"))
        return ClockReading(self.random.choice(seconds), self.number())

    def vote(self):
        ballot = (self.number(), self.number())
        return Vote(self.configuration(), self.member(), ballot)

    def entry_id(self):
        if self.random.random() < 0.3:
            return self.held()
        return EntryId(self.number(), self.number(), self.octets())

    def held(self):
        disk = self.house.disks["head"]
        return disk.id_of(self.random.randint(0, disk.last.seq))

    def committed(self):
        """What is, or may soon be, committed.

        Whoever says something else has another history, and stops nodes: see
        ``test_two_histories``.
        """
        return self.random.choice((self.held(), EntryId(1, 1_000_000, b"x")))

    def entry(self):
        span = self.random.choice((0, 1, 1, 1, 2, MAX_SPAN, MAX_SPAN + 1, MOST))
        numbers = [self.number() for _ in range(2)]
        return Entry(*numbers, self.text(), self.number(), self.number(), self.octets(), span)

    def entries(self):
        last = self.house.disks["head"].last
        if self.random.random() < 0.5:  # some that would follow
            epoch = self.house["head"].configuration.epoch
            span = self.random.choice((1, 2))
            return (Entry(last.seq + span, epoch, self.text(), 1, 1, self.octets(), span),)
        return tuple(self.entry() for _ in range(self.random.choice((0, 1, 3))))

    def place(self):
        return self.random.choice((START, (0, self.number(), 0), (1, 5, self.number())))

    def requests(self):
        return tuple(
            Submission(self.number(), self.octets(), self.random.choice((0, 1, 2, MOST)))
            for _ in range(self.random.choice((0, 1, 3)))
        )

    def message(self, kind):
        """A message of this kind, each field of its type, or nearly."""
        message = self._made_up(kind)
        if kind in (Forward, Copied) and self.random.random() < 0.5:
            with contextlib.suppress(OverflowError):  # digests as they have to be
                message = replace(message, entries=chained(message.previous, message.entries))
        if kind is Rows and self.random.random() < 0.5:  # in the order that they have to be in
            rows = {row.place: row for row in message.rows}
            message = replace(message, after=START, rows=tuple(rows[p] for p in sorted(rows)))
        return message

    def _made_up(self, kind):
        made = {
            "identity": self.identity,
            "clocks": self.clocks,
            "answers": lambda: (self.text(), self.number()),
            "older": lambda: tuple(self.entry_id() for _ in range(self.random.choice((0, 1, 9)))),
            "epoch": self.number,
            "seq": self.number,
            "committed": self.committed if kind is Pong else self.number,
            "synced": lambda: self.random.choice((None, self.number())),
            "number": self.number,
            "nonce": self.number,
            "voted": self.number,
            "origin": self.text,
            "progress": self.text,
            "reason": self.text,
            "requests": self.requests,
            "entries": self.entries,
            "previous": self.entry_id,
            "last": self.entry_id,
            "newest": self.entry_id,
            "end": self.entry_id,
            "query": self.octets,
            "answer": self.octets,
            "digest": self.octets,
            "member": self.member,
            "learner": self.member,
            "voter": self.member,
            "configuration": self.configuration,
            "base": self.configuration,
            "vote": self.vote,
            "checkpoint": self.entry_id,
            "beginning": self.entry_id,
            "header": self.octets,
            "after": self.place,
            "rows": lambda: tuple(Row(*self.place(), self.octets()) for _ in range(3)),
            "sealed": lambda: self.random.choice((True, False, 0.5, -1.0, float("inf"))),
        }
        values = {}
        for field in kind.__struct_fields__:
            make = made.get(field, lambda: self.random.random() < 0.5)
            values[field] = make()
        return kind(**values)


def deliver(house, position, sender, message):
    """As ``Link`` does: a message that does not fit, or speaks for another, ends the connection."""
    try:
        kind, body = encode(message)
    except OverflowError:
        return False
    try:
        message = decode(kind, body)
    except BadMessageError:
        return False
    if sender not in house.nodes or position not in house.nodes:
        return False
    if speaker(message) not in (None, house[sender].me):
        return False
    before = len(house.distrusted)
    house[position].receive(sender, message)
    if len(house.distrusted) > before and sender in house.nodes and position in house.nodes:
        house.bounce(position, sender)
    return True


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_sent_no_node_stops(kind, seed):
    house = founded("head", "middle", "tail")
    house.say("tail")
    house.run()
    liar, taken = Liar(seed, house), 0
    for _ in range(FRAMES):
        position, sender = liar.random.sample(("head", "middle", "tail"), 2)
        taken += deliver(house, position, sender, liar.message(kind))
        if liar.random.random() < 0.2:
            house.run(3)
    assert all(node.running for node in house.nodes.values())
    assert taken > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_octets_that_are_no_message_are_named_so(kind, seed):
    """Some are messages: those left as they were, or nearly."""
    source = random.Random(seed)
    house = founded("head")
    for _ in range(100):
        _, body = encode(Liar(source.random(), house).message(KINDS[kind]))
        broken = bytearray(body)
        for _ in range(source.randint(1, 3)):
            broken[source.randrange(len(broken))] = source.randrange(256)
        cut = bytes(broken[: source.randint(0, len(broken))])
        for octets in (cut, bytes(broken), source.randbytes(30), NESTED):
            with contextlib.suppress(BadMessageError):
                assert isinstance(decode(kind, octets), KINDS[kind])


# --- one by one ----------------------------------------------------------------------------

A, B = Member("a", "id-a", 1), Member("b", "id-b", 1)


@pytest.fixture
def house():
    house = founded("head", "middle", "tail")
    house.say("tail")
    house.run()
    return house


def bad(message):
    with pytest.raises(BadMessageError) as caught:
        decode(*encode(message))
    return str(caught.value)


def entry(seq, epoch=1, span=1):
    return Entry(seq, epoch, "a.1", 1, 1, b"", span)


@pytest.mark.parametrize(
    ("previous", "entries"),
    [
        (EntryId(1, 4), [entry(6)]),
        (EntryId(1, 4), [entry(4)]),
        (EntryId(1, 4), [entry(5), entry(7)]),
        (EntryId(1, 4), [entry(6), entry(5)]),
        (EntryId(2, 4), [entry(5, epoch=1)]),
        (EntryId(1, 4), [entry(5, epoch=3), entry(6, epoch=2)]),
        (EntryId(1, 4), [entry(5, epoch=8)]),
        (EntryId(1, 4), [entry(5, span=2)]),
    ],
)
@pytest.mark.parametrize("kind", [Forward, Copied])
def test_entries_that_do_not_follow_one_another_are_no_message(kind, previous, entries):
    rest = (9,) if kind is Forward else (EntryId(1, 9), False)
    assert "does not follow" in bad(kind(7, previous, chained(previous, entries), *rest))


@pytest.mark.parametrize("number", [-1, MOST + 1, 2**63, 2**64 - 1])
def test_numbers_beyond_all_that_nodes_count_are_no_message(number):
    for message in (Ack(number, 1), Ack(1, number), Holding(1, EntryId(number, 1))):
        assert "does not fit" in bad(message)


@pytest.mark.parametrize("number", [-1, MOST + 1])
def test_identities_and_wall_clocks_are_such_numbers(number):
    for message in (
        Ack(1, 1, number),
        Ping(A, 1, 1, ClockReading(1.0, number)),
        Decided(Configuration(1, (A,), "", number)),
    ):
        assert "does not fit" in bad(message)


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_what_no_clock_says_is_no_message(seconds):
    assert "does not fit" in bad(Ping(A, 1, 1, ClockReading(seconds, 1)))


def test_a_digest_has_a_length():
    assert "does not fit" in bad(Holding(1, EntryId(1, 1, b"x" * (DIGEST_OCTETS + 1))))


@pytest.mark.parametrize("span", [0, MAX_SPAN + 1, MOST])
def test_nobody_asks_for_more_numbers_than_one_may_say(span):
    assert "does not fit" in bad(Submit(1, "a.1", (Submission(1, b"", span),)))


@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(5, ()),
        Configuration(0, (A,)),
        Configuration(5, (A, Member("a", "id-x", 1))),
        Configuration(5, (A, Member("x", "id-a", 1))),
        Configuration(5, (A, B, Member("c", "id-c", 1), Member("d", "id-d", 1))),
        Configuration(5, (Member("a", "id-a", 1, "", 70_000),)),
        Configuration(5, (Member("a" * 65, "id-a", 1),)),
    ],
)
def test_what_can_be_nobodys_configuration_is_no_message(configuration):
    assert "does not fit" in bad(Decided(configuration))
    assert "does not fit" in bad(Pong(A, 1, configuration, True, EntryId(), False))


def test_an_epoch_far_ahead_is_named_and_not_believed(house):
    epoch = EPOCHS_AHEAD + 2
    far = Configuration(epoch, house["head"].configuration.members)
    for message in (Decided(far), Ack(epoch, 1)):
        house.distrusted.clear()
        house["middle"].receive("head", message)
        assert house.distrusted == [("middle", "head", f"an epoch far ahead, {epoch}")]
    assert house["middle"].configuration.epoch == 1
    assert house["middle"].running


@pytest.mark.parametrize("sender", ["head", "tail"])
def test_a_log_that_cannot_be_of_this_chain_is_an_alarm_and_stops_nobody(house, sender):
    message = Holding(1, EntryId(0, 2))
    if sender == "head":
        message = Forward(1, EntryId(), (Entry(1, 0, "x", 1, 1, b""),), 1)
    house["middle"].receive(sender, message)
    [(at, who, reason)] = house.distrusted
    assert (at, who) == ("middle", sender)
    assert reason.startswith("ALARM: ")
    house.bounce("middle", sender)
    assert house.say("head") == []
    house.run()
    assert house.chains() == dict.fromkeys(("head", "middle", "tail"), ("head", "middle", "tail"))
    assert len({disk.last for disk in house.disks.values()}) == 1


def test_a_false_word_on_what_was_committed_is_an_alarm_and_stops_nobody(house):
    house.say("head")
    house.run()
    tail, middle = house["tail"], house["middle"]
    false = EntryId(1, house.disks["tail"].last.seq, b"false")
    middle.unlinked("tail")
    middle.linked("tail", tail.me)
    pong = Pong(tail.me, 1, tail.configuration, True, false, False, committed=false)
    middle.receive("tail", pong)
    [(at, who, reason)] = house.distrusted
    assert (at, who) == ("middle", "tail")
    assert reason.startswith("ALARM: tail and this node have two histories")
    house.bounce("middle", "tail")
    assert house.say("head") == []
    house.run()
    assert all(node.running for node in house.nodes.values())
    assert len({disk.last for disk in house.disks.values()}) == 1


def test_what_is_no_command_has_no_effect_on_any_node(house):
    requests = (Submission(1, b"\xc1"), Submission(2, commands.encode(commands.Nothing()), 3))
    house["head"].receive("middle", Submit(1, "id-middle.1", requests))
    house.run()
    assert all(node.running for node in house.nodes.values())
    applied = {node.state.applied for node in house.nodes.values()}
    assert applied == {house.disks["head"].last.seq}
    answered = house.say("middle")
    house.run()
    assert len(answered) == 1


def test_a_question_that_is_none_is_named(house):
    house["tail"].receive("head", Read(1, 1, b"\xc1"))
    house.run()
    [(at, who, reason)] = house.distrusted
    assert (at, who) == ("tail", "head")
    assert reason.startswith("a question that does not fit")


def test_more_questions_than_nodes_ask_are_named(house):
    query = queries.encode(queries.Recent(0, 1))
    for number in range(2_000):
        house["tail"].receive("head", Read(1, number, query))
        if house.distrusted:
            break
    assert house.distrusted == [("tail", "head", "more questions than nodes ask at a time")]


# --- too early -------------------------------------------------------------------------------


def test_what_comes_too_early_is_kept_in_its_order_up_to_a_bound():
    early = EarlyMessages()
    early.keep("head", Ack(2, 1))
    early.keep("tail", Ack(2, 2))
    fill = MOST_OCTETS // OVERHEAD - 1
    for _ in range(fill):
        early.keep("tail", Ack(2, 3))
    with pytest.raises(BadMessageError, match="too much of an epoch that is still to come"):
        early.keep("tail", Ack(2, 4))
    assert early.all() == [("head", Ack(2, 1))]  # the others say it again
    assert early.all() == []


def test_what_an_entry_carries_counts():
    early = EarlyMessages()
    big = Entry(1, 1, "a.1", 1, 1, b"x" * MOST_OCTETS)
    with pytest.raises(BadMessageError):
        early.keep("head", Forward(2, EntryId(), (big,), 0))
    with pytest.raises(BadMessageError):
        early.keep("head", Submit(2, "a.1", (Submission(1, b"x" * MOST_OCTETS),)))


def test_what_came_on_a_connection_that_ended_is_dropped():
    early = EarlyMessages()
    early.keep("head", Ack(2, 1))
    early.keep("tail", Ack(2, 2))
    early.forget("head")
    assert early.all() == [("tail", Ack(2, 2))]


def test_a_node_that_fills_anothers_memory_is_cut_off(house):
    message = Submit(2, "id-head.1", (Submission(1, b"x" * 40_000),))
    for _ in range(MOST_OCTETS // 40_000 + 1):
        house["middle"].receive("head", message)
    [(at, who, reason)] = house.distrusted
    assert (at, who, reason) == ("middle", "head", "too much of an epoch that is still to come")
