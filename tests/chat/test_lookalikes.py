"""Names that deceive."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.chat.lookalikes import LookAlikes, is_servers_word, skeleton_of

deterministic = settings(derandomize=True, max_examples=300, deadline=None)

names = st.text("abil1I0oO-_.", min_size=1, max_size=6)


@pytest.mark.parametrize(
    "alike",
    [
        ["alice", "ALICE", "al1ce", "aIice", "a-l.i_ce", "AlLce"],
        ["bob", "b0b", "B-O-B", "b.0.b"],
        ["-", ".", "__"],
        ["user-10", "userl0", "user.i.o"],
    ],
    ids=" ".join,
)
def test_these_look_alike(alike):
    assert len({skeleton_of(name) for name in alike}) == 1


@pytest.mark.parametrize("pair", [("bob", "bop"), ("rn", "m"), ("user1", "user2"), ("u11", "u1")])
def test_these_do_not(pair):
    assert skeleton_of(pair[0]) != skeleton_of(pair[1])


@deterministic
@given(names)
def test_a_skeleton_is_its_own(name):
    assert skeleton_of(skeleton_of(name)) == skeleton_of(name)


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=2, unique=True))
def test_numbers_tell_names_apart(numbers):
    one, other = numbers
    assert skeleton_of(f"user{one}") != skeleton_of(f"user{other}")


@pytest.mark.parametrize(
    "name", ["you", "Everybody", "SERVER", "system", "5ystem", "sy-st.em", "y0u", "head", "spare1"]
)
def test_the_servers_words_and_the_positions(name):
    assert is_servers_word(name, ["head", "spare-1"]) == (name != "5ystem")


@deterministic
@given(st.sampled_from([1, 2, 1_000]), st.lists(st.tuples(st.booleans(), names), max_size=60))
def test_all_names_that_look_alike_are_found_and_no_others_whatever_comes_and_goes(part, steps):
    lookalikes, keys = LookAlikes(part=part), set()
    for adding, name in steps:
        key = name.lower()
        if adding and key not in keys:
            lookalikes.add(key)
            keys.add(key)
        elif not adding and key in keys:
            lookalikes.remove(key)
            keys.remove(key)
        alike = {other for other in keys if skeleton_of(other) == skeleton_of(name)}
        assert sorted(lookalikes.of(name)) == sorted(alike)
        assert sorted(LookAlikes(keys, part).of(name)) == sorted(alike)
    for key in keys:
        lookalikes.remove(key)
    assert lookalikes._parts == [[]]
