"""Boxes: what AMP itself makes and finds, in one go."""

import pytest
from twisted.internet.testing import StringTransport
from twisted.protocols import amp

from chainchat.chain.messages import KINDS
from chainchat.peers.boxes import boxed, leading_messages

BODIES = (b"", b"x", b"\0\0", b"y" * 255, b"z" * 256, b"w" * 65_535)
MESSAGES = [
    (kind, body) for number, kind in enumerate(KINDS) for body in (b"", b"\0\0", b"x" * number)
]
STREAM = b"".join(boxed(kind, body) for kind, body in MESSAGES)


def by_amp(box):
    return amp.AmpBox(box).serialize()


@pytest.mark.parametrize("body", BODIES, ids=lambda body: str(len(body)))
@pytest.mark.parametrize("kind", KINDS)
def test_a_box_is_what_amp_makes(kind, body):
    assert boxed(kind, body) == by_amp({b"_command": kind.encode(), b"body": body})
    assert leading_messages(boxed(kind, body)) == ([(kind, body)], b"")


def test_a_body_that_is_too_long_for_amp_is_refused():
    with pytest.raises(OverflowError):
        boxed("Ack", b"x" * 65_536)


def test_wherever_the_stream_is_cut_whole_boxes_are_found_and_the_rest_is_left():
    ends = [0]
    for kind, body in MESSAGES:
        ends.append(ends[-1] + len(boxed(kind, body)))
    for cut in range(len(STREAM) + 1):
        whole = sum(end <= cut for end in ends) - 1
        assert leading_messages(STREAM[:cut]) == (MESSAGES[:whole], STREAM[ends[whole] : cut])


@pytest.mark.parametrize(
    "strange",
    [
        by_amp({b"_command": b"Nosuch", b"body": b""}),
        by_amp({b"_command": b"Ack"}),
        by_amp({b"_command": b"Ack", b"body": b"", b"more": b""}),
        by_amp({b"_command": b"Ack", b"body": b"", b"_ask": b"1"}),
        by_amp({b"_command": b"Hello", b"identity": b"", b"lane": b""}),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0",
    ],
)
def test_what_is_no_message_is_left_and_all_behind_it(strange):
    before, after = boxed("Ack", b"1"), boxed("Ack", b"2")
    assert leading_messages(before + strange + after) == ([("Ack", b"1")], strange + after)


def test_amp_finds_the_same_messages():
    found = []

    class Listening(amp.AMP):
        def ampBoxReceived(self, box):  # noqa: N802 - Twisted's name
            found.append((box[b"_command"].decode(), box[b"body"]))

    listening = Listening()
    listening.makeConnection(StringTransport())
    listening.dataReceived(STREAM)
    assert found == MESSAGES
