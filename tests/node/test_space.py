"""Room on a disk: when it is low, when there is enough again, and what operators are told."""

import pytest

from chainchat.node.space import Space, free_octets
from chainchat.storage.interface import StorageError

MB = 1_000_000


class Disk:
    """A disk with so much room, in megabytes, measured after each change."""

    def __init__(self, stop):
        self.free = 0
        self.space = Space(lambda: self.free * MB, stop * MB)

    def look(self, *free):
        """The log's line after each change."""
        said = []
        for self.free in free:
            said.append(self.space.look(0.0))
        return said

    def low(self, *free):
        """True or False for low, after each change."""
        states = []
        for self.free in free:
            self.space.look(0.0)
            states.append(self.space.low)
        return states


def test_a_disk_is_low_below_the_bound_and_well_again_a_tenth_above_it():
    assert Disk(100).low(5_000, 100, 99, 100, 109, 110, 100, 99) == [
        False, False, True, True, True, False, False, True,
    ]  # fmt: skip


def test_the_log_says_so_once_at_each_bound():
    assert Disk(100).look(
        2_000, 1_000, 999, 600, 99, 98, 105, 110, 640, 1_000, 999, 1_100, 999
    ) == [
        "",
        "",
        "free disk: 999 MB; with less than 100 MB nothing new is taken",
        "",
        "free disk: 99 MB: no chain with this node takes anything new until it is 110 MB",
        "",
        "",
        "free disk: 110 MB: room again",
        "",
        "",
        "",
        "",
        "free disk: 999 MB; with less than 100 MB nothing new is taken",
    ]


def test_people_are_shown_what_is_free_while_it_is_not_plenty():
    disk = Disk(1)
    notes = []
    for free in (20, 9.6, 0.25, 10.5, 12):
        disk.look(free)
        notes.append(disk.space.note)
    assert notes == ["", "free disk: 9.6 MB", "free disk: 0.2 MB", "free disk: 10 MB", ""]


def test_with_no_bound_a_disk_is_never_low():
    space = Space(lambda: 0, 0)
    assert (space.look(0.0), space.low, space.note) == ("", False, "")


def test_what_is_free_is_what_the_file_system_says(tmp_path):
    assert 0 <= free_octets(tmp_path) < 1 << 60


def test_a_folder_that_is_gone_is_an_error_of_the_disk(tmp_path):
    with pytest.raises(StorageError, match="/gone: No such file or directory"):
        free_octets(tmp_path / "gone")


# --- how long it lasts -------------------------------------------------------------------


def fills(free, per_minute, minutes):
    """A disk that is looked at every second, as it fills."""
    disk = Disk(100)
    for second in range(minutes * 60 + 1):
        disk.free = free - per_minute * second / 60
        disk.space.look(float(second))
    return disk.space


def test_a_disk_that_fills_tells_how_long_it_lasts_at_this_rate():
    space = fills(1_600, 10, 60)
    assert space.left == pytest.approx((1_000 - 100) / 10 * 60)
    assert space.note == ""
    assert fills(1_590, 10, 60).note == "free disk: 990 MB, full in 1.5 hours"


def test_after_a_few_minutes_nothing_is_foretold():
    assert fills(1_600, 10, 4).left is None
    assert fills(1_600, 10, 5).left is not None


def test_a_disk_that_does_not_fill_lasts():
    assert fills(1_600, 0, 60).left is None
    assert fills(1_600, -10, 60).left is None


def test_what_is_months_ahead_is_not_told():
    assert fills(10_000_000, 0.001, 60).left is None


def test_the_last_hour_counts():
    disk = Disk(100)
    for minute in range(240):
        disk.free = 10_000 - (minute if minute < 120 else 120 + 10 * (minute - 120))
        disk.space.look(minute * 60.0)
    assert disk.space.left == pytest.approx((disk.free - 100) / 10 * 60, rel=0.01)
