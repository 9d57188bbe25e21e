"""Who came and went is told to many, at a cost that does not grow with the names for each."""

from twisted.internet.task import Clock

from chainchat.node.budget import Slice
from chainchat.sessions.announcements import HEARER_SECONDS, NOTICE_PAUSE, Announcements


class Name(str):
    """A name that counts how often it was compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other):
        Name.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


class Hearer:
    takes_notices = True

    def __init__(self, name):
        self.name = Name(name)
        self.told = []

    def tell(self, code, text, *, name):
        self.told.append(text)


def test_to_tell_many_of_many_no_name_is_compared_with_each():
    clock = Clock()
    announcements = Announcements(clock, lambda: None)
    hearers = [Hearer(f"user{number}") for number in range(100)]
    for hearer in hearers:
        announcements.joined(Name(hearer.name))
    Name.compared = 0
    announcements.tell(hearers, Slice(clock.seconds, 1.0))
    assert all(hearer.told == ["99 others: each has joined"] for hearer in hearers)
    assert Name.compared <= 2 * len(hearers)


def test_the_more_there_are_to_be_told_the_more_rarely_they_are():
    clock = Clock()
    announcements = Announcements(clock, lambda: None)
    several_seconds = round(3 * NOTICE_PAUSE / HEARER_SECONDS)
    hearers = [Hearer(f"user{number}") for number in range(several_seconds)]
    share = Slice(clock.seconds, 60.0)
    announcements.joined("bob")
    announcements.tell(hearers, share)
    announcements.left("bob")
    for seconds in (1, 2, 3):
        clock.advance(NOTICE_PAUSE)
        announcements.tell(hearers, share)
        told = ["bob has joined"] if seconds < 3 else ["bob has joined", "bob has left"]
        assert hearers[0].told == hearers[-1].told == told
