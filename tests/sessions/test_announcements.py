"""Who came and went is told to many, at a cost that does not grow with the names for each."""

from twisted.internet.task import Clock

from chainchat.node.budget import Slice
from chainchat.sessions.announcements import Announcements


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
