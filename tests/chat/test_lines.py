"""Octets become clean lines, wherever they are cut and whatever they are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.chat.lines import TOO_LONG, LineSplitter, TelnetFilter, clean, is_http, typed
from chainchat.chat.refusals import Code, RefusedError

deterministic = settings(derandomize=True, max_examples=150, deadline=None)

# Octets that are likely to meet: commands, endings, the parts of both, and a little text.
troublesome = st.lists(
    st.sampled_from(
        [b"\xff", b"\xf0", b"\xfa", b"\xfb", b"\xfc", b"\xfd", b"\xfe", b"\xf4", b"\x06"]
    )
    | st.sampled_from([b"\r", b"\n", b"\0", b"a", b"hello", b"\xc3\xa9"]),
    max_size=40,
).map(b"".join)


def cut(data, sizes):
    """``data`` in pieces of these sizes, the rest as the last one."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def filtered(*pieces):
    telnet_filter = TelnetFilter()
    results = [telnet_filter.feed(piece) for piece in pieces]
    return b"".join(data for data, _ in results), b"".join(answer for _, answer in results)


def split(*pieces, limit=20, typed=False):
    splitter = LineSplitter(limit)
    lines = []
    for piece in pieces:
        splitter.add(piece, typed=typed)
        lines += splitter.cut()
    return lines


def octets(data):
    return [bytes([octet]) for octet in data]


# --- telnet ------------------------------------------------------------------------------


def octets_kept(step):
    values = [getattr(step, name) for name in step.__slots__]
    return sum(len(value) for value in values if isinstance(value, bytes | bytearray))


@pytest.mark.parametrize(
    ("received", "data", "answer"),
    [
        (b"hello\r\n", b"hello\r\n", b""),
        (b"a\xff\xfb\x18b", b"ab", b"\xff\xfe\x18"),
        (b"a\xff\xfd\x01b", b"ab", b"\xff\xfc\x01"),
        (b"a\xff\xfc\x18\xff\xfe\x01b", b"ab", b""),
        (b"a\xff\xffb", b"a\xffb", b""),
        (b"\xff\xff\xff\xff", b"\xff\xff", b""),
        (b"a\xff\xf4\xff\xf5\xff\xf6\xff\xf7\xff\xf8\xff\xf9\xff\xf1b", b"ab", b""),
        (b"a\xff\xfa\x18\x00xterm\xff\xf0b", b"ab", b""),
        (b"a\xff\xfa\x18\xff\xff\xf0\xff\xfb\x01\r\n\xff\xf0b", b"ab", b""),
        (b"a\xff\xfa\x18\xff\xfb\xff\xf0b", b"ab", b""),
        (b"a\xff\xfb\xffb", b"ab", b"\xff\xfe\xff"),
    ],
    ids=[
        "plain data passes",
        "WILL is answered DONT",
        "DO is answered WONT",
        "WONT and DONT are not answered",
        "a doubled IAC is one octet",
        "two doubled IACs are two octets",
        "other commands are skipped",
        "a subnegotiation is skipped",
        "a subnegotiation may hold anything",
        "a subnegotiation ends at the first IAC SE",
        "an option may be 255",
    ],
)
def test_telnet_commands(received, data, answer):
    assert filtered(received) == (data, answer)
    assert filtered(*octets(received)) == (data, answer)


def test_ctrl_c_of_a_telnet_client_gets_the_answer_it_waits_for():
    assert filtered(b"\xff\xf4\xff\xfd\x06hello\r\n") == (b"hello\r\n", b"\xff\xfc\x06")


def test_a_subnegotiation_that_never_ends_is_not_kept():
    telnet_filter = TelnetFilter()
    telnet_filter.feed(b"\xff\xfa")
    for _ in range(100):
        assert telnet_filter.feed(b"x" * 10_000 + b"\xff") == (b"", b"")
    kept = octets_kept(telnet_filter)
    assert kept == 1


@deterministic
@given(troublesome | st.binary(), st.lists(st.integers(0, 5)))
def test_the_filter_gives_the_same_however_the_bytes_are_cut(data, sizes):
    assert filtered(*cut(data, sizes)) == filtered(data)


@deterministic
@given(st.binary())
def test_data_with_every_iac_doubled_passes_unchanged(data):
    assert filtered(data.replace(b"\xff", b"\xff\xff")) == (data, b"")


@deterministic
@given(troublesome)
def test_no_feed_is_answered_with_more_than_came(data):
    kept, answer = filtered(data)
    assert len(kept) + len(answer) <= len(data)


# --- lines -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received", "lines"),
    [
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\r\0b\r\0", [b"a", b"b"]),
        (b"a\nb\r\nc\r\0", [b"a", b"b", b"c"]),
        (b"\n\r\n\r\0", [b"", b"", b""]),
        (b"a", []),
        (b"a\r", []),
        (b"a\rb\n", [b"a\rb"]),
        (b"a\r\r\n", [b"a\r"]),
        (b"a\r\r\0", [b"a\r"]),
        (b"a\n\0b\n", [b"a", b"\0b"]),
    ],
)
def test_lines_end_in_lf_crlf_or_crnul(received, lines):
    assert split(received) == lines
    assert split(*octets(received)) == lines


@pytest.mark.parametrize(
    ("received", "lines"),
    [
        (b"a\rb\r", [b"a", b"b"]),
        (b"a\r\nb\r\0c\nd\r", [b"a", b"b", b"c", b"d"]),
        (b"a\r\r\nb\n", [b"a", b"", b"b"]),
        (b"\0a\0b\0\n\0", [b"ab"]),
        (b"a", []),
    ],
)
def test_of_people_a_cr_alone_ends_a_line_and_a_nul_is_nothing(received, lines):
    assert split(received, typed=True) == lines
    assert split(*octets(received), typed=True) == lines


def test_what_a_program_says_with_its_hello_is_not_cut_at_a_cr():
    assert split(b"/Hello x\na\rb\n\0\n", typed=True) == [b"/Hello x", b"a\rb", b"\0"]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r\0"])
def test_a_line_may_have_exactly_the_limit_without_its_ending(ending):
    assert split(b"x" * 20 + ending, limit=20) == [b"x" * 20]
    assert split(b"x" * 21 + ending, limit=20) == [TOO_LONG]


def test_a_line_over_the_limit_is_one_marker_in_its_place():
    received = b"before\n" + b"x" * 1000 + b"\nafter\n"
    assert split(received) == [b"before", TOO_LONG, b"after"]
    assert split(*octets(received)) == [b"before", TOO_LONG, b"after"]


def test_a_line_that_never_ends_is_not_kept():
    splitter = LineSplitter(20)
    for _ in range(100):
        splitter.add(b"x" * 10_000)
    assert splitter.cut() == []
    kept = octets_kept(splitter)
    assert kept == 21
    splitter.add(b"\nnext\n")
    assert splitter.cut() == [TOO_LONG, b"next"]


def test_no_more_lines_are_cut_than_are_wanted():
    splitter = LineSplitter(20)
    splitter.add(b"one\r\ntwo\nthree\nfo")
    assert splitter.cut(2) == [b"one", b"two"]
    assert (bool(splitter), len(splitter.complete)) == (True, 6)
    splitter.add(b"ur\n")
    assert splitter.cut(2) == [b"three", b"four"]
    assert not splitter


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (b"one\ntwo\n", b"three\n", [b"three"]),
        (b"one\ntw", b"o\nthree\n", [b"three"]),
        (b"tw", b"o and more", []),
        (b"two\r", b"\nthree\r\n", [b"three"]),
        (b"two\r", b"\0three\r\0", [b"three"]),
        (b"", b"three\n", [b"three"]),
    ],
)
def test_what_is_dropped_is_dropped_to_the_end_of_its_line(before, after, lines):
    splitter = LineSplitter(20)
    splitter.add(before)
    splitter.drop()
    splitter.drop()
    splitter.add(after)
    assert splitter.cut() == lines


@deterministic
@given(troublesome, st.integers(1, 3), st.integers(0, 8))
def test_the_splitter_gives_the_same_whenever_lines_are_cut(data, most, limit):
    splitter = LineSplitter(limit)
    splitter.add(data)
    lines = []
    while splitter:
        lines += splitter.cut(most)
    assert lines == split(data, limit=limit)


@deterministic
@given(troublesome, st.lists(st.integers(0, 5)), st.integers(0, 8))
def test_the_splitter_gives_the_same_however_the_bytes_are_cut(data, sizes, limit):
    assert split(*cut(data, sizes), limit=limit) == split(data, limit=limit)


@deterministic
@given(troublesome)
def test_no_line_holds_an_ending(data):
    for line in split(data, limit=1000):
        assert not any(ending in line for ending in (b"\n", b"\r\0"))


# --- text --------------------------------------------------------------------------------


def test_text_is_decoded_and_kept_as_it_is():
    assert clean("  héllo – 你好 👋  ".encode()) == "  héllo – 你好 👋  "


def test_a_tab_is_a_space():
    assert clean(b"a\tb") == "a b"


@pytest.mark.parametrize("line", [b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"caf\xe9"])
def test_what_is_not_utf8_is_refused(line):
    with pytest.raises(RefusedError) as refusal:
        clean(line)
    assert refusal.value.code is Code.NOT_UTF8


FORBIDDEN = [
    *(point for point in range(0x20) if point != 0x09),
    *range(0x7F, 0xA0),
    *(0x061C, 0x200E, 0x200F, 0x2028, 0x2029),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x2070),
    *range(0xFFF9, 0xFFFC),
]


def test_exactly_the_characters_of_the_protocol_are_refused():
    refused = []
    for point in range(0x110000):
        if 0xD800 <= point < 0xE000:  # surrogates: no UTF-8 stands for one
            continue
        try:
            clean(chr(point).encode())
        except RefusedError:
            refused.append(point)
    assert refused == FORBIDDEN


@pytest.mark.parametrize(("line", "name"), [("a\x1b[2Jb", "U+001B"), ("a\u202eb", "U+202E")])
def test_the_refusal_names_the_control_character_and_does_not_repeat_it(line, name):
    with pytest.raises(RefusedError) as refusal:
        clean(line.encode())
    assert refusal.value.code is Code.CONTROL_CHARACTER
    assert name in refusal.value.text
    assert refusal.value.text.isprintable()


@pytest.mark.parametrize(
    "line",
    ["GET / HTTP/1.1", "POST /a?b=c HTTP/1.0", "PRI * HTTP/2.0", "Host: localhost:7001", "host:x"],
)
def test_http_is_recognised(line):
    assert is_http(line)


@pytest.mark.parametrize("line", ["alice", "GET", "get / now", "/hello chainchat/1", "ghost: hi"])
def test_a_chat_line_is_not_http(line):
    assert not is_http(line)


# --- what is typed in secret -----------------------------------------------------------------

WILL_ECHO, WONT_ECHO = b"\xff\xfb\x01", b"\xff\xfc\x01"
DO_ECHO, DONT_ECHO = b"\xff\xfd\x01", b"\xff\xfe\x01"


def test_do_echo_is_an_answer_while_we_offer_it_and_a_request_before_and_after():
    telnet = TelnetFilter()
    assert telnet.feed(DO_ECHO) == (b"", WONT_ECHO)
    assert telnet.conceal() == WILL_ECHO
    assert telnet.conceal() == b""  # it was offered already
    assert telnet.feed(b"a" + DO_ECHO + b"b") == (b"ab", b"")
    assert telnet.conceals
    assert telnet.reveal() == WONT_ECHO
    assert not telnet.conceals
    assert telnet.feed(DONT_ECHO) == (b"", b"")
    assert telnet.feed(DO_ECHO) == (b"", WONT_ECHO)


@pytest.mark.parametrize("answer", [b"", DONT_ECHO])
def test_a_client_that_shows_what_is_typed_is_not_told_to_show_it_again(answer):
    telnet = TelnetFilter()
    telnet.conceal()
    assert telnet.feed(answer) == (b"", b"")
    assert not telnet.conceals
    assert telnet.reveal() == b""
    assert telnet.conceal() == WILL_ECHO


def test_an_agreement_that_comes_too_late_is_taken_back():
    telnet = TelnetFilter()
    telnet.conceal()
    telnet.reveal()
    assert telnet.feed(DO_ECHO) == (b"", WONT_ECHO)


@pytest.mark.parametrize(
    ("keys", "left"),
    [
        (b"secret", b"secret"),
        (b"secrex\x7ft", b"secret"),
        (b"secrex\x08t", b"secret"),
        (b"\x7f\x08secret", b"secret"),
        ("sé".encode() + b"\x7fecret", b"secret"),
        ("\U0001f600".encode() + b"\x7fsecret", b"secret"),
        (b"\x80\x80\x7fsecret", b"secret"),
        (b"wrong\x15secret", b"secret"),
        (b"secret\x15", b""),
    ],
)
def test_keys_that_rub_out(keys, left):
    assert typed(keys) == left


@given(st.text(max_size=20), st.text(min_size=1, max_size=8))
@deterministic
def test_as_many_backspaces_as_characters_leave_what_was_there(before, after):
    keys = before.encode() + after.encode() + b"\x7f" * len(after)
    if not set(before + after) & set("\x08\x7f\x15"):
        assert typed(keys) == before.encode()
