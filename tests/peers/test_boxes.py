"""Boxes: what AMP makes and finds, a whole read of the socket at a time."""

import struct

import pytest
from twisted.internet.testing import StringTransport
from twisted.protocols import amp

from chainchat.chain.messages import KINDS
from chainchat.peers.boxes import (
    LONGEST_KEY,
    MOST_OCTETS,
    MOST_PAIRS,
    BoxReader,
    NotAMPError,
    boxed,
)

BODIES = (b"", b"x", b"\0\0", b"y" * 255, b"z" * 256, b"w" * 65_535)
MESSAGES = [
    (kind, body) for number, kind in enumerate(KINDS) for body in (b"", b"\0\0", b"x" * number)
]
OTHERS = [
    {b"_command": b"Nosuch", b"body": b""},
    {b"_command": b"Ack"},
    {b"_command": b"Ack", b"body": b"", b"more": b""},
    {b"_command": b"Ack", b"body": b"", b"_ask": b"1"},
    {b"_command": b"Hello", b"identity": b"\0\0", b"lane": b""},
    {b"_answer": b"1", b"k" * LONGEST_KEY: b"v" * 300},
    {},
]


def by_amp(box):
    return amp.AmpBox(box).serialize()


STREAM = b"".join(
    [
        *(boxed(kind, body) for kind, body in MESSAGES),
        *(by_amp(other) + boxed("Ack", b"%d" % number) for number, other in enumerate(OTHERS)),
    ]
)


class Listening(amp.AMP):
    def __init__(self):
        super().__init__()
        self.found = []
        self.makeConnection(StringTransport())

    def ampBoxReceived(self, box):  # noqa: N802 - Twisted's name
        self.found.append(box)


def as_box(found):
    if isinstance(found, tuple):
        return {b"_command": found[0].encode(), b"body": found[1]}
    return found


@pytest.mark.parametrize("body", BODIES, ids=lambda body: str(len(body)))
@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_is_what_amp_makes(kind, body):
    assert boxed(kind, body) == by_amp({b"_command": kind.encode(), b"body": body})
    assert list(BoxReader().read(boxed(kind, body))) == [(kind, body)]


def test_a_body_that_is_too_long_for_amp_is_refused():
    with pytest.raises(struct.error):
        boxed("Ack", b"x" * 65_536)


def test_amp_finds_the_same_boxes():
    listening = Listening()
    listening.dataReceived(STREAM)
    found = list(BoxReader().read(STREAM))
    assert [as_box(each) for each in found] == listening.found
    assert [each for each in found if isinstance(each, tuple)] == [
        *MESSAGES,
        *(("Ack", b"%d" % number) for number in range(len(OTHERS))),
    ]


def test_wherever_the_stream_is_cut_in_two_the_same_boxes_are_found():
    whole = [as_box(each) for each in BoxReader().read(STREAM)]
    for cut in range(len(STREAM) + 1):
        reader = BoxReader()
        before = [as_box(each) for each in reader.read(STREAM[:cut])]
        after = [as_box(each) for each in reader.read(STREAM[cut:])]
        assert before + after == whole


@pytest.mark.parametrize("octets", [1, 2, 3, 7, 20, 64])
def test_in_however_many_parts_the_stream_comes_each_box_is_found_with_its_last_octet(octets):
    reader, listening = BoxReader(), Listening()
    found = []
    for start in range(0, len(STREAM), octets):
        part = STREAM[start : start + octets]
        found += [as_box(each) for each in reader.read(part)]
        listening.dataReceived(part)
        assert len(found) == len(listening.found)
    assert found == listening.found


@pytest.mark.parametrize("strange", [b"GET / HTTP/1.1\r\n\r\n", b"\1\0", b"\xff" * 100])
def test_what_is_no_box_is_told_after_the_boxes_before_it(strange):
    boxes = BoxReader().read(boxed("Ack", b"1") + strange)
    assert next(boxes) == ("Ack", b"1")
    with pytest.raises(NotAMPError, match="does not speak AMP"):
        next(boxes)


def test_a_box_without_an_end_is_not_kept_for_ever():
    reader = BoxReader()
    pair = b"\0\1k" + b"\xff\xff" + b"v" * 65_535
    for _ in range(MOST_OCTETS // len(pair)):
        assert list(reader.read(pair)) == []
    with pytest.raises(NotAMPError, match="without an end"):
        list(reader.read(pair))


def test_of_boxes_that_end_any_number_is_read():
    reader = BoxReader()
    box = by_amp({b"k": b"v" * 65_535})
    for _ in range(2 * MOST_OCTETS // len(box)):
        assert len(list(reader.read(box))) == 1


def test_a_box_has_few_pairs_whatever_their_length():
    pairs = b"".join(b"\0\4%04d\0\0" % number for number in range(MOST_PAIRS + 1))
    reader = BoxReader()
    assert list(reader.read(pairs[: MOST_PAIRS * 8])) == []
    with pytest.raises(NotAMPError, match="too many pairs"):
        list(reader.read(pairs[MOST_PAIRS * 8 :]))
