"""People who talk through a real chain: with sockets, with nc and with telnet."""

import itertools
import re
import subprocess
import time
from collections.abc import Iterator

import pexpect
import pytest
from cluster import Cluster
from commands import run
from talking import DEADLINE, HOST, Caller, Person, Program, until

from chainchat import __version__

_counter = itertools.count(1)


@pytest.fixture
def names() -> Iterator[list[str]]:
    """Names that no other test uses: the chain is shared."""
    n = next(_counter)
    return iter([f"{name}{n}" for name in ("alice", "bob", "carol")])


def missed(line: str) -> int:
    found = re.search(r"you missed (\d+) message", line)
    return int(found[1]) if found else 0


# --- saying and hearing


def test_what_is_said_at_one_node_is_heard_at_the_others(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, carol = names
    with (
        Person(cluster["head"].address, alice) as at_head,
        Person(cluster["middle"].address, bob) as at_middle,
        Person(cluster["tail"].address, carol) as at_tail,
    ):
        for speaker, name, listeners in (
            (at_head, alice, (at_middle, at_tail)),
            (at_middle, bob, (at_head, at_tail)),
            (at_tail, carol, (at_head, at_middle)),
        ):
            reply = speaker.ask(f"hello from {name}")
            number = reply.removeprefix("+OK ")
            assert number.isdigit()
            for listener in listeners:
                line = listener.hear(f"hello from {name}").string
                assert re.fullmatch(rf"#{number} \d\d:\d\d {name}: hello from {name}", line)


def test_what_is_said_to_one_is_heard_by_nobody_else(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, carol = names
    with (
        Person(cluster["head"].address, alice) as sender,
        Person(cluster["tail"].address, bob) as recipient,
        Person(cluster["middle"].address, carol) as other,
    ):
        assert sender.ask(f">> {bob.upper()}: psst").startswith("+OK ")
        assert sender.ask(f">>{bob}:and without spaces").startswith("+OK ")
        assert sender.ask("for all").startswith("+OK ")
        heard = recipient.lines_to("for all")
        assert [re.sub(r"^#\d+ \d\d:\d\d ", "", line) for line in heard if line[0] == "#"] == [
            f"{alice} >> you: psst",
            f"{alice} >> you: and without spaces",
            f"{alice}: for all",
        ]
        assert not [line for line in other.lines_to("for all") if "psst" in line]
        assert not [line for line in sender.heard if line.startswith("#")]


def test_two_slashes_say_one(cluster: Cluster, names: Iterator[str]) -> None:
    alice, bob, _ = names
    with (
        Person(cluster["head"].address, alice) as sender,
        Person(cluster["tail"].address, bob) as recipient,
    ):
        assert sender.ask("//list is a verb").startswith("+OK ")
        assert recipient.hear(f"{alice}: (.*)")[1] == "/list is a verb"


def test_who_was_away_gets_everything_in_order_at_another_node(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, _ = names
    with Person(cluster["head"].address, bob) as first:
        assert first.ask("/logout") == "+OK goodbye"
        assert first.end() == []
    with Person(cluster["middle"].address, alice) as sender:
        assert sender.ask("for all, 1").startswith("+OK ")
        assert sender.ask(f">> {bob}: for you, 2").startswith("+OK ")
        assert sender.ask("for all, 3").startswith("+OK ")
    with Person(cluster["tail"].address, bob) as again:
        assert again.welcome == f"+OK you are {bob}: you missed 3 messages"
        lines = [line for line in again.lines_to("for all, 3") if line.startswith("#")]
        assert [line.partition(": ")[2] for line in lines] == [
            "for all, 1",
            "for you, 2",
            "for all, 3",
        ]
        again.ask("/logout")
    with Person(cluster["head"].address, bob) as third:
        assert missed(third.welcome) == 0


def test_a_message_to_nobody_is_an_error_for_its_sender(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, *_ = names
    with Person(cluster["tail"].address, alice) as sender:
        reply = sender.ask(">> nobody-at-all: are you there?")
        assert reply.startswith("-ERR 521 there is no account nobody-at-all")
        assert sender.ask("but the line goes on").startswith("+OK ")


def test_a_name_in_use_is_refused_whatever_its_case_and_the_node(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, _ = names
    with Person(cluster["head"].address, alice), Person(cluster["tail"].address) as second:
        for attempt in (alice, alice.upper()):
            assert second.ask(attempt).startswith(f"-ERR 433 the name {alice} is in use")
        assert second.ask(bob).startswith(f"+OK you are {bob}")


def test_others_are_told_who_comes_and_goes_unless_they_do_not_want_to(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, carol = names
    with (
        Person(cluster["head"].address, alice) as told,
        Person(cluster["head"].address, bob) as untold,
    ):
        assert untold.ask("/notices off") == "+OK who comes and goes is not shown"
        with Person(cluster["tail"].address, carol):
            told.hear(rf"^\* {carol} has joined$")
        told.hear(rf"^\* {carol} has left$")
        told.ask("that was all")
        assert not [line for line in untold.lines_to("that was all") if carol in line]


# --- asking


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", ["dave", "Eve", "harriet", "max"]),
        ("E", ["Eve"]),
        ("d", ["dave"]),
        (".a", ["dave", "harriet", "max"]),
        (".*i", ["harriet"]),
        ("zz", []),
        ("[dm]a.", ["dave", "max"]),
    ],
)
def test_list_shows_the_names_that_begin_with_a_match(
    named: Cluster, pattern: str, expected: list[str]
) -> None:
    for node in named.nodes.values():
        with Person(node.address, "max") as person:
            assert person.listed(f"/list {pattern}") == expected
            person.ask("/logout")


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A chain with accounts that are known."""
    with Cluster(tmp_path_factory.mktemp("named"), ("head", "tail")) as cluster:
        cluster.start()
        for name in ("Eve", "dave", "harriet", "max"):
            with Person(cluster["head"].address, name) as person:
                person.ask("/logout")
        yield cluster
        cluster.stop()
        assert cluster.complaints() == []


def test_a_bad_pattern_is_refused_with_the_reason(cluster: Cluster, names: Iterator[str]) -> None:
    alice, *_ = names
    with Person(cluster["head"].address, alice) as person:
        assert person.ask("/list (").startswith("-ERR 531 not a regular expression: missing )")
        assert alice in person.listed("/list")


def test_who_is_on_at_all_nodes(cluster: Cluster, names: Iterator[str]) -> None:
    alice, bob, carol = names
    with Person(cluster["head"].address, alice) as person, Person(cluster["tail"].address, bob):
        with Person(cluster["middle"].address, carol):
            assert {alice, bob, carol} <= set(person.listed("/who"))
        until(lambda: carol not in person.listed("/who"), lambda: f"{carol} does not leave")


def test_last_shows_what_was_said_and_ones_own_private_messages(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, carol = names
    with (
        Person(cluster["head"].address, alice) as one,
        Person(cluster["middle"].address, bob) as two,
        Person(cluster["tail"].address, carol) as three,
    ):
        one.ask("to all")
        one.ask(f">> {bob}: to bob")
        two.ask(f">> {alice}: to alice")
        three.ask("to all again")
        shown = {
            person: [line.split(" ", 2)[2] for line in person.listed(f"/last {count}")][-count:]
            for person, count in ((one, 4), (two, 4), (three, 2))
        }
        assert shown[one] == [
            f"{alice}: to all",
            f"you >> {bob}: to bob",
            f"{bob} >> you: to alice",
            f"{carol}: to all again",
        ]
        assert shown[two] == [
            f"{alice}: to all",
            f"{alice} >> you: to bob",
            f"you >> {alice}: to alice",
            f"{carol}: to all again",
        ]
        assert shown[three] == [f"{alice}: to all", f"{carol}: to all again"]
        assert len(three.listed("/last 1")) == 1
        assert one.ask("/last 0").startswith("-ERR 501 type /last [n]")


def test_chain_draws_the_chain_from_where_one_is(cluster: Cluster) -> None:
    for position, drawn, role in (
        ("head", "[head] -> middle -> tail", "the head"),
        ("middle", "head -> [middle] -> tail", "between head and tail"),
        ("tail", "head -> middle -> [tail]", "the tail"),
    ):
        with Person(cluster[position].address) as person:
            person.say("/chain")
            lines = [line for line in person.lines_to(r"^\. ") if line[0] != "*"]
            assert re.fullmatch(rf"\| epoch 1   {re.escape(drawn)}   committed \d+", lines[0])
            assert lines[-1] == f". you are on {position}, {role}, chainchat {__version__}"


def test_help_tells_what_there_is(cluster: Cluster, names: Iterator[str]) -> None:
    with Person(cluster["head"].address) as person:
        overview = person.listed("/help")
        verbs = ("/who", "/list", "/last", "/chain", "/notices", "/delete", "/help", "/logout")
        for verb in (*verbs, ">> name: text", "//text"):
            assert [line for line in overview if line.startswith(verb)], verb
        for verb in verbs:
            assert person.listed(f"/help {verb}")[0].startswith(verb)
        assert person.ask("/help dance").startswith("-ERR 500 there is no /dance")


# --- deleting


def test_a_deleted_account_is_told_and_its_name_inherits_nothing(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, _ = names
    with (
        Person(cluster["head"].address, alice) as one,
        Person(cluster["tail"].address, bob) as two,
    ):
        one.ask(f">> {bob}: for the old one")
        two.hear("for the old one")
        refused = one.ask(f"/delete {bob.upper()}")
        assert refused.startswith("-ERR 534 ")
        assert f"/delete {bob} yes" in refused
        assert two.ask("still here").startswith("+OK ")
        assert one.ask(f"/delete {bob} yes") == f"+OK {bob} is deleted"
        assert f"* the account {bob} was deleted by {alice}" in two.end()
        assert one.ask(f">> {bob}: too late").startswith("-ERR 521 ")
        assert bob not in one.listed("/list")
        assert one.ask(f"/delete {bob} yes").startswith("-ERR 521 ")
        with Person(cluster["middle"].address, bob) as new:
            assert missed(new.welcome) == 0
            assert not [line for line in new.listed("/last") if "old one" in line]


def test_ones_own_account_is_deleted_when_no_name_is_given(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, _ = names
    with (
        Person(cluster["middle"].address, alice) as one,
        Person(cluster["tail"].address, bob) as two,
    ):
        assert f"/delete {alice} yes" in one.ask("/delete")
        assert one.ask(f"/delete {alice} yes") == f"+OK {alice} is deleted"
        assert one.end() == []
        assert alice not in two.listed("/list")


@pytest.mark.parametrize("verb", ["/logout", "/quit", "/EXIT"])
def test_leaving_keeps_the_account(cluster: Cluster, names: Iterator[str], verb: str) -> None:
    alice, *_ = names
    with Person(cluster["head"].address, alice) as person:
        assert person.ask(verb) == "+OK goodbye"
        assert person.end() == []
    with Person(cluster["tail"].address, alice) as person:
        assert alice in person.listed("/list")


# --- with the programs that people have


def test_nc_with_all_of_its_input_at_once(cluster: Cluster, nc: str, names: Iterator[str]) -> None:
    for node, alice in zip(cluster.nodes.values(), names, strict=True):  # who hangs up is on still
        port = str(node.client_port)
        typed = f"{alice}\nhello from nc\n/list {alice}$\n"
        ended = run(nc, "-N", HOST, port, typed=typed)
        assert ended.returncode == 0
        answers = [line for line in ended.stdout.splitlines() if not line.startswith("* ")]
        assert answers[0].startswith(f"+OK you are {alice}")
        assert re.fullmatch(r"\+OK \d+", answers[1])
        assert answers[2:] == [f"| {alice}", ". 1 account"]


def test_nc_that_stays(cluster: Cluster, nc: str, names: Iterator[str]) -> None:
    alice, bob, _ = names
    command = [nc, HOST, str(cluster["middle"].client_port)]
    with (
        Person(cluster["head"].address, bob) as other,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{alice}\nhello from nc\n")
        assert other.hear(f"{alice}: (.*)")[1] == "hello from nc"
        other.ask("hello back")
        line = next(line for line in process.stdout if "hello back" in line)
        assert line.startswith("#")
        process.kill()
        until(lambda: alice not in other.listed("/who"), lambda: f"{alice} does not leave")


def test_telnet_with_a_terminal(cluster: Cluster, telnet: str, names: Iterator[str]) -> None:
    alice, bob, _ = names
    with Person(cluster["head"].address, bob) as other:
        child = pexpect.spawn(
            telnet, [HOST, str(cluster["tail"].client_port)], timeout=DEADLINE, encoding="utf-8"
        )
        try:
            child.expect_exact("Type your name")
            child.sendline(alice)
            child.expect_exact(f"+OK you are {alice}")
            child.sendline("hello from telnet: ä€")
            assert other.hear(f"{alice}: (.*)")[1] == "hello from telnet: ä€"
            other.ask("hello back")
            child.expect(rf"#\d+ \d\d:\d\d {bob}: hello back\r\n")
            child.send("never mind")
            child.sendintr()
            child.sendline("after Ctrl-C")
            assert other.hear(f"{alice}: (.*)")[1] == "after Ctrl-C"
            child.expect(r"\+OK \d+\r\n")
            child.sendline("/quit")
            child.expect_exact("+OK goodbye")
            child.expect_exact("Connection closed by foreign host")
            child.expect(pexpect.EOF)
        finally:
            child.close(force=True)


def test_a_telnet_client_that_negotiates_in_pieces(cluster: Cluster, names: Iterator[str]) -> None:
    alice, *_ = names
    will_echo_do_ttype_sb = b"\xff\xfb\x01\xff\xfd\x18\xff\xfa\x18\x00xterm\xff\xf0"
    with Caller(cluster["head"].address) as caller:
        caller.hear("Type your name")
        for octet in will_echo_do_ttype_sb + alice.encode() + b"\r\x00":
            caller.write(bytes([octet]))
        # DONT ECHO and WONT TERMINAL-TYPE stand before the answer, on the same line.
        line = caller.hear(rf"\+OK you are {alice}").string
        assert line.startswith("\\xff\\xfe\x01\\xff\\xfc\x18+OK")


def test_a_reader_who_does_not_read_keeps_nobody_waiting(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, _ = names
    text = "x" * 900
    with (
        Program(cluster["head"].address, name=alice) as talker,
        Person(cluster["head"].address, bob, receive_buffer=4096) as sleeper,
    ):
        begin = time.monotonic()
        count = 6000
        for start in range(0, count, 500):
            numbers = range(start, start + 500)
            replies = talker.ask_all([f"SEND {n + 1} * :{n} {text}" for n in numbers])
            assert not [reply for reply in replies if not reply.startswith("+OK")]
        assert time.monotonic() - begin < DEADLINE
        heard = [
            int(sleeper.hear(rf"{alice}: (\d+) x")[1]) for _ in range(count)
        ]  # nothing is lost, doubled or out of order
        assert heard == list(range(count))
