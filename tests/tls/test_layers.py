"""What comes in records of TLS that carry no text."""

from chainchat.tls.layers import AROUND_TEXT, LONGEST_RECORD, Textless

AROUND = 22
KEY_UPDATE = 27


def test_lines_in_records_of_their_own_are_all_text():
    textless = Textless()
    for _ in range(10_000):
        textless.text(10)
        assert textless.came(10 + AROUND) == 0


def test_a_long_record_that_comes_in_pieces_is_text_in_the_end():
    textless = Textless()
    for _ in range(10):
        for _ in range(15):
            assert textless.came(1_000) == 0
        textless.text(16_000 - AROUND)
        assert textless.came(1_000) == 0


def test_records_without_text_are_counted_from_the_longest_record_on():
    textless = Textless()
    came = sum(textless.came(KEY_UPDATE) for _ in range(10_000))
    assert came == 10_000 * KEY_UPDATE - LONGEST_RECORD


def test_a_little_text_among_them_hides_few():
    textless = Textless()
    came = 0
    for _ in range(10_000):
        textless.text(1)
        came += textless.came(10 * KEY_UPDATE + 1 + AROUND)
    assert came == 10_000 * (10 * KEY_UPDATE + AROUND - AROUND_TEXT) - LONGEST_RECORD
