"""The message index in memory: how much is looked at."""

from array import array

from chainchat.storage.index import Run

ME, OTHER = 7, 8


class Counted(array):
    """An array that counts how many items were read one by one."""

    read = 0

    def __getitem__(self, place):
        self.read += isinstance(place, int)
        return super().__getitem__(place)


def test_to_find_the_few_messages_of_others_few_are_looked_at():
    run, senders = Run(), ([ME] * 999 + [OTHER]) * 20
    run.ids = array("q", range(len(senders)))
    run.senders = Counted("q", senders)
    others = [place for place, sender in enumerate(senders) if sender == OTHER]
    assert [*run.after(-1, ME)] == others
    assert [*run.before(len(senders), ME)] == others[::-1]
    assert run.senders.read < len(senders) / 5
