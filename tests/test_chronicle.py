"""What the judge of histories finds in histories made by hand: nothing in good ones."""

from dataclasses import replace

import pytest
from chronicle import SHOWN, Adopted, Chronicle, Delivered, Log, Message, Read, Send
from logs_made_up import chained

from chainchat.chain.entries import Entry, EntryId
from chainchat.chat.outcomes import Said

POSITIONS = ("head", "middle", "tail")

SAID = (("anna", "a1"), ("otto", "o1"), ("anna", "a2"), ("otto", "o2"))
"""What the good history holds, as 1, 2, 3 and 4."""


def log(*said, epoch=1):
    """A node's log in which this was said; None: an entry that says nothing."""
    entries = [
        Entry(seq, epoch, "x.1", seq, 1_000, repr(each).encode())
        for seq, each in enumerate(said, 1)
    ]
    return Log(
        list(chained(EntryId(), entries)),
        [Said(seq, 0, 1, each[0], 0, "*", each[1]) for seq, each in enumerate(said, 1) if each],
    )


def send(program, number, ended, *, id_=None, node="tail", began=None, **changes):
    text = f"{program[0]}{number}"
    began = ended - 1 if began is None else began
    return Send(program, "c", number, text, node, began, ended, id_, **changes)


def shown(*ids):
    return tuple(Message(each, *SAID[each - 1]) for each in ids)


def read(ended, *ids, after=0, node="head"):
    return Read("reader", node, ended - 0.5, ended, after, shown(*ids))


def good():
    """Two programs say two texts each, and others read and are told."""
    return Chronicle(
        sends=[
            send("anna", 1, 1, id_=1),
            send("otto", 1, 2, id_=2),
            send("anna", 2, 3, id_=3),
            send("otto", 2, 4, id_=4),
        ],
        reads=[read(1.9, 1), read(2.6, 1, 2), read(3.6, 1, 2, 3), read(9, 3, 4, after=2)],
        delivered=[Delivered("anna", shown(2, 4)), Delivered("reader", shown(1, 2, 3, 4))],
        adopted=[Adopted(position, 1, "head -> middle -> tail") for position in POSITIONS],
        logs={position: log(*SAID) for position in POSITIONS},
    )


def wrong(chronicle):
    """What is found, as what stands before the first colon of each sentence."""
    return [sentence.partition(":")[0] for sentence in chronicle.violations()]


def test_a_good_history_is_good():
    assert good().violations() == []


def test_a_node_that_was_stopped_first_has_less_of_what_nobody_was_told_about():
    chronicle = good()
    chronicle.logs["tail"] = log(*SAID, ("otto", "o3"))
    chronicle.sends.append(Send("otto", "c", 3, "o3", "tail", 5))
    assert chronicle.violations() == []


def test_what_was_never_answered_may_be_missing():
    chronicle = good()
    chronicle.sends.append(Send("otto", "c", 3, "o3", "tail", 5))
    assert chronicle.violations() == []


def test_what_overlaps_may_come_in_either_order():
    chronicle = good()
    chronicle.sends[0] = send("anna", 1, 3, id_=1, began=0.5)
    chronicle.sends[1] = send("otto", 1, 2.9, id_=2, began=0.5)
    chronicle.reads = [
        Read("reader", "head", 2.8, 3.2, 0, shown(1, 2)),
        Read("reader", "tail", 2.7, 3.3, 0, ()),
    ]
    assert chronicle.violations() == []


def test_a_repeated_number_has_the_same_id():
    chronicle = good()
    chronicle.sends.append(send("anna", 1, 6, id_=1, node="head"))
    assert chronicle.violations() == []


# --- what was said


def test_a_lost_message():
    chronicle = good()
    chronicle.logs = {position: log(*SAID[:3]) for position in POSITIONS}
    chronicle.reads, chronicle.delivered = [], []
    assert chronicle.violations() == [
        "lost: 'o2', SEND 2 of otto at tail, was acknowledged as 4, and is not at " + position
        for position in POSITIONS
    ]


def test_a_message_that_one_node_has_lost():
    chronicle = good()
    chronicle.logs["middle"] = log(*SAID[:3])
    assert chronicle.violations() == [
        "lost: 'o2', SEND 2 of otto at tail, was acknowledged as 4, and is not at middle"
    ]


def test_another_message_at_its_id():
    chronicle = good()
    chronicle.sends[3] = replace(chronicle.sends[3], id=1)
    found = chronicle.violations()
    assert found[0].startswith("one id for two: 1 was answered to 'a1', SEND 1 of anna at tail")
    assert (
        "lost: 'o2', SEND 2 of otto at tail, was acknowledged as 1; at head that is 'a1' of anna"
        in found
    )


def test_two_ids_for_one_number():
    chronicle = good()
    chronicle.sends.append(send("otto", 1, 6, id_=4, node="head"))
    assert chronicle.violations()[0] == (
        "two ids for one number: 'o1', SEND 1 of otto at head was answered 4, and 2 at tail before"
    )


def test_two_ids_for_one_text():
    chronicle = good()
    chronicle.logs = {position: log(*SAID, SAID[1]) for position in POSITIONS}
    assert chronicle.violations() == [
        f"said 2 times: 'o1' of otto, at {position}, as [2, 5]" for position in POSITIONS
    ]


def test_what_was_never_sent():
    chronicle = good()
    chronicle.logs = {position: log(*SAID, ("otto", "o9")) for position in POSITIONS}
    assert wrong(chronicle) == ["never sent, or refused, and said"] * 3


def test_what_was_refused_and_said_all_the_same():
    chronicle = good()
    chronicle.sends[3] = replace(chronicle.sends[3], id=None, refused="551 too late")
    assert wrong(chronicle) == ["refused", *["never sent, or refused, and said"] * 3]


def test_what_was_said_in_another_order_than_sent():
    chronicle = good()
    chronicle.sends[0] = Send("anna", "c", 1, "a2", "tail", 0)
    chronicle.sends[2] = Send("anna", "c", 2, "a1", "tail", 0)
    assert chronicle.violations()[0] == (
        "out of order: 'a1' of anna, at head, as 1, where 'a2' comes next"
    )


def test_a_later_one_without_an_earlier_one():
    chronicle = good()
    chronicle.sends[2] = replace(chronicle.sends[2], number=3)
    chronicle.sends.append(Send("anna", "c", 2, "a7", "tail", 2))
    assert wrong(chronicle) == ["out of order"] * 3


# --- one chain


def test_two_orders_at_two_nodes():
    chronicle = good()
    chronicle.logs["tail"] = log(SAID[0], SAID[2], SAID[1], SAID[3])
    found = chronicle.violations()
    assert found[0].startswith("two logs: tail has entry 2 of epoch 1 (")
    assert "where head has entry 2 of epoch 1 (" in found[0]
    assert found[0].endswith(": that epoch had two heads")


def test_two_ends_of_two_epochs():
    chronicle = good()
    chronicle.logs["tail"] = log(*SAID, epoch=2)
    found = chronicle.violations()
    assert found[0].startswith("two logs: head has entry 1 of epoch 1 (")
    assert "where tail has entry 1 of epoch 2 (" in found[0]
    assert "two heads" not in found[0]


def test_the_end_of_a_log_that_is_not_committed_may_be_another_one():
    chronicle = good()
    for position, epoch in (("head", 1), ("middle", 2), ("tail", 2)):
        entries = chronicle.logs[position].entries
        entries += chained(entries[-1].id, [Entry(5, epoch, "x.1", 5, 1_000, b"")])
    assert wrong(chronicle) == ["two logs"]
    chronicle.logs["head"].committed = 5
    assert wrong(chronicle) == ["two logs"]
    chronicle.logs["head"].committed = 4
    assert not chronicle.violations()


def test_a_digest_that_is_not_that_of_the_content():
    chronicle = good()
    for kept in chronicle.logs.values():
        kept.entries[2] = Entry(3, 1, "x.1", 3, 1_000, b"another", digest=kept.entries[2].digest)
    assert wrong(chronicle) == ["another digest"] * 3


def test_a_hole_in_a_log():
    chronicle = good()
    del chronicle.logs["tail"].entries[1]
    assert wrong(chronicle) == ["a hole in the log", "two logs"]


def test_two_heads_in_one_epoch():
    chronicle = good()
    chronicle.adopted += [Adopted("head", 2, "head"), Adopted("tail", 2, "middle -> tail")]
    assert chronicle.violations() == [
        "two heads: epoch 2 is that of head at head, and that of middle -> tail at tail"
    ]


# --- what was shown


def test_a_stale_read():
    chronicle = good()
    chronicle.reads.append(Read("reader", "head", 4.5, 5, 0, shown(1, 2, 3)))
    assert chronicle.violations() == [
        "a stale read: what reader read at head after 0 came to 3; but 4 was known 0.500 s before "
        "it began, from 'o2', SEND 2 of otto at tail"
    ]


def test_a_read_that_is_older_than_another_read():
    chronicle = good()
    chronicle.sends[3] = send("otto", 2, 9, id_=4, began=3)
    chronicle.reads = [
        read(4, 1, 2, 3, 4, node="tail"),
        Read("r", "head", 4.5, 5, 0, shown(1, 2, 3)),
    ]
    assert wrong(chronicle) == ["a stale read"]
    assert chronicle.violations()[0].endswith("from what reader read at tail after 0")


def test_a_read_that_lacks_one_in_the_middle():
    chronicle = good()
    chronicle.reads.append(read(9, 1, 2, 4))
    assert wrong(chronicle) == ["not shown"]


def test_a_read_that_shows_what_is_not_there():
    chronicle = good()
    messages = (*shown(1, 2, 3, 4), Message(5, "otto", "o3"))
    chronicle.reads.append(Read("reader", "head", 8, 9, 0, messages))
    assert wrong(chronicle) == ["not so"]


@pytest.mark.parametrize("ids", [(1, 3, 2, 4), (1, 2, 2, 3, 4)])
def test_a_read_in_another_order_or_that_shows_one_twice(ids):
    chronicle = good()
    chronicle.reads.append(read(9, *ids))
    assert wrong(chronicle) == ["out of order, or twice"]


@pytest.mark.parametrize(
    ("ids", "what"),
    [
        ((1, 3, 4), "not shown"),
        ((2, 1), "out of order, or twice"),
        ((1, 1, 2), "out of order, or twice"),
    ],
)
def test_what_is_pushed_with_a_hole_or_twice_or_out_of_order(ids, what):
    chronicle = good()
    chronicle.delivered.append(Delivered("reader", shown(*ids)))
    assert wrong(chronicle) == [what]


def test_what_was_sent_later_and_comes_before():
    chronicle = good()
    chronicle.sends[1] = send("otto", 1, 6, id_=2)
    assert wrong(chronicle) == ["into the past"]
    assert chronicle.violations()[0].startswith(
        "into the past: 'o1', SEND 1 of otto at tail is 2; but 4 was known 1.000 s before"
    )


def test_what_was_never_answered_and_comes_before_what_was_known():
    chronicle = good()
    chronicle.sends[1] = Send("otto", "c", 1, "o1", "head", 5)
    assert wrong(chronicle) == ["into the past"]


def test_of_many_violations_of_a_kind_a_few_are_told():
    chronicle = good()
    chronicle.adopted += [Adopted("head", 2, "head"), *[Adopted("tail", 2, "tail")] * (SHOWN + 2)]
    found = chronicle.violations()
    assert len(found) == SHOWN + 1
    assert found[-1] == "… and 2 more like that"
