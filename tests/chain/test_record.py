"""The record of membership: what it keeps of the configurations before."""

import pytest
from membership_house import configuration, member

from chainchat.chain.record import Record, forced_alone

ALONE = Record("id-head", 1, configuration=configuration(4, "head"))


@pytest.mark.parametrize("chain", [("head",), ("head", "middle")])
def test_what_the_only_member_decides_is_no_other_history(chain):
    assert ALONE.followed_by(configuration(5, *chain)).alone_in == 0


def test_what_others_decide_without_the_only_member_is_remembered_until_it_is_one_again():
    left = ALONE.followed_by(configuration(5, "middle"))
    later = left.followed_by(configuration(6, "middle", "tail"))
    assert (left.alone_in, later.alone_in) == (4, 4)
    assert later.followed_by(configuration(7, "middle", "tail", "head")).alone_in == 0
    assert forced_alone(later, member("head"), 1_000, ("middle", "tail")).alone_in == 0


def test_one_of_several_can_be_left_out_by_the_others():
    two = Record("id-head", 1, configuration=configuration(4, "head", "middle"))
    assert two.followed_by(configuration(5, "middle")).alone_in == 0
