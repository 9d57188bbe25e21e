"""The pictures show what is so: drawn again, they are the same."""

import re
from xml.etree import ElementTree

import pytest

from tests.pictures.pictures import FOLDER, PICTURES, TERMINAL
from tests.pictures.terminal import SAID, draw, record

RENEWED = "If that is meant: python -m tests.pictures"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_drawn_again_is_the_same(name):
    assert PICTURES[name]() == (FOLDER / name).read_text("utf-8"), RENEWED


PAGE = "page.png"
"""Taken of a running chain by a browser."""


def test_no_picture_is_left_over():
    assert {path.name for path in FOLDER.iterdir()} == {*PICTURES, TERMINAL, PAGE}


@pytest.mark.parametrize("name", [*PICTURES, TERMINAL])
def test_a_picture_is_small_and_takes_nothing_from_elsewhere(name):
    text = (FOLDER / name).read_text("utf-8")
    ElementTree.fromstring(text)
    assert len(text) < 40_000
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}


def test_a_recording_shows_that_nothing_is_lost_when_a_server_dies():
    frames = record()
    last = frames[-1].text
    assert "1 unconfirmed line sent there" in last
    assert any("epoch 2" in frame.text for frame in frames)
    listed = [line for line in last.splitlines() if line.startswith("| #")]
    assert [line.partition(": ")[2] for line in listed] == [text for _, text in SAID]
    assert all(frame.caption in draw(frames) for frame in frames)


def test_the_recording_that_is_kept_shows_the_same():
    tree = ElementTree.parse(FOLDER / TERMINAL)
    last = "\n".join("".join(text.itertext()) for text in list(tree.getroot())[-1])
    assert "1 unconfirmed line sent there" in last
    assert all(text in last for _, text in SAID)


def test_the_picture_of_the_page_is_small():
    assert (FOLDER / PAGE).stat().st_size < 150_000
