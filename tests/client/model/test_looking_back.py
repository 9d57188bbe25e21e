"""The search in what the servers keep, against a model that has everything at once."""

from bisect import bisect_right

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.client.engine.events import MessageArrived
from chainchat.client.model.looking_back import AT_ONCE, CONTEXT, PAGE, PAGE_EVERY, LookingBack

TIME = "2026-11-22T11:03:07.120Z"


class Server:
    """Lists messages, and counts how many at most at a time."""

    def __init__(self, messages: dict[int, str]) -> None:
        self.messages = [
            MessageArrived(identifier, TIME, "bob", "*", text)
            for identifier, text in sorted(messages.items())
        ]
        self.ids = [message.id for message in self.messages]
        self.asked: list[tuple[int, int]] = []
        self.now = 0.0
        self.back = LookingBack(self.ask, lambda: self.now, ())

    def ask(self, after: int, count: int) -> int:
        self.asked.append((after, count))
        return len(self.asked)

    def search(self, wanted: str, before: int) -> list[MessageArrived] | None:
        """The message that is found next, among its neighbours."""
        self.back.begin(wanted, before)
        while self.back.active:
            request = len(self.asked)
            if not self.back.asked(request):
                self.now += PAGE_EVERY
                self.back.go_on()
                continue
            after, count = self.asked[-1]
            first = bisect_right(self.ids, after)
            if found := self.back.listed(self.messages[first : first + count]):
                assert found.message in found.around
                return [found.message, *found.around]
        return None


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([1, 1, 1, 2, 7, 300, 4_000]), max_size=60),
    st.integers(1, 80),
    st.sets(st.integers(0, 4_000), max_size=6),
)
def test_all_that_matches_is_found_the_newest_first(
    gaps: list[int], run: int, hits: set[int]
) -> None:
    identifiers, last = [], 0
    for gap in gaps:
        for step in (gap, *[1] * (run - 1)):
            last += step
            identifiers.append(last)
    texts = {i: "a Needle" if n in hits else "hay" for n, i in enumerate(identifiers)}
    server = Server(texts)
    found = []
    while shown := server.search("needle", last + 1):
        found.append(shown[0].id)
        place = server.ids.index(shown[0].id)
        around = [message.id for message in shown[1:]]
        assert around[: around.index(shown[0].id)] == [
            i for i in server.ids[max(0, place - CONTEXT) : place] if i in around
        ]
        assert len(around) <= 2 * CONTEXT + 1
    assert found == [i for i in reversed(identifiers) if texts[i] != "hay"]
    assert server.back.ended
    assert all(count == PAGE for _, count in server.asked)


def test_it_asks_no_faster_than_a_server_lets_who_also_speaks() -> None:
    server = Server(dict.fromkeys(range(1, 60_000), "hay"))
    assert server.search("needle", 60_000) is None
    assert server.now >= PAGE_EVERY * (len(server.asked) - AT_ONCE - 1)


def test_where_few_ids_are_messages_it_takes_longer_strides() -> None:
    server = Server(dict.fromkeys(range(1, 400_000, 1_000), "hay"))
    assert server.search("needle", 400_000) is None
    assert len(server.asked) < 70


def test_after_a_stop_it_goes_on_where_it_was() -> None:
    server = Server({**dict.fromkeys(range(1, 3_000), "hay"), 100: "needle"})
    server.back.begin("needle", 3_000)
    server.back.listed(server.messages[2_500:])
    server.back.stop()
    assert not server.back.asked(len(server.asked))
    server.back.begin("needle", 3_000)
    assert server.asked[-1] == (2_001, PAGE)
    found = server.search("needle", 3_000)
    assert found
    assert found[0].id == 100


@pytest.mark.parametrize("wanted", ["needle", "BOB"])
def test_nothing_is_found_of_who_is_ignored(wanted: str) -> None:
    server = Server({5: "needle", 6: "hay"})
    server.back = LookingBack(server.ask, lambda: server.now, {"bob"})
    assert server.search(wanted, 7) is None
