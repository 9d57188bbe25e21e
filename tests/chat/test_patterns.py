"""No client chooses how long a regular expression takes.

Two repeats that can take the same characters, with nothing sure between them, are tried with all
ways to share: the square of the line's length.
"""

import importlib
import pkgutil
import re
from re import _constants as of
from re import _parser as parser

import pytest

import chainchat.chat

CHARACTERS = [*map(chr, range(128))]
REPEATS = (of.MAX_REPEAT, of.MIN_REPEAT, of.POSSESSIVE_REPEAT)


def patterns():
    """The patterns of the modules that read lines, by place."""
    for module in pkgutil.walk_packages(chainchat.chat.__path__, "chainchat.chat."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, re.Pattern):
                yield pytest.param(value, id=f"{module.name}.{name}")


def taken_by(operator, argument):
    """What one character of a pattern can be; None if it is more than a character."""
    match operator:
        case of.LITERAL | of.NOT_LITERAL:
            return {c for c in CHARACTERS if (c == chr(argument)) == (operator is of.LITERAL)}
        case of.ANY:
            return set(CHARACTERS) - {"\n"}
        case of.IN:
            inside = {c for c in CHARACTERS if any(is_in(c, each) for each in argument)}
            return set(CHARACTERS) - inside if argument[0][0] is of.NEGATE else inside
    return None


def is_in(character, each):
    match each:
        case of.LITERAL, code:
            return ord(character) == code
        case of.RANGE, (low, high):
            return low <= ord(character) <= high
        case of.CATEGORY, of.CATEGORY_DIGIT:
            return character.isdigit()
    return False


def left_over(items, given):
    """What repeats at the end could give back, if those before the items can give ``given``.

    Fails if two repeats can take the same.
    """
    for operator, argument in items:
        taken = taken_by(operator, argument)
        if taken is not None:
            given = given & taken
        elif operator is of.SUBPATTERN:
            given = left_over(argument[-1], given)
        elif operator is of.BRANCH:
            given = set().union(*(left_over(branch, given) for branch in argument[1]))
        elif operator in REPEATS:
            given = after_repeat(operator, *argument, given)
        else:
            assert operator in (of.AT, of.ASSERT_NOT), operator
    return given


def after_repeat(operator, least, most, items, given):
    taken = taken_by(*items[0]) if len(items) == 1 else None
    if taken is None or most is not of.MAXREPEAT:
        once = left_over(items, given)
        again = left_over(items, once) if most is of.MAXREPEAT else once
        return again if least else again | given
    assert not taken & given, f"two repeats can take {sorted(taken & given)}"
    kept = set() if least else given
    return kept if operator is of.POSSESSIVE_REPEAT else kept | taken


def check(pattern):
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode()
    left_over(parser.parse(text), set())


@pytest.mark.parametrize("pattern", [*patterns()])
def test_no_two_repeats_of_a_pattern_can_take_the_same_characters(pattern):
    check(pattern)


@pytest.mark.parametrize("text", ["a +(?: *b)", "a*?(x|)a+c", "(?: *,? *)*", "[^:]+:?[a-z]*!"])
def test_such_repeats_are_found(text):
    with pytest.raises(AssertionError, match="two repeats can take"):
        check(re.compile(text))
