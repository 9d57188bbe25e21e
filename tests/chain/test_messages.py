"""What nodes say survives the wire and fits in a frame; garbage is named as such."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs_made_up import chained
from msgspec import DecodeError, msgpack
from msgspec.structs import replace

from chainchat.chain.checkpoints import INDEX, RECORDS, START, Row
from chainchat.chain.configuration import MAX_MEMBERS, MOST, Configuration, Member
from chainchat.chain.effects import Send
from chainchat.chain.entries import (
    DIGEST_OCTETS,
    MAX_SPAN,
    Entry,
    EntryId,
    Submission,
    decode_entries,
    encode_entries,
)
from chainchat.chain.log import ENTRY_OVERHEAD, FRAME_ENTRIES, MAX_COMMAND, fitting, size
from chainchat.chain.messages import (
    KINDS,
    MAX_FRAME,
    BadMessageError,
    ClockReading,
    Copied,
    Declined,
    Forward,
    Offer,
    Ping,
    Rows,
    Submit,
    Vote,
    decode,
    encode,
)
from chainchat.chain.replica import Replica
from chainchat.storage.memory import MemoryStorage

deterministic = settings(derandomize=True, max_examples=100, deadline=None)

LARGEST = MOST
LONGEST_ID = "f" * 20
LONGEST_ORIGIN = f"{LONGEST_ID}.{'9' * 19}"

numbers = st.integers(0, LARGEST)
st.register_type_strategy(int, numbers)
ports = st.integers(0, 65_535)
names = st.text(max_size=64)
ids = st.builds(EntryId, numbers, numbers, st.binary(max_size=DIGEST_OCTETS))
members = st.builds(Member, names, names, numbers, st.text(max_size=255), ports, ports)


@st.composite
def configurations(draw):
    chosen = draw(
        st.lists(
            members, max_size=MAX_MEMBERS, unique_by=(lambda one: one.position, lambda one: one.id)
        )
    )
    epoch = draw(st.integers(1, LARGEST)) if chosen else 0
    return Configuration(epoch, tuple(chosen), draw(st.text(max_size=100)), draw(numbers))


@st.composite
def batches(draw, kind):
    """Entries that follow one another, as in a Forward or Copied."""
    begin, entries = draw(st.integers(0, 1_000)), []
    for span in draw(st.lists(st.integers(1, MAX_SPAN), max_size=3)):
        seq = (entries[-1].seq if entries else begin) + span
        origin, command = draw(st.text(max_size=64)), draw(st.binary(max_size=100))
        entries.append(Entry(seq, 7, origin, draw(numbers), draw(numbers), command, span))
    rest = {"committed": draw(numbers)}
    if kind is Copied:
        end = draw(ids)
        rest = {"end": end, "sealed": draw(st.booleans()), "more": draw(st.booleans())}
    return kind(epoch=9, previous=EntryId(5, begin), entries=tuple(entries), **rest)


def offered(beginning, lacking):
    checkpoint = replace(beginning, seq=min(beginning.seq + lacking, LARGEST))
    return Offer(9, checkpoint, beginning, b"head", common=True)


def rows_in_order(keys, lasts):
    records = [Row(RECORDS, key, 0, b"record") for key in sorted({*keys})]
    runs = [Row(INDEX, 3, last, bytes(16)) for last in sorted({*lasts})]
    return Rows(9, EntryId(5, 7), START, (*records, *runs), complete=True)


st.register_type_strategy(
    Entry,
    st.builds(Entry, numbers, numbers, st.text(max_size=64), numbers, numbers, st.binary()),
)
st.register_type_strategy(Member, members)
st.register_type_strategy(EntryId, ids)
st.register_type_strategy(
    ClockReading, st.builds(ClockReading, st.floats(0.0, float(LARGEST)), numbers)
)
st.register_type_strategy(Configuration, configurations())
for kind in (Forward, Copied):
    st.register_type_strategy(kind, batches(kind))
st.register_type_strategy(Offer, st.builds(offered, ids, numbers))
st.register_type_strategy(Rows, st.builds(rows_in_order, st.lists(numbers), st.lists(numbers)))
st.register_type_strategy(
    Submission, st.builds(Submission, numbers, st.binary(), st.integers(1, MAX_SPAN))
)
st.register_type_strategy(
    Declined,
    st.builds(Declined, st.from_type(Vote), st.text(max_size=100), st.floats(0.0, 3_600.0)),
)


# --- the wire ----------------------------------------------------------------------------


def test_there_are_the_kinds_of_the_chain_of_membership_and_of_catching_up():
    chain = {"Submit", "Forward", "Ack", "Holding", "Read", "Answer", "StateDigest"}
    membership = {"Ping", "Pong", "Propose", "Voted", "Decided", "Abort", "Declined"}
    catching_up = {"Fetch", "Differs", "Copied", "Synced", "Offer", "FetchRows", "Rows"}
    assert KINDS.keys() == chain | membership | catching_up


@given(st.one_of([st.from_type(kind) for kind in KINDS.values()]))
@deterministic
def test_every_message_survives_the_wire(message):
    if isinstance(message, Forward | Copied):
        message = replace(message, entries=chained(message.previous, message.entries))
    kind, body = encode(message)
    assert KINDS[kind] is type(message)
    assert decode(kind, body) == message


def test_entries_survive_the_disk():
    batch = (Entry(1, 1, "a.1", 1, 5, b"\x00\xff"), Entry(2, 1, "", 0, 5, b""))
    assert decode_entries(encode_entries(batch)) == batch


def test_corrupt_entries_are_told():
    with pytest.raises(DecodeError):
        decode_entries(encode_entries((Entry(1, 1, "a.1", 1, 5, b"command"),))[:-1])


@pytest.mark.parametrize("kind", ["", "Nothing", "ping", "Struct"])
def test_an_unknown_kind_is_named(kind):
    with pytest.raises(BadMessageError, match=f"unknown kind of message {kind!r}"):
        decode(kind, b"")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", b"\x01", b"\xff" * 100, b"\x81\xa5epoch"])
def test_a_body_that_does_not_fit_is_refused(kind, body):
    with pytest.raises(BadMessageError, match=f"a {kind} that does not fit: "):
        decode(kind, body)


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=200))
@deterministic
def test_garbage_is_a_message_or_a_bad_one_and_nothing_else(kind, body):
    try:
        message = decode(kind, body)
    except BadMessageError:
        return
    assert isinstance(message, KINDS[kind])


def test_a_cut_message_is_refused():
    kind, body = encode(Ping(Member("head", "id", 1), 5, 2))
    for length in range(len(body)):
        with pytest.raises(BadMessageError):
            decode(kind, body[:length])


def test_a_field_that_a_later_version_adds_is_ignored():
    body = msgpack.encode({"epoch": 3, "seq": 9, "colour": "red"})
    assert decode("Ack", body) == KINDS["Ack"](3, 9)


# --- order and names ---------------------------------------------------------------------


def test_logs_are_compared_by_the_epoch_of_their_end_and_then_by_length():
    assert EntryId(epoch=2, seq=5).is_beyond(EntryId(epoch=1, seq=9))
    assert EntryId(epoch=2, seq=6).is_beyond(EntryId(epoch=2, seq=5))
    assert EntryId(epoch=2, seq=5).is_beyond(EntryId())
    assert not EntryId(2, 5, b"one").is_beyond(EntryId(2, 5, b"other"))
    assert not EntryId(2, 5, b"other").is_beyond(EntryId(2, 5, b"one"))


FIRST = Entry(1, 1, "a.1", 1, 5, b"x")
OTHERS = [
    replace(FIRST, **{field: value})
    for field, value in {
        "seq": 2, "epoch": 2, "origin": "a.2", "number": 2, "time": 6, "command": b"y", "span": 2
    }.items()
]  # fmt: skip


def test_an_entrys_name_covers_all_of_it_and_the_entry_before():
    [first], others = chained(EntryId(), [FIRST]), [chained(EntryId(), [e])[0] for e in OTHERS]
    assert first.id == EntryId(1, 1, first.digest)
    assert len(first.digest) == DIGEST_OCTETS
    after = chained(first.id, [Entry(2, 1, "a.1", 2, 5, b"x")])
    after_others = [chained(other.id, [Entry(2, 1, "a.1", 2, 5, b"x")]) for other in others]
    digests = [e.digest for e in (first, *others, *after, *(a[0] for a in after_others))]
    assert len(set(digests)) == len(digests) == 16


def test_a_digest_is_the_same_in_every_version():
    """Otherwise a new version would take an old version's log for another history."""
    [first] = chained(EntryId(), [FIRST])
    assert first.digest.hex() == "f97438974ef0706c50771abb4e029c3d"


@pytest.mark.parametrize("kind", [Forward, Copied])
@pytest.mark.parametrize("changed", [{"command": b"z"}, {"time": 7}, {"digest": bytes(16)}])
def test_entries_whose_digests_are_not_their_own_are_none_that_a_node_sends(kind, changed):
    first, second = chained(EntryId(), [FIRST, Entry(2, 1, "a.1", 2, 5, b"y")])
    rest = {Forward: (0,), Copied: (second.id, False)}[kind]
    good = kind(1, EntryId(), (first, second), *rest)
    assert decode(*encode(good)) == good
    for entries in ((replace(first, **changed), second), (first, replace(second, **changed))):
        with pytest.raises(BadMessageError, match="is not that of its content"):
            decode(*encode(kind(1, EntryId(), entries, *rest)))
    with pytest.raises(BadMessageError, match="the digest of entry 2 is not"):
        decode(*encode(kind(1, EntryId(1, 1, bytes(16)), (second,), *rest)))


# --- frames ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        [Row(INDEX + 1, 1, 0, b"")],
        [Row(RECORDS, 1, 1, b"")],
        [Row(RECORDS, -1, 0, b"")],
        [Row(RECORDS, 2, 0, b""), Row(RECORDS, 1, 0, b"")],
        [Row(INDEX, 1, 5, b""), Row(INDEX, 1, 5, b"")],
        [Row(INDEX, 1, 5, b"part of a message")],
    ],
    ids=["of no table", "of no record", "before the first", "backwards", "twice", "torn"],
)
def test_rows_that_no_checkpoint_has_are_refused(rows):
    message = Rows(1, EntryId(1, 9), START, tuple(rows), complete=True)
    with pytest.raises(BadMessageError, match="the row"):
        decode(*encode(message))


@pytest.mark.parametrize("checkpoint", [EntryId(1, 6, b"a"), EntryId(1, 7, b"b")])
def test_a_checkpoint_to_which_its_log_does_not_lead_is_refused(checkpoint):
    offer = Offer(1, checkpoint, EntryId(1, 7, b"a"), b"head", common=True)
    with pytest.raises(BadMessageError, match="a checkpoint as of"):
        decode(*encode(offer))


@given(st.integers(0, MAX_COMMAND))
@deterministic
def test_no_entry_is_longer_than_its_size_says(length):
    digest = bytes(DIGEST_OCTETS)
    entry = Entry(LARGEST, LARGEST, LONGEST_ORIGIN, LARGEST, LARGEST, b"x" * length, digest=digest)
    assert len(encode_entries((entry,))) <= size(entry)
    assert size(entry) - length == ENTRY_OVERHEAD


def chain_of_two(position):
    """One of two replicas in epoch 2^62, whose members have the longest ids there are."""
    members = tuple(Member(p, LONGEST_ID, int("9" * 18)) for p in ("head", "tail"))
    replica = Replica(
        position, LONGEST_ORIGIN, MemoryStorage(), opening=lambda _: b"opening", applied=0
    )
    replica.adopt(Configuration(1 << 62, members))
    replica.active = True
    return replica


def sent(replica):
    return [effect.message for effect in replica.turn(LARGEST) if isinstance(effect, Send)]


@pytest.mark.parametrize("lengths", [[MAX_COMMAND], [1] * 3_000, [16_000] * 9, [23_000, 26_000]])
def test_the_largest_frames_fit(lengths):
    tail, head = chain_of_two("tail"), chain_of_two("head")
    for replica in (tail, head):
        for length in lengths:
            replica.submit(b"x" * length)
    submits = [message for message in sent(tail) if isinstance(message, Submit)]
    head.receive("tail", KINDS["Holding"](1 << 62, EntryId()))
    forwards = [message for message in sent(head) if isinstance(message, Forward)]
    assert [len(r.command) for m in submits for r in m.requests] == lengths
    assert [len(e.command) for m in forwards for e in m.entries] == [len(b"opening"), *lengths]
    assert all(len(encode(message)[1]) <= MAX_FRAME for message in submits + forwards)


def test_the_largest_batch_for_a_learner_fits():
    entries = [
        Entry(seq, LARGEST, LONGEST_ORIGIN, LARGEST, LARGEST, b"", 1, bytes(DIGEST_OCTETS))
        for seq in range(1, 1_000)
    ]
    end = EntryId(LARGEST, LARGEST, bytes(DIGEST_OCTETS))
    copied = Copied(LARGEST, end, tuple(fitting(entries, FRAME_ENTRIES)), end, True)
    assert len(copied.entries) == FRAME_ENTRIES // ENTRY_OVERHEAD
    assert len(encode(copied)[1]) <= MAX_FRAME


@pytest.mark.parametrize("kind", ["Propose", "Voted", "Abort", "Declined", "Decided", "Pong"])
def test_the_longest_configurations_fit_in_every_message_that_carries_them(kind):
    members = tuple(
        Member(f"{n}" * 32, f"{n}" * 16, LARGEST, "h" * 255, 65535, 65535) for n in range(3)
    )
    configuration = Configuration(LARGEST, members, "w" * 1_000)
    vote = Vote(configuration, members[0], (LARGEST, LARGEST))
    end = EntryId(LARGEST, LARGEST)
    arguments = {
        "Propose": (configuration, vote),
        "Voted": (members[0], vote, end),
        "Abort": (vote,),
        "Declined": (vote,),
        "Decided": (configuration,),
        "Pong": (members[0], LARGEST, configuration, True, end, True),
    }
    message = KINDS[kind](*arguments[kind])
    assert decode(*encode(message)) == message
    assert len(encode(message)[1]) < MAX_FRAME
