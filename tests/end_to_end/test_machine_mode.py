"""Programs that speak machine mode to a real chain."""

import itertools
import re
from collections.abc import Iterator

import pytest
from cluster import Cluster
from talking import Caller, Person, Program

from chainchat import __version__
from chainchat.chat.bounds import USUAL_BOUNDS

_counter = itertools.count(1)


@pytest.fixture
def names() -> Iterator[str]:
    """Names that no other test uses: the chain is shared."""
    n = next(_counter)
    return iter([f"{name}{n}" for name in ("alice", "bob", "carol")])


def id_of(reply: str) -> int:
    found = re.fullmatch(r"\+OK id=(\d+)( again)?", reply)
    assert found, reply
    return int(found[1])


def test_hello_tells_what_a_program_needs(cluster: Cluster) -> None:
    nodes = ",".join(node.named for node in cluster.nodes.values())
    for position, node in cluster.nodes.items():
        with Program(node.address) as program:
            assert program.greeting.pop("sessions").isdigit()
            assert program.greeting == {"node": position, "max-line": "1024", "nodes": nodes}


def test_chain_and_ping_need_no_login(cluster: Cluster) -> None:
    for position in cluster.nodes:
        with Program(cluster[position].address) as program:
            assert program.ask("PING") == "+OK"
            words = program.words("CHAIN")
            assert words.pop("committed").isdigit()
            assert words == {
                "epoch": "1",
                "members": "head,middle,tail",
                "node": position,
                "role": position,
                "version": __version__,
            }


def test_requests_pipeline_and_replies_keep_their_order(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, _ = names
    with (
        Program(cluster["middle"].address, name=bob) as other,
        Program(cluster["head"].address) as program,
    ):
        known_at_once = f"LOGIN {bob}"
        requests = [f"LOGIN {alice}"]
        for number in range(1, 301):
            requests += [f"SEND {number} * :text {number}", known_at_once]
        requests += [f"LIST {alice}", "SEND 301 nobody :x", "WHO", "SEND 302 * :last"]
        replies = program.ask_all(requests)
        assert replies[0].startswith("+OK session=")
        ids = [id_of(reply) for reply in replies[1:601:2]]
        assert ids == sorted(set(ids))
        assert set(replies[2:601:2]) == {f"-ERR 511 you are logged in, as {alice}"}
        assert replies[601] == "."
        assert replies[602].startswith("-ERR 521 ")
        assert [reply[:3] for reply in replies[603:]] == [".", "+OK"]
        pushes = [other.push() for _ in range(301)]
        assert [push.message.text for push in pushes] == [
            *(f"text {n}" for n in range(1, 301)),
            "last",
        ]
        assert [push.message.id for push in pushes[:300]] == ids
        assert [push.previous for push in pushes[1:]] == [push.message.id for push in pushes[:-1]]


def test_a_send_again_at_another_node_gets_the_first_result(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, _ = names
    with Program(cluster["tail"].address, name=bob) as other:
        with Program(cluster["head"].address, "c1", alice) as program:
            first = id_of(program.ask(f"SEND 5 {bob} :once"))
            refused = program.ask("SEND 6 nobody :once")
            assert refused.startswith("-ERR 521 ")
            token, high = program.token, program.high
            program.reset()
        with Program(cluster["middle"].address, "c1") as program:
            token = program.words(f"RESUME {alice} {token} after={high}")["session"]
            assert program.ask_all(
                [
                    f"SEND 5 {bob} :once",
                    f"SEND 5 {bob} :twice",
                    f"SEND 5 {alice} :once",
                    "SEND 6 nobody :once",
                    "SEND 4 * :too late",
                ]
            ) == [
                f"+OK id={first} again",
                "-ERR 552 this number was used for another message; nothing was sent",
                "-ERR 552 this number was used for another message; nothing was sent",
                "-ERR 521 again " + refused.removeprefix("-ERR 521 "),
                "-ERR 551 this number is too old to be remembered: nothing was sent now, but it "
                "may have been sent before; SINCE shows what was sent, LOGIN tells the next number",
            ]
            second = id_of(program.ask(f"SEND 7 {bob} :new"))
        with Program(cluster["tail"].address, "c2") as program:  # another program counts anew
            program.words(f"RESUME {alice} {token} after={high}")
            third = id_of(program.ask(f"SEND 5 {bob} :once"))
        pushes = [other.push().message for _ in range(3)]
        assert [(push.id, push.text) for push in pushes] == [
            (first, "once"),
            (second, "new"),
            (third, "once"),
        ]


def test_more_sends_than_are_remembered(cluster: Cluster, names: Iterator[str]) -> None:
    alice, *_ = names
    with Program(cluster["head"].address, "c1", alice) as program:
        replies = []
        for start in range(1, 1101, 100):
            replies += program.ask_all(
                [f"SEND {n} {alice} :{n}" for n in range(start, start + 100)]
            )
        ids = [id_of(reply) for reply in replies]
        assert program.ask("SEND 1100 " + f"{alice} :1100") == f"+OK id={ids[-1]} again"
        assert program.ask("SEND 77 " + f"{alice} :77") == f"+OK id={ids[76]} again"
        assert program.ask("SEND 11 " + f"{alice} :11").startswith("-ERR 551 ")


def test_resume_elsewhere_ends_the_old_connection(cluster: Cluster, names: Iterator[str]) -> None:
    alice, bob, _ = names
    with (
        Person(cluster["middle"].address, bob) as other,
        Program(cluster["head"].address, "c1", alice) as old,
    ):
        other.ask("before")
        seen = old.push().message.id
        other.ask(f">> {alice}: just before")
        with Program(cluster["tail"].address, "c1") as new:
            assert int(new.words(f"RESUME {alice} {old.token} after={seen}")["high"]) > seen
            assert old.note("moved").text == "this session goes on elsewhere"
            old.end()
            push = new.push()
            assert (push.previous, push.message.to, push.message.text) == (
                seen,
                alice,
                "just before",
            )
            other.ask("after")
            assert new.push().message.text == "after"
            assert new.ask("SEND 1 * :still me").startswith("+OK id=")
            assert new.ask("LOGOUT") == "+OK"
            assert new.end() == []
        with Program(cluster["head"].address, "c1") as late:
            refused = late.ask(f"RESUME {alice} {old.token} after={seen}")
            assert refused.startswith("-ERR 532 ")
            assert late.ask("PING") == "+OK"  # the connection stays open
            late.words(f"LOGIN {alice}")


def test_prev_names_what_was_pushed_before_and_no_message_of_ones_own(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, carol = names
    with (
        Program(cluster["head"].address, "c1", alice) as program,
        Program(cluster["middle"].address, "c2", bob) as other,
        Person(cluster["tail"].address, carol) as third,
    ):
        third.ask("1")
        program.ask("SEND 1 * :mine")
        third.ask(f">> {bob}: not for alice")
        other.ask(f"SEND 1 {alice} :2")
        third.ask("3")
        pushes = [program.push() for _ in range(3)]
        assert [push.message.text for push in pushes] == ["1", "2", "3"]
        assert [push.previous for push in pushes[1:]] == [push.message.id for push in pushes[:2]]
        pushes = [other.push() for _ in range(4)]
        assert [push.message.text for push in pushes] == ["1", "mine", "not for alice", "3"]
        assert [push.previous for push in pushes[1:]] == [push.message.id for push in pushes[:3]]


def test_who_is_quiet_gets_no_pushes(cluster: Cluster, names: Iterator[str]) -> None:
    alice, bob, _ = names
    with (
        Program(cluster["head"].address, "c1") as program,
        Person(cluster["head"].address, bob) as other,
    ):
        program.words(f"LOGIN {alice} quiet")
        other.ask("for all")
        other.ask(f">> {alice}: for alice")
        assert [push.message.text for push in program.since("SINCE 0")][-2:] == [
            "for all",
            "for alice",
        ]
        assert not program.pushes


def test_since_pages_through_thousands(cluster: Cluster, names: Iterator[str]) -> None:
    alice, bob, _ = names
    count = 3000
    with (
        Program(cluster["head"].address, "c1", alice) as program,
        Program(cluster["head"].address, "c2", bob) as other,
    ):
        first = id_of(program.ask(f"SEND 1 {bob} :0"))
        numbers = range(2, count + 1)
        for start in range(0, len(numbers), 1000):
            part = numbers[start : start + 1000]
            replies = program.ask_all([f"SEND {n} {bob} :{n - 1} {'x' * 200}" for n in part])
            assert not [reply for reply in replies if not reply.startswith("+OK id=")]
        for caller in (program, other):
            found = caller.since(f"SINCE {first - 1}")
            assert [int(push.message.text.split()[0]) for push in found] == list(range(count))
            ids = [push.message.id for push in found]
            assert ids == sorted(set(ids))
            some = caller.since(f"SINCE {ids[9]} 1500")
            assert [push.message.id for push in some] == ids[10:1510]
            assert caller.since(f"SINCE {ids[-1]}") == []
            assert caller.since(f"SINCE {first - 1} 0") == []


def test_after_an_ack_a_login_brings_only_what_came_later(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, _ = names
    with Person(cluster["middle"].address, bob) as other:
        with Program(cluster["head"].address, "c1", alice) as program:
            other.ask("seen")
            seen = program.push().message.id
            assert program.ask(f"ACK {seen}") == "+OK"
            other.ask("not seen")
            assert program.push().message.text == "not seen"
        other.ask("while away")
        with Program(cluster["tail"].address, "c1", alice) as program:
            assert [program.push().message.text for _ in range(2)] == ["not seen", "while away"]
            assert program.ask("ACK 0") == "+OK"  # never back
            program.ask("LOGOUT")
        with Program(cluster["head"].address, "c1", alice) as program:
            assert program.push().message.text == "not seen"


def test_deleted_while_on(cluster: Cluster, names: Iterator[str]) -> None:
    alice, bob, _ = names
    with (
        Program(cluster["head"].address, "c1", alice) as program,
        Program(cluster["tail"].address, "c2", bob) as other,
    ):
        assert other.ask(f"DELETE {alice}") == "+OK"
        assert program.note("deleted").words == {"by": bob}
        program.end()
        with Program(cluster["head"].address, "c1") as again:
            refused = again.ask(f"RESUME {alice} {'x' * 22} after=0")
            assert refused.startswith("-ERR 521 ")


def test_notices_are_for_those_who_ask(cluster: Cluster, names: Iterator[str]) -> None:
    alice, bob, carol = names
    with Caller(cluster["head"].address) as caller, Program(cluster["head"].address) as program:
        caller.say("/hello chainchat/1 client=c1 notices=on", f"@1 LOGIN {alice}")
        caller.hear(r"^\+OK @1 ")
        program.words(f"LOGIN {bob}")
        with Program(cluster["tail"].address, name=carol):
            caller.hear(rf"^NOTE joined name={carol} :{carol} has joined$")
        caller.hear(rf"^NOTE left name={carol} :{carol} has left$")
        assert program.ask("PING") == "+OK"
        assert not program.notes


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        ("SEND 1 * :x", "-ERR 510 log in first"),
        ("SINCE 0", "-ERR 510 log in first"),
        ("LOGIN", "-ERR 501 the right form is @t1 LOGIN name [quiet]"),
        ("LOGIN a/b", "-ERR 520 a name has 1 to 32 letters (a-z), digits, '-', '_' or '.'"),
        ("DANCE", "-ERR 500 there is no verb 'DANCE': did you mean"),
        ("RESUME nobody-at-all xyz after=0", "-ERR 521 there is no account nobody-at-all"),
        ("HELP", "-ERR 500 there is no verb 'HELP'"),
    ],
)
def test_errors_before_the_login(cluster: Cluster, request_: str, refusal: str) -> None:
    with Program(cluster["middle"].address) as program:
        assert program.ask(request_).startswith(refusal)
        assert program.ask("PING") == "+OK"


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        ("SEND x * :x", "-ERR 501 the right form is"),
        ("SEND 0 * :x", "-ERR 501 the right form is"),
        ("SEND 1 * x", "-ERR 501 the right form is"),
        ("SEND 1 * :", "-ERR 501 the right form is"),
        ("SEND 9223372036854775808 * :x", "-ERR 501 the right form is"),
        ("SEND 1 a/b :x", "-ERR 520 "),
        ("SINCE x", "-ERR 501 the right form is"),
        ("ACK -1", "-ERR 501 the right form is"),
        ("LIST (", "-ERR 531 not a regular expression"),
        ("DELETE nobody-at-all", "-ERR 521 there is no account nobody-at-all"),
        ("LOGIN again", "-ERR 511 you are logged in"),
    ],
)
def test_errors_after_the_login(
    cluster: Cluster, names: Iterator[str], request_: str, refusal: str
) -> None:
    alice, *_ = names
    with Program(cluster["middle"].address, name=alice) as program:
        assert program.ask(request_).startswith(refusal)
        assert program.ask("SEND 1 * :x").startswith("+OK id=")


def test_hello_with_mistakes(cluster: Cluster, names: Iterator[str]) -> None:
    alice, *_ = names
    with Person(cluster["head"].address) as person:
        assert person.ask("/hello chainchat/2 client=c").startswith("-ERR 506 ")
        assert person.ask("/hello chainchat/1").startswith("-ERR 501 ")
        assert person.ask("/hello chainchat/1 client=a/b").startswith("-ERR 501 ")
        assert person.ask(alice).startswith("+OK you are")
        assert person.ask("/hello chainchat/1 client=c").startswith("-ERR 511 ")


def test_an_untagged_line_is_an_error_and_no_message(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice, bob, _ = names
    with (
        Program(cluster["head"].address, name=alice) as program,
        Person(cluster["head"].address, bob) as other,
    ):
        program.say("hello everybody", "@ PING", "@@ PING", "@1", f"@{'x' * 33} PING")
        refusals = [program.hear("^-ERR ").string for _ in range(5)]
        assert [refusal[:11] for refusal in refusals] == [
            "-ERR 501 @-",
            "-ERR 501 @-",
            "-ERR 501 @-",
            "-ERR 501 @1",
            "-ERR 501 @-",
        ]
        program.ask("SEND 1 * :hello")
        assert not [line for line in other.lines_to(": hello$")[:-1] if line.startswith("#")]


def test_what_is_forgotten_of_a_program_is_not_said_again(
    cluster: Cluster, names: Iterator[str]
) -> None:
    alice = next(names)
    for number in range(USUAL_BOUNDS.programs + 1):
        with Program(cluster["middle"].address, f"run{number}") as program:
            assert program.words(f"LOGIN {alice}")["number"] == "1"
            id_of(program.ask(f"SEND 1 * :run {number} of {alice}"))
            assert program.ask("LOGOUT") == "+OK"
    with Program(cluster["head"].address, "run1", alice) as program:
        assert program.ask(f"SEND 1 * :run 1 of {alice}").endswith(" again")
    with Program(cluster["tail"].address, "run0") as program:
        assert program.words(f"LOGIN {alice}")["number"] == "2"
        assert program.ask(f"SEND 1 * :run 0 of {alice}").startswith("-ERR 551 ")
        id_of(program.ask(f"SEND 2 * :run 0 of {alice}"))
        assert program.ask("LOGOUT finished") == "+OK"
    with Program(cluster["tail"].address, "run0") as program:
        assert program.words(f"LOGIN {alice}")["number"] == "1"
