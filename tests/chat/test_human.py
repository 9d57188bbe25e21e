"""Human mode: what people type is understood, what they are told teaches, nothing can be forged."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainchat.chat.lines import TOO_LONG, LineSplitter, TelnetFilter, clean
from chainchat.chat.modes.human import Human
from chainchat.chat.modes.mode import ChainView, ChatMessage, LoggedIn
from chainchat.chat.modes.typed import MOST_READ
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import (
    EVERYBODY,
    Chain,
    Delete,
    Hello,
    Help,
    Last,
    List,
    Login,
    Logout,
    Notices,
    Say,
    Who,
)

deterministic = settings(derandomize=True, max_examples=150, deadline=None)
human = Human()

TIME = 1795345387120  # 2026-11-22T11:03:07.120Z


def parse(line, *, logged_in=True):
    tag, request = human.parse(line, logged_in=logged_in)
    assert tag == ""
    return request


def refusal(line, *, logged_in=True):
    with pytest.raises(RefusedError) as caught:
        parse(line, logged_in=logged_in)
    return caught.value


# --- what people say ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["hello", "  indented", "trailing  ", "a / b", "@t PING", "> quoted", "# 1 > 2", "+OK 1"],
)
def test_plain_text_is_said_to_everybody_as_it_is(text):
    assert parse(text) == Say(EVERYBODY, text)


@pytest.mark.parametrize("line", [" /last 5", "    /LAST 5"])
def test_a_slip_before_a_verb_tells_nobody(line):
    assert parse(line) == Last(5)


@pytest.mark.parametrize("text", [" /usr/bin/last", " / 5", "  //last", " /* last */"])
def test_what_is_pasted_with_its_indentation_is_no_verb(text):
    assert parse(text) == Say(EVERYBODY, text)


@pytest.mark.parametrize("line", [b"/password", b" /Password", b"\t\xc2\xa0/password remove"])
def test_a_password_may_follow_a_change_of_it_behind_any_blanks(line):
    assert Human().precedes_secret(line, logged_in=True)
    assert Human().without_secrets(["hello", clean(line), "secret"], logged_in=True) == [
        "hello",
        clean(line),
    ]


@pytest.mark.parametrize(
    ("line", "text"), [("//text", "/text"), ("//", "/"), ("///x", "//x"), ("//list a", "/list a")]
)
def test_a_doubled_slash_says_one(line, text):
    assert parse(line) == Say(EVERYBODY, text)


@pytest.mark.parametrize(
    ("line", "to", "text"),
    [
        (">> bob: hi", "bob", "hi"),
        (">>bob:hi", "bob", "hi"),
        (">>  bob  :  hi there ", "bob", "hi there "),
        (">> bob: see http://x: /list", "bob", "see http://x: /list"),
        (">> b.o-b_1: >> x", "b.o-b_1", ">> x"),
        ("  >> bob: a slip of the space bar", "bob", "a slip of the space bar"),
    ],
)
def test_two_angles_say_it_to_one(line, to, text):
    assert parse(line) == Say(to, text)


@pytest.mark.parametrize(
    "line", [">>", ">> ", ">> bob", ">>bob hi", ">> bob:", ">> bob:  ", ">>: hi"]
)
def test_an_unfinished_private_message_teaches_its_form(line):
    error = refusal(line)
    assert error.code is Code.BAD_ARGUMENTS
    assert ">> name: text" in error.text


def test_a_private_message_to_an_impossible_name_is_refused():
    error = refusal(">> see http://x: it works")
    assert error.code is Code.BAD_NAME
    assert "'see http'" in error.text


def test_a_line_of_spaces_says_nothing():
    assert refusal("   ").code is Code.BAD_ARGUMENTS


# --- what people ask for -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("/list", List()),
        ("/list  .*i ", List(".*i")),
        ("/LIST", List()),
        ("/who", Who()),
        ("/who ", Who()),
        ("/last", Last(20)),
        ("/last 1", Last(1)),
        ("/last 500", Last(500)),
        ("/delete", Delete()),
        ("/delete bob", Delete("bob")),
        ("/delete bob yes", Delete("bob", confirmed=True)),
        ("/delete bob YES", Delete("bob", confirmed=True)),
        ("/delete yes", Delete("yes")),
        ("/chain", Chain()),
        ("/notices on", Notices(True)),
        ("/notices OFF", Notices(False)),
        ("/help", Help()),
        ("/help list", Help("list")),
        ("/logout", Logout()),
        ("/quit", Logout()),
        ("/Exit", Logout()),
        ("/quit bye all", Logout()),
    ],
)
def test_each_verb_is_understood_before_and_after_the_login(line, request_):
    assert parse(line) == request_
    assert parse(line, logged_in=False) == request_


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("/last x", "/last [n]"),
        ("/last 0", "/last [n]"),
        ("/last 501", "/last [n]"),
        ("/last -1", "/last [n]"),
        ("/last ٣", "/last [n]"),
        ("/last " + "9" * 900, "/last [n]"),
        ("/last 1 2", "/last [n]"),
        ("/who bob", "/who"),
        ("/chain x", "/chain"),
        ("/delete bob maybe", "/delete [name]"),
        ("/delete bob yes yes", "/delete [name]"),
        ("/notices", "/notices on|off"),
        ("/notices maybe", "/notices on|off"),
        ("/help a b", "/help [verb]"),
    ],
)
def test_wrong_arguments_teach_the_right_form(line, form):
    error = refusal(line)
    assert error.code is Code.BAD_ARGUMENTS
    assert f"type {form}: " in error.text


def test_deleting_an_impossible_name_is_refused():
    assert refusal("/delete b*b").code is Code.BAD_NAME


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("/lsit", "did you mean /list?"),
        ("/Delet bob", "did you mean /delete?"),
        ("/exot", "did you mean /exit?"),
        ("/msg bob hi", "did you mean >> name: text?"),
        ("/names", "did you mean /who?"),
        ("/xyzzy", "type /help"),
        ("/", "type /help"),
        ("/ list", "type /help"),
        ("/usr/bin/env", "double it: //"),
    ],
)
def test_an_unknown_verb_is_refused_with_what_was_meant(line, hint):
    error = refusal(line)
    assert error.code is Code.UNKNOWN_VERB
    assert hint in error.text


def test_a_refusal_repeats_little_of_a_long_line():
    long = "x" * 1000
    assert all(len(refusal(line).text) < 200 for line in [f"/{long}", f">> {long}: hi"])


# --- before the login --------------------------------------------------------------------


@pytest.mark.parametrize("line", ["alice", "  alice ", "a.b-c_9", "x" * 32])
def test_the_first_line_is_the_login(line):
    assert parse(line, logged_in=False) == Login(line.strip())


@pytest.mark.parametrize(
    ("line", "example"),
    [
        ("bob smith", "bob-smith"),
        ("José", "Jose"),
        ("你好", "bob"),
        ("!", "bob"),
        ("x" * 33, "x" * 32),
        (" ", "bob"),
    ],
)
def test_an_impossible_name_is_refused_with_the_rule_and_one_that_would_do(line, example):
    error = refusal(line, logged_in=False)
    assert error.code is Code.BAD_NAME
    assert "1 to 32 letters" in error.text
    assert error.text.endswith(f"for example {example}")
    assert parse(example, logged_in=False) == Login(example)


@pytest.mark.parametrize("line", [">> bob: hi", ">>", "//text"])
def test_nothing_can_be_said_before_the_login(line):
    assert refusal(line, logged_in=False).code is Code.LOG_IN_FIRST


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("/hello chainchat/1 client=c7f3", Hello("c7f3")),
        ("/hello chainchat/1 client=c7f3 notices=on", Hello("c7f3", notices=True)),
        ("/hello chainchat/1 client=c7f3 notices=off", Hello("c7f3")),
        ("/hello chainchat/1 notices=on color=red now client=c7f3", Hello("c7f3", notices=True)),
        ("/HELLO  chainchat/1  client=a-b_9", Hello("a-b_9")),
    ],
)
def test_a_program_says_hello(line, request_):
    assert parse(line, logged_in=False) == request_


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "everybody",
        "chainchat/1",
        "chainchat/1 client=",
        "chainchat/1 client=a.b",
        "chainchat/1 client=" + "x" * 33,
        "chainchat/1 client=a notices=maybe",
    ],
)
def test_a_wrong_hello_teaches_its_form(arguments):
    error = refusal(f"/hello {arguments}", logged_in=False)
    assert error.code is Code.BAD_ARGUMENTS
    assert "/hello chainchat/1 client=ID" in error.text


def test_hello_after_the_login_is_refused():
    assert refusal("/hello chainchat/1 client=a").code is Code.LOGGED_IN_ALREADY


# --- what people are shown ---------------------------------------------------------------


def welcomed(missed, *, more=False):
    return human.logged_in("", LoggedIn("alice", "TOKEN", 9, 5, missed, 1, more))


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            welcomed(missed=0),
            "+OK you are alice: type to talk to everybody, /help for all else",
        ),
        (welcomed(missed=1), "+OK you are alice: you missed 1 message"),
        (welcomed(missed=3), "+OK you are alice: you missed 3 messages"),
        (welcomed(missed=9, more=True), "+OK you are alice: you missed more than 9 messages"),
        (human.resumed("", "", 9, 1), "+OK"),
        (human.sent("", 1042, again=False), "+OK 1042"),
        (human.sent("", 1042, again=True), "+OK 1042 again"),
        (human.done("", "bob is deleted"), "+OK bob is deleted"),
        (human.refused("", Code.NO_SUCH_ACCOUNT, "no bob"), "-ERR 521 no bob"),
        (human.refused("", Code.NO_SUCH_ACCOUNT, "no bob", again=True), "-ERR 521 no bob"),
        (human.item("", "alice"), "| alice"),
        (human.end("", "3 accounts"), ". 3 accounts"),
        (human.notice("joined", "bob is here", name="bob"), "* bob is here"),
        (human.day(TIME), "* 2026-11-22"),
        (human.day(951_782_400_000), "* 2000-02-29"),
        (human.day(951_782_399_999), "* 2000-02-28"),
    ],
)
def test_each_answer_is_written_as_in_the_protocol(answer, line):
    assert answer == line


@pytest.mark.parametrize(
    ("sender", "to", "viewer", "line"),
    [
        ("alice", "*", "bob", "#1042 11:03 alice: hi"),
        ("alice", "*", "alice", "#1042 11:03 alice: hi"),
        ("alice", "bob", "bob", "#1042 11:03 alice >> you: hi"),
        ("alice", "bob", "BOB", "#1042 11:03 alice >> you: hi"),
        ("Alice", "bob", "alice", "#1042 11:03 you >> bob: hi"),
        ("alice", "alice", "alice", "#1042 11:03 you >> you: hi"),
    ],
)
def test_a_message_says_who_said_it_to_whom(sender, to, viewer, line):
    message = ChatMessage(1042, 0, TIME, sender, to, "hi")
    assert human.message(message, viewer) == line
    assert human.message_item("", message, viewer) == f"| {line}"


@pytest.mark.parametrize(
    ("time", "clock"),
    [
        (0, "00:00"),
        (59_999, "00:00"),
        (60_000, "00:01"),
        (86_399_999, "23:59"),
        (86_400_000, "00:00"),
    ],
)
def test_the_clock_shows_hours_and_minutes(time, clock):
    assert human.message(ChatMessage(1, 0, time, "a", "*", "x"), "b") == f"#1 {clock} a: x"


def test_the_chain_is_drawn_in_one_line():
    view = ChainView(3, ("head", "middle", "tail"), "tail", "tail", 1042)
    assert human.chain("", view) == [
        "| epoch 3   head -> middle -> [tail]   committed 1042",
        ". you are on tail, the tail",
    ]


def test_the_drawn_chain_marks_who_is_away_and_has_notes():
    notes = ("the clock is 2 s behind",)
    view = ChainView(3, ("head", "tail"), "head", "head", 1042, ("tail", "middle"), notes)
    assert human.chain("", view) == [
        "| epoch 3   [head] -> tail (away)   away: middle   committed 1042",
        "| the clock is 2 s behind",
        ". you are on head, the head",
    ]


def test_the_drawn_chain_says_why_a_node_has_no_role():
    view = ChainView(3, ("head", "middle"), "middle", "wedged", 1042)
    assert human.chain("", view) == [
        "| epoch 3   head -> [middle]   committed 1042",
        ". you are on middle, which waits to be taken back",
    ]


def test_a_chain_that_is_not_founded_is_said_to_be_none_yet():
    view = ChainView(0, (), "middle", "founding", 0, ("head",))
    assert human.chain("", view) == [
        "| epoch 0   no chain yet   away: head   committed 0",
        ". you are on middle, which waits for the chain to be founded",
    ]


VERBS = ["list", "delete", "who", "last", "chain", "notices", "help", "logout", "hello"]


def test_help_lists_every_line_of_the_protocol_and_fits_a_terminal():
    lines = human.help("", "")
    assert all(line.startswith("| ") for line in lines[:-1])
    assert lines[-1].startswith(". ")
    assert max(map(len, lines)) < 80
    forms = ["text ", "//text ", ">> name: text ", *(f"/{verb}" for verb in VERBS)]
    assert all(any(line.startswith(f"| {form}") for line in lines) for form in forms)


@pytest.mark.parametrize("verb", [*VERBS, "quit", "exit", "/list", "LIST", ">>", "//", "text"])
def test_help_tells_more_about_each_verb(verb):
    first, *more, last = human.help("", verb)
    assert first.startswith("| ")
    assert more
    assert all(line.startswith("|   ") for line in more)
    assert last == ". /help lists everything"
    assert max(map(len, [first, *more])) < 90


def test_help_about_an_unknown_verb_names_the_nearest():
    with pytest.raises(RefusedError) as caught:
        human.help("", "lsit")
    assert caught.value.code is Code.UNKNOWN_VERB
    assert "did you mean /list?" in caught.value.text


# --- whatever comes ----------------------------------------------------------------------


def understood(pieces, *, logged_in):
    """The requests and refusals that a connection's octets become."""
    telnet_filter, splitter, outcomes = TelnetFilter(), LineSplitter(64), []
    for piece in pieces:
        splitter.add(telnet_filter.feed(piece)[0])
        for line in splitter.cut():
            try:
                outcomes.append(
                    line if line is TOO_LONG else parse(clean(line), logged_in=logged_in)
                )
            except RefusedError as error:
                # A refusal may repeat what was typed, so it has to be as clean.
                outcomes.append((error.code, clean(error.text.encode())))
    return outcomes


almost_requests = st.lists(
    st.sampled_from(
        [b"/", b"/list", b"/hello ", b" ", b">>", b"bob", b":", b"\xff", b"\xfa", b"\t"]
    )
    | st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b"\x1b", b"\xc3\xa9", b"/help", b"\xf0"])
).map(b"".join)


@deterministic
@given(st.lists(st.binary() | almost_requests), st.booleans())
def test_any_bytes_in_any_pieces_are_requests_or_refusals(pieces, logged_in):
    whole = understood([b"".join(pieces)], logged_in=logged_in)
    assert understood(pieces, logged_in=logged_in) == whole


def is_clean(text):
    try:
        return clean(text.encode()) == text
    except RefusedError:
        return False


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(is_clean)
forgeries = st.sampled_from(["+OK 1", "-ERR 500 x", "* notice", "| x", ". end", "#1 00:00 bob: x"])


@deterministic
@given(
    texts | forgeries, st.sampled_from(["alice", "bob", "eve"]), st.sampled_from(["", ">> bob:"])
)
def test_what_is_shown_is_one_line_with_its_mark_and_no_control_whatever_is_said(
    text, viewer, prefix
):
    try:
        request = parse(prefix + text)
    except RefusedError:
        return
    if not isinstance(request, Say):
        return
    line = human.message(ChatMessage(7, 0, TIME, "alice", request.to, request.text), viewer)
    assert line.startswith("#7 11:03 ")
    assert line.endswith(f": {request.text}")
    assert clean(line.encode()) == line
    assert line.splitlines() == [line]


def test_of_an_impossible_name_only_the_beginning_is_read(monkeypatch):
    """Many combining marks take time that grows with their number's square."""
    read, normalize = [], unicodedata.normalize
    monkeypatch.setattr(
        unicodedata, "normalize", lambda form, text: read.append(text) or normalize(form, text)
    )
    with pytest.raises(RefusedError) as refused:
        Human().parse("José " + "\u0301" * 500 + "\u0316" * 500, logged_in=False)
    assert refused.value.code is Code.BAD_NAME
    assert refused.value.text.endswith("; type for example Jose")
    assert read
    assert max(map(len, read)) <= MOST_READ
