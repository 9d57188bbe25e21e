"""What is looked at before a start: each that cannot be ends it in one line."""

import os
import sys
import time
from pathlib import Path

import pytest

from chainchat.config import ConfigError
from chainchat.service.preflight import (
    User,
    check_data,
    check_folder,
    check_system,
    keep_log_private,
    remove_stale,
)
from chainchat.storage.interface import StorageError

ME = User.chosen()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_log_that_is_no_file_is_refused(tmp_path, make):
    make(tmp_path / "log")
    with pytest.raises(
        SystemExit, match=r"^chainchat: .*/log is no file: name one with twistd --l"
    ):
        keep_log_private(tmp_path / "log", ME)


def test_a_log_may_go_nowhere():
    keep_log_private(Path(os.devnull), ME)
    assert Path(os.devnull).is_char_device()


def test_a_pid_file_that_cannot_be_removed_is_told(tmp_path):
    (tmp_path / "head.pid").mkdir()
    with pytest.raises(SystemExit, match=r"^chainchat: .*/head\.pid: "):
        remove_stale(tmp_path / "head.pid")
    remove_stale(tmp_path / "none.pid")


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("disk/head", "/disk/head: leads to nowhere, which is not there: is its disk not mounted"),
        ("disk", "/disk/head: .*/disk leads to nowhere, which is not there: is its disk not mou"),
    ],
)
def test_a_link_to_a_disk_that_is_not_mounted_is_told(tmp_path, link, said):
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to("nowhere")
    with pytest.raises(StorageError, match=said):
        check_data(tmp_path / "disk" / "head", ME)


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path):
    (tmp_path / "var").touch()
    with pytest.raises(StorageError, match=r"/var/head: .*/var is no folder$"):
        check_data(tmp_path / "var" / "head", ME)


def test_a_system_without_a_clock_that_goes_on_in_sleep_is_refused(monkeypatch):
    check_system()
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    monkeypatch.setattr(sys, "platform", "darwin")
    check_system()
    monkeypatch.setattr(sys, "platform", "freebsd14")
    with pytest.raises(ConfigError, match=r"^a node needs Linux or macOS: no clock of this "):
        check_system()


def test_a_folder_to_work_in_that_is_none_is_refused(tmp_path):
    check_folder(tmp_path)
    (tmp_path / "file").touch(0o777)
    for name in ("nowhere", "file"):
        with pytest.raises(SystemExit, match=rf"^chainchat: --rundir .*/{name}: there is no such "):
            check_folder(tmp_path / name)
