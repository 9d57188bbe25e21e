"""Names in the order of their keys."""

from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.chat.names import SortedNames

deterministic = settings(derandomize=True, max_examples=150, deadline=None)


@given(st.lists(st.tuples(st.booleans(), st.text("abc", max_size=3)), max_size=60))
@deterministic
def test_sorted_names_are_those_that_a_sorted_list_would_have(changes):
    expected = set()
    names = SortedNames(part=3)
    for add, name in changes:
        if add and name not in expected:
            names.add(name)
            expected.add(name)
        elif not add and name in expected:
            names.remove(name)
            expected.remove(name)
        assert list(names.after(name)) == sorted(each for each in expected if each > name)
        assert list(SortedNames(expected, part=3).after("")) == list(names.after(""))


@given(st.sets(st.text("abc", max_size=3)), st.sets(st.text("abc", max_size=3)), st.text("abc"))
@deterministic
def test_many_names_are_removed_together(names, gone, added):
    left = SortedNames(names, part=3)
    left.remove_all(gone)
    left.add(added + "d")
    assert list(left.after("")) == sorted({*names, added + "d"} - gone - {""})
