"""Machine mode: every request and every line of ``docs/protocol.md``."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.chat.lines import TOO_LONG, LineSplitter, TelnetFilter, clean
from chainchat.chat.modes.machine import MACHINE, Machine
from chainchat.chat.modes.mode import ChainView, ChatMessage, LoggedIn
from chainchat.chat.modes.verbs import LARGEST, READ_AT_ONCE
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import (
    EVERYBODY,
    Acknowledge,
    Chain,
    Delete,
    Grant,
    Invite,
    Kick,
    List,
    Login,
    Logout,
    Ping,
    ResetPassword,
    Resume,
    Say,
    Since,
    Who,
)

deterministic = settings(derandomize=True, max_examples=150, deadline=None)
machine = Machine()

TIME = 1795345387120  # 2026-11-22T11:03:07.120Z
MESSAGE = ChatMessage(1040, 1037, TIME, "bob", "alice", "you there?")
VIEW = ChainView(3, ("head", "middle", "tail"), "tail", "tail", 1042)


def parse(line):
    return machine.parse(line, logged_in=True)


def refusal(line):
    with pytest.raises(RefusedError) as caught:
        parse(line)
    return caught.value


# --- requests ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("@t LOGIN alice", Login("alice")),
        ("@t LOGIN alice quiet", Login("alice", quiet=True)),
        ("@t RESUME alice TOKEN after=1039", Resume("alice", "TOKEN", 1039)),
        ("@t SEND 18 bob :yes", Say("bob", "yes", 18)),
        ("@t SEND 18 * :yes", Say(EVERYBODY, "yes", 18)),
        ("@t ACK 0", Acknowledge(0)),
        ("@t SINCE 5", Since(5)),
        ("@t SINCE 5 10", Since(5, 10)),
        ("@t LIST", List()),
        ("@t LIST .*i", List(".*i")),
        ("@t WHO", Who()),
        ("@t DELETE bob", Delete("bob", confirmed=True)),
        ("@t INVITE bob", Invite("bob")),
        ("@t RESET bob", ResetPassword("bob")),
        ("@t OPERATOR bob on", Grant("bob", operator=True)),
        ("@t OPERATOR bob off", Grant("bob", operator=False)),
        ("@t KICK bob", Kick("bob")),
        ("@t CHAIN", Chain()),
        ("@t PING", Ping()),
        ("@t LOGOUT", Logout()),
        ("@t LOGOUT finished", Logout(finished=True)),
    ],
)
def test_each_request_of_the_protocol_is_understood(line, request_):
    assert parse(line) == ("t", request_)
    assert machine.parse(line, logged_in=False) == ("t", request_)


def test_verbs_ignore_case_and_words_may_stand_far_apart():
    assert parse("@t   send  18   bob  :yes") == ("t", Say("bob", "yes", 18))
    assert parse("@t ping  ") == ("t", Ping())


@pytest.mark.parametrize("text", [":", ": :", "  two  spaces  ", " ", "a :b", "@x PING", "+OK 1"])
def test_the_text_of_a_send_is_kept_to_the_letter(text):
    assert parse(f"@t SEND 1 * :{text}") == ("t", Say(EVERYBODY, text, 1))


@pytest.mark.parametrize("tag", ["1", "-", "_", "aZ09-_", "x" * 32])
def test_a_tag_is_handed_back_as_it_came(tag):
    assert parse(f"@{tag} PING") == (tag, Ping())


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        " @t PING",
        "@ PING",
        "@t\u00a0PING",
        "@a.b PING",
        "@" + "x" * 33 + " PING",
        "PING @t",
    ],
)
def test_a_line_without_a_tag_is_refused_and_the_answer_has_the_tag_dash(line):
    error = refusal(line)
    assert (error.code, error.tag) == (Code.BAD_ARGUMENTS, "-")
    assert "@tag VERB" in error.text


@pytest.mark.parametrize("line", ["@t", "@t "])
def test_a_tag_without_a_verb_is_refused_by_its_tag(line):
    error = refusal(line)
    assert (error.code, error.tag) == (Code.BAD_ARGUMENTS, "t")


@pytest.mark.parametrize(
    "arguments",
    [
        "LOGIN",
        "LOGIN a b",
        "LOGIN a quiet now",
        "RESUME a",
        "RESUME a TOKEN",
        "RESUME a TOKEN 5",
        "RESUME a TOKEN after=",
        "RESUME a TOKEN after=-1",
        "RESUME a TOKEN after=1 x",
        "SEND",
        "SEND 1",
        "SEND 1 bob",
        "SEND 1 bob hello",
        "SEND 1 bob:hello",
        "SEND 1 bob :",
        "SEND :hello",
        "SEND bob :hello",
        "SEND 1 2 bob :hello",
        "SEND 0 bob :hello",
        "SEND -1 bob :hello",
        f"SEND {LARGEST + 1} bob :hello",
        "SEND ١ bob :hello",
        "SEND 1_0 bob :hello",
        "ACK",
        "ACK x",
        "ACK -1",
        "ACK 1 2",
        f"ACK {2**63}",
        "ACK " + "9" * 1000,
        "SINCE",
        "SINCE x",
        "SINCE 1 x",
        "SINCE 1 2 3",
        "WHO bob",
        "DELETE",
        "DELETE a yes",
        "INVITE",
        "RESET a b",
        "OPERATOR a",
        "OPERATOR a maybe",
        "KICK",
        "CHAIN x",
        "PING x",
        "LOGOUT x",
    ],
)
def test_wrong_arguments_are_answered_with_the_right_form(arguments):
    error = refusal(f"@t7 {arguments}")
    assert (error.code, error.tag) == (Code.BAD_ARGUMENTS, "t7")
    assert f"@t7 {arguments.split()[0]}" in error.text


@pytest.mark.parametrize(
    "arguments",
    ["LOGIN a:b", "RESUME ü TOKEN after=1", "SEND 1 a,b :hi", "DELETE " + "x" * 33, "KICK a:b"],
)
def test_an_impossible_name_is_refused_by_its_tag(arguments):
    error = refusal(f"@t7 {arguments}")
    assert (error.code, error.tag) == (Code.BAD_NAME, "t7")


def test_the_largest_number_is_accepted():
    assert parse(f"@t ACK {LARGEST}") == ("t", Acknowledge(2**63 - 1))


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("@t SNED 1 * :x", "did you mean SEND?"),
        ("@t lgoin alice", "did you mean LOGIN?"),
        ("@t HELP", "the verbs are LOGIN, RESUME, SEND"),
        ("@t HELLO chainchat/1", "the verbs are LOGIN, RESUME, SEND"),
    ],
)
def test_an_unknown_verb_is_refused_with_what_there_is(line, hint):
    error = refusal(line)
    assert (error.code, error.tag) == (Code.UNKNOWN_VERB, "t")
    assert hint in error.text


def test_a_refusal_repeats_little_of_a_long_line():
    assert len(refusal("@t " + "x" * 1000).text) < 200


@pytest.mark.parametrize(
    ("line", "tag"),
    [
        (b"@t7 SEND 1 * :\xff", "t7"),
        (b"@t7", "t7"),
        (b"hello \x1b", "-"),
        (b"@t\x1b PING", "-"),
        (b"@" + b"x" * 33 + b" \xff", "-"),
        (b"", "-"),
    ],
)
def test_a_line_that_is_no_text_still_has_its_tag(line, tag):
    assert MACHINE.tag_of(line) == tag


# --- answers -----------------------------------------------------------------------------


def test_the_greeting():
    assert MACHINE.greeting("tail", 1024, ["127.0.0.1:7001", "127.0.0.1:7002"], 3) == (
        "+OK @- node=tail max-line=1024 nodes=127.0.0.1:7001,127.0.0.1:7002 sessions=3"
    )


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            machine.logged_in("1", LoggedIn("alice", "TOKEN", 1041, 1037, missed=3, number=8)),
            "+OK @1 session=TOKEN high=1041 mark=1037 number=8",
        ),
        (machine.resumed("1", "TOKEN", 1041, 8), "+OK @1 session=TOKEN high=1041 number=8"),
        (machine.sent("2", 1042, again=False), "+OK @2 id=1042"),
        (machine.sent("2", 1042, again=True), "+OK @2 id=1042 again"),
        (machine.done("t", "bob is deleted"), "+OK @t"),
        (machine.refused("t", Code.NO_SUCH_ACCOUNT, "no bob"), "-ERR 521 @t no bob"),
        (
            machine.refused("t", Code.NO_SUCH_ACCOUNT, "no bob", again=True),
            "-ERR 521 @t again no bob",
        ),
        (machine.refused("-", Code.LINE_TOO_LONG, "too long"), "-ERR 502 @- too long"),
        (machine.item("t", "alice"), "| @t alice"),
        (machine.end("t", "1 account"), ". @t"),
        (machine.day(TIME), None),
        (machine.notice("serving", "it goes on"), "NOTE serving :it goes on"),
        (
            machine.notice("waiting", "not confirmed yet", **{"for": "middle", "since": "3"}),
            "NOTE waiting for=middle since=3 :not confirmed yet",
        ),
    ],
)
def test_each_answer_is_written_as_in_the_protocol(answer, line):
    assert answer == line


def test_a_message_is_written_as_in_the_protocol():
    line = "MSG 1040 1037 2026-11-22T11:03:07.120Z bob alice :you there?"
    assert machine.message(MESSAGE, "alice") == line
    assert machine.message_item("t", MESSAGE, "alice") == f"| @t {line}"


@pytest.mark.parametrize(
    ("time", "written"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1000, "1970-01-01T00:00:01.000Z"),
        (951_782_400_005, "2000-02-29T00:00:00.005Z"),
        (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_is_exact_to_the_millisecond(time, written):
    assert written in machine.message(ChatMessage(1, 0, time, "a", "*", "x"), "b")


def test_the_chain_is_one_line():
    assert machine.chain("t", VIEW) == [
        "+OK @t epoch=3 members=head,middle,tail node=tail role=tail committed=1042"
    ]


def test_the_chain_names_who_is_away_and_a_role_is_one_word():
    view = ChainView(3, ("head", "tail"), "middle", "waits to be taken back", 9, ("head", "x"))
    assert machine.chain("t", view) == [
        "+OK @t epoch=3 members=head,tail node=middle role=waits-to-be-taken-back committed=9"
        " away=head,x"
    ]


def test_there_is_no_help():
    with pytest.raises(RefusedError) as caught:
        machine.help("t", "SEND")
    assert (caught.value.code, caught.value.tag) == (Code.UNKNOWN_VERB, "t")


# --- whatever comes ----------------------------------------------------------------------


def is_clean(text):
    try:
        return clean(text.encode()) == text
    except RefusedError:
        return False


def words(alphabet, size):
    return st.text(alphabet, min_size=1, max_size=size)


letters = "abcXYZ019-_"
tags = words(letters, 32)
names = words(letters + ".", 32)
numbers = st.integers(0, LARGEST)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(is_clean)
requests = st.one_of(
    st.builds(Login, names, st.booleans()),
    st.builds(Resume, names, words(letters, 22), numbers),
    st.builds(Say, names | st.just(EVERYBODY), texts, st.integers(1, LARGEST)),
    st.builds(Acknowledge, numbers),
    st.builds(Since, numbers, st.none() | numbers),
    st.builds(List, texts.map(str.strip)),
    st.builds(Delete, names, st.just(True)),
    st.sampled_from([Who(), Chain(), Ping(), Logout()]),
)


def written(request_):
    """A request as a client writes it, without its tag."""
    match request_:
        case Login(name, quiet):
            return f"LOGIN {name} quiet" if quiet else f"LOGIN {name}"
        case Resume(name, token, after):
            return f"RESUME {name} {token} after={after}"
        case Say(to, text, number):
            return f"SEND {number} {to} :{text}"
        case Acknowledge(id_):
            return f"ACK {id_}"
        case Since(id_, None):
            return f"SINCE {id_}"
        case Since(id_, count):
            return f"SINCE {id_} {count}"
        case List(pattern):
            return f"LIST {pattern}"
        case Delete(name):
            return f"DELETE {name}"
        case _:
            return type(request_).__name__.upper()


@deterministic
@given(tags, requests)
def test_what_a_client_writes_is_what_is_understood(tag, request_):
    assert parse(f"@{tag} {written(request_)}") == (tag, request_)


def understood(pieces):
    """The requests and refusals that a connection's octets become."""
    telnet_filter, splitter, outcomes = TelnetFilter(), LineSplitter(64), []
    for piece in pieces:
        splitter.add(telnet_filter.feed(piece)[0])
        for line in splitter.cut():
            try:
                outcomes.append(line if line is TOO_LONG else parse(clean(line)))
            except RefusedError as error:
                # A refusal may repeat what was typed, so it has to be as clean.
                outcomes.append((error.code, error.tag, clean(error.text.encode())))
    return outcomes


almost_requests = st.lists(
    st.sampled_from(
        [b"@t ", b"SEND ", b"1 ", b"* ", b":", b"hi", b"LIST ", b"\xff", b"\xfa", b"\t"]
    )
    | st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b"@", b"\x1b", b"\xc3\xa9", b"ACK ", b"\xf0"])
).map(b"".join)


@deterministic
@given(st.lists(st.binary() | almost_requests))
def test_any_bytes_in_any_pieces_are_requests_or_refusals(pieces):
    assert understood(pieces) == understood([b"".join(pieces)])


@deterministic
@given(texts, names)
def test_a_message_is_one_line_with_its_mark_and_no_control_whatever_is_said(text, name):
    _, said = parse(f"@t SEND 1 * :{text}")
    message = ChatMessage(7, 0, TIME, name, said.to, said.text)
    line = machine.message(message, name)
    assert line.startswith("MSG 7 0 ")
    assert line.endswith(f" :{text}")
    assert clean(line.encode()) == line
    assert line.splitlines() == [line]


def said_first(lines):
    """The result of ``leading_messages``, line by line."""
    sends = []
    for line in lines:
        if line is TOO_LONG:
            break
        try:
            tag, request = parse(clean(line))
        except RefusedError:
            break
        if not isinstance(request, Say):
            break
        sends.append((tag, request))
    return sends


SEND = b"@a SEND 7 * :hi"
SENDS = [SEND, b"@b  send 8  bob :", b"@b  sEnd 8  bob ::  x ", "@c SEND 9 bob :äöü".encode()]
OTHERS = [
    b"",
    b"@d PING",
    b"x@e SEND 7 * :hi",
    b"@f SEND 0 * :hi",
    b"@g SEND 7 b*b :hi",
    b"@h SEND 7 *",
    b"@i SEND 7 * :\xff",
    b"@j SEND 7 * :\ttab",
    b"@k SEND 7 * :\x1b",
    b"SEND 7 * :@l SEND 7 * :hi",
    TOO_LONG,
]


@pytest.mark.parametrize("odd", [*SENDS, *OTHERS])
@pytest.mark.parametrize("before", [0, 1, READ_AT_ONCE - 1, READ_AT_ONCE, READ_AT_ONCE + 1])
def test_of_many_lines_the_sends_that_come_first_are_read_as_each_would_be(odd, before):
    lines = [*[SEND] * before, odd, *[SEND] * READ_AT_ONCE]
    assert MACHINE.leading_messages(lines) == said_first(lines)


@deterministic
@given(st.lists(st.sampled_from([*[SEND] * 40, *SENDS, *OTHERS]), max_size=3 * READ_AT_ONCE))
def test_sends_among_anything_else_are_read_as_each_would_be(lines):
    assert MACHINE.leading_messages(lines) == said_first(lines)


texts = st.text(
    st.sampled_from("ny,=:+/ airscp@" + string.ascii_letters + string.digits), max_size=90
)


@given(st.sampled_from(["AUTH", "PROVE", "SECRET", "RESUME"]), texts)
@deterministic
def test_whatever_stands_in_a_proof_is_read_or_refused_with_the_tag(verb, rest):
    try:
        tag, _ = machine.parse(f"@7 {verb} {rest}", logged_in=False)
    except RefusedError as refusal:
        tag = refusal.tag
    assert tag == "7"
