"""Whatever anybody sends, its sender gets a clear answer and the chain goes on."""

import random
import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, Node, wait_for_log
from msgspec import msgpack, structs
from talking import DEADLINE, HOST, Caller, Person, Program, let_in
from twisted.protocols.amp import AmpBox

from chainchat.chain.configuration import Member
from chainchat.chain.entries import EntryId
from chainchat.chain.messages import Forward, Ping, encode
from chainchat.peers.hello import OLDEST_VERSION, PROTOCOL_VERSION, Introduction

pytestmark = pytest.mark.plain(
    "strangers speak with the chain port, which hears none of it under TLS"
)

LIMIT = 5  # connections per node of the chain with few


@pytest.fixture(autouse=True)
def _the_chain_goes_on(cluster: Cluster) -> Iterator[None]:
    yield
    assert_it_serves(cluster)


def assert_it_serves(cluster: Cluster) -> None:
    """People at both ends still hear each other, and no log has a traceback."""
    with (
        Person(cluster["head"].address, "checker-one") as one,
        Person(cluster["tail"].address, "checker-two") as two,
    ):
        one.ask("does it go on?")
        two.hear("checker-one: does it go on")
        two.ask("it does")
        one.hear("checker-two: it does")
        one.ask("/logout")
        two.ask("/logout")
    assert cluster.complaints() == []


# --- lines of people


CONTROL = "that line holds the control character"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"x" * 1025, "-ERR 502 a line has at most 1024 octets"),
        (b"x" * 100_000, "-ERR 502 a line has at most 1024 octets"),
        ("ä".encode() * 513, "-ERR 502 a line has at most 1024 octets"),
        (b"caf\xe9", "-ERR 503 that line is not UTF-8"),
        (b"\xc0\xaf", "-ERR 503 that line is not UTF-8"),
        (b"\xed\xa0\x80", "-ERR 503 that line is not UTF-8"),
        (b"\x1b[2Jgone", f"-ERR 504 {CONTROL} U+001B"),
        (b"\x7f", f"-ERR 504 {CONTROL} U+007F"),
        ("\x9b2J".encode(), f"-ERR 504 {CONTROL} U+009B"),
        ("\u202egnp.exe".encode(), f"-ERR 504 {CONTROL} U+202E"),
        ("\u2066x".encode(), f"-ERR 504 {CONTROL} U+2066"),
        ("a\u2028+OK 12".encode(), f"-ERR 504 {CONTROL} U+2028"),
        (b">> bob hello", "-ERR 501 to say something to one account, type >> name: text"),
        (b">>", "-ERR 501 to say something to one account, type >> name: text"),
        (b">> bob:", "-ERR 501 to say something to one account, type >> name: text"),
        (b">> a/b: x", "-ERR 520 no account can be named 'a/b'"),
        (b"   ", ""),
        (b"", ""),
        (b"/dance", "-ERR 500 there is no /dance"),
        (b"/lsit", "-ERR 500 there is no /lsit: did you mean /list?"),
        (b"/msg bob hi", "-ERR 500 there is no /msg: did you mean >> name: text?"),
        (b"/", "-ERR 500 there is no /:"),
        (b"/last many", "-ERR 501 type /last [n]"),
        (b"/list [", "-ERR 531 not a regular expression"),
        (b"/list (a*)*" + b"{1000}" * 20, "-ERR 531 not a regular expression"),
        (b"/delete a/b", "-ERR 520 no account can be named 'a/b'"),
        (b"/notices maybe", "-ERR 501 type /notices on|off"),
    ],
)
def test_a_bad_line_of_a_person_gets_its_answer(cluster: Cluster, line: bytes, answer: str) -> None:
    with Person(cluster["head"].address, "alice") as person:
        person.write(line + b"\r\n/help last\r\n")
        heard = [each for each in person.lines_to(r"^\. ") if each[0] in "+-"]
        assert len(heard) == (1 if answer else 0), heard
        assert not answer or heard[0].startswith(answer)
        person.ask("/logout")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("x" * 33, "-ERR 520 log in with a name: a name has 1 to 32 letters"),
        ("José", "type for example Jose"),
        ("two words", "type for example two-words"),
        (">> bob: hi", "-ERR 510 log in first: type a name, nothing else"),
        ("//x", "-ERR 510 log in first"),
        ("/list", "-ERR 510 log in first"),
        ("*", "-ERR 520 "),
        ("@1 LOGIN x", "-ERR 520 "),
    ],
)
def test_a_bad_login_gets_its_answer(cluster: Cluster, line: str, answer: str) -> None:
    with Person(cluster["tail"].address) as person:
        reply = person.ask(line)
        assert reply.startswith("-ERR ")
        assert answer in reply
        assert person.log_in("alice").startswith("+OK you are alice")
        person.ask("/logout")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\0", b"\r"])
def test_the_longest_line_and_one_longer(cluster: Cluster, end: bytes) -> None:
    with Person(cluster["head"].address, "alice") as person:
        person.write(b"x" * 1024 + end)
        assert re.fullmatch(r"\+OK \d+", person.hear(r"^(\+OK|-ERR)").string)
        person.write(b"x" * 1025 + end)
        assert person.hear(r"^(\+OK|-ERR)").string.startswith("-ERR 502 ")
        person.ask("/logout")


def test_megabytes_without_an_end_are_one_long_line(cluster: Cluster) -> None:
    with Person(cluster["middle"].address, "alice") as person:
        resident = _resident(cluster["middle"])
        for _ in range(4):
            person.write(b"x" * (1 << 20))
        person.write(b"\n")
        assert person.hear(r"^(\+OK|-ERR)").string.startswith("-ERR 502 ")
        assert _resident(cluster["middle"]) - resident < 2 << 20
        assert person.ask("still here").startswith("+OK ")
        person.ask("/logout")


def _resident(node: Node) -> int:
    """Octets of memory that a node has; 0 where the system does not tell."""
    status = Path(f"/proc/{node.pid}/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\nalice\r\nhi\r\n",
        f"GET /{'x' * 2000} HTTP/1.1\r\nHost: localhost\r\n\r\nalice\r\n",
    ],
)
def test_an_http_request_is_told_so(cluster: Cluster, request_: str) -> None:
    with Caller(cluster["head"].address) as caller:
        caller.write(request_)
        heard = caller.end()
        assert heard[-1] == "-ERR 505 this is a chat, not a web server: use telnet or nc"
        assert not [line for line in heard if line.startswith("+OK")]


def test_telnet_negotiation_split_byte_by_byte(cluster: Cluster) -> None:
    interrupt_and_timing_mark = b"\xff\xf4\xff\xfd\x06"
    subnegotiation = b"\xff\xfa\x1f\x00\xff\xff\x00\x28\xff\xf0"
    noise = [b"\xff\xfb\x03", b"\xff\xfd\x01", interrupt_and_timing_mark, subnegotiation]
    with Person(cluster["head"].address, "abby") as person:
        for octet in b"he".join(noise) + b"\xff\xf1!\r\n":
            person.write(bytes([octet]))
        line = person.hear(r"\+OK \d+").string
        assert line.startswith("\\xff\\xfe\x03\\xff\\xfc\x01\\xff\\xfc\x06+OK ")
        assert person.listed("/last 1")[0].endswith("abby: hehehe!")
        person.write(b"\xff\xff\n")  # an octet FF of data
        assert person.hear("^-ERR").string.startswith("-ERR 503 ")
        person.ask("/logout")


# --- programs


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"garbage", "-ERR 501 @- no tag"),
        (b"@", "-ERR 501 @- no tag"),
        (b"@1", "-ERR 501 @1 no verb"),
        (b"@1 DANCE", "-ERR 500 @1 there is no verb 'DANCE'"),
        (b"@1 PING PONG", "-ERR 501 @1 the right form is @1 PING"),
        (b"@1 SEND 1 * :caf\xe9", "-ERR 503 @1 that line is not UTF-8"),
        (b"@1 SEND 1 * :\x1b[2J", f"-ERR 504 @1 {CONTROL} U+001B"),
        (b"@1 SEND 1 * :" + b"x" * 1200, "-ERR 502 @- a line has at most 1120 octets"),
        (b"\xfe\xfe\xfe", "-ERR 503 @- "),
        (b"@1 SINCE 99999999999999999999", "-ERR 501 @1 the right form is"),
        (b"@1 LIST " + b"(" * 500, "-ERR 531 @1 "),
    ],
)
def test_a_bad_line_of_a_program_gets_its_answer(
    cluster: Cluster, line: bytes, answer: str
) -> None:
    with Program(cluster["middle"].address, name="alice") as program:
        program.write(line + b"\n")
        assert program.hear("^-ERR").string.startswith(answer)
        assert program.ask("PING") == "+OK"
        program.ask("LOGOUT")


def test_random_octets_to_the_client_port(cluster: Cluster) -> None:
    dice = random.Random(1)
    for position in ("head", "middle", "tail", "head", "middle", "tail"):
        with Caller(cluster[position].address) as caller:
            for _ in range(2):  # some thirty lines, which a newcomer may send
                caller.write(dice.randbytes(2_000))
            caller.write(b"\xff\xf0\n" * 2)  # ends a subnegotiation, if there is one
            caller.hear("-ERR")  # behind the answers to telnet commands
        with Caller(cluster[position].address) as caller:
            caller.say("/help last")
            caller.hear(r"^\. ")
        with Caller(cluster[position].address) as caller:
            caller.say("/hello chainchat/1 client=random", "@1 LOGIN random")
            caller.hear(r"^\+OK @1 ")
            for _ in range(20):
                caller.write(dice.randbytes(2_000))
            caller.write(b"\xff\xf0\n" * 2 + b"@bye LOGOUT\n")
            caller.hear(r"^\+OK @bye")


def test_connections_past_the_limit_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("few")
    with Cluster(folder, ("head", "tail"), clients=f"max-connections = {LIMIT}") as few:
        few.start()
        people = [let_in(few["head"].address) for _ in range(LIMIT)]
        for number, person in enumerate(people):
            assert person.log_in(f"person{number}").startswith("+OK ")
        for _ in range(3):
            with Caller(few["head"].address) as late:
                refusal = f"-ERR 422 this node has {LIMIT} connections already; try another node"
                assert late.end() == [refusal]
        with Person(few["tail"].address, "late") as late:
            assert late.ask("there is room elsewhere").startswith("+OK ")
        people.pop().close()
        let_in(few["head"].address).close()
        for person in people:
            assert person.ask("still here").startswith("+OK ")
            person.close()
        log = few["head"].log_text()
        assert log.count(f"refusing clients: {LIMIT} connections are open") == 1
        *silent, newest = [let_in(few["head"].address) for _ in range(LIMIT + 1)]
        assert silent[0].end()[-1] == (
            "-ERR 422 all places are taken, and others wait: connect again, and log in soon"
        )
        for caller in (*silent, newest):
            caller.close()
        few.stop()
        assert few.complaints() == []


# --- the chain port


class Stranger:
    """Somebody at the chain port."""

    def __init__(self, node: Node) -> None:
        self._socket = socket.create_connection((HOST, node.chain_port), timeout=DEADLINE)

    def __enter__(self) -> "Stranger":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_box(self, **values: bytes) -> None:
        self.write(AmpBox({name.encode(): value for name, value in values.items()}).serialize())

    def read_to_end(self) -> bytes:
        """All that comes until the node hangs up."""
        received = b""
        try:
            while data := self._socket.recv(1 << 16):
                received += data
        except ConnectionResetError:
            pass
        return received


def identity_like(cluster: Cluster, node: Node) -> Introduction:
    member = Member("middle", "0" * 16, 1, HOST, node.chain_port, node.client_port)
    return Introduction(PROTOCOL_VERSION, "test", tuple(cluster.nodes), 1.0, member)


def grown(node: Node, before: int) -> str:
    """What a node has logged since, but for how it is: slow, perhaps."""
    lines = node.log_text()[before:].splitlines(keepends=True)
    return "".join(line for line in lines if "[chainchat.node.node#" not in line)


@pytest.mark.parametrize(
    ("box", "complaint"),
    [
        ({"_command": b"Dance", "_ask": b"1"}, "sent Dance out of place"),
        ({"_ask": b"1", "x": b"y"}, "sent a box out of place"),
        ({"x": b"y"}, "sent a box out of place"),
        ({"_answer": b"77", "x": b"y"}, "sent a box out of place"),
        ({"_error": b"77", "_error_code": b"X", "_error_description": b"y"}, "out of place"),
        ({"_command": b"Ping", "body": encode(Ping(Member("x", "y", 1), 1, 1))[1]}, "out of place"),
        ({"_command": b"Forward", "body": b"\xc1"}, "sent Forward out of place"),
        ({"_command": b"Hello", "_ask": b"1"}, "sent Hello out of place"),
        ({"_command": b"\xff\xfe", "_ask": b"1"}, "out of place"),
    ],
)
def test_a_foreign_box_is_refused_with_a_line_in_the_log(
    cluster: Cluster, box: dict[str, bytes], complaint: str
) -> None:
    node = cluster["tail"]
    before = len(node.log_text())
    for _ in range(5):
        with Stranger(node) as stranger:
            stranger.send_box(**box)
            assert stranger.read_to_end() == b""
    log = grown(node, before)
    assert log.count("\n") <= 1, f"the log is flooded: {log}"
    assert complaint in node.log_text()


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="http"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), id="tls"),
        pytest.param(b"\xff" * 5_000, id="ones"),
        pytest.param(struct.pack(">H", 300) + b"k" * 300, id="key too long"),
    ],
)
def test_garbage_at_the_chain_port_is_refused(cluster: Cluster, garbage: bytes) -> None:
    node = cluster["middle"]
    before = len(node.log_text())
    for _ in range(5):
        with Stranger(node) as stranger:
            stranger.write(garbage)
            stranger.read_to_end()
    log = grown(node, before)
    assert log.count("\n") <= 1, f"the log is flooded: {log}"
    assert "does not speak AMP" in node.log_text()


def test_random_octets_to_the_chain_port(cluster: Cluster) -> None:
    dice = random.Random(2)
    for node in cluster.nodes.values():
        before = len(node.log_text())
        for _ in range(20):
            with Stranger(node) as stranger:
                try:
                    stranger.write(dice.randbytes(4_000))
                    stranger.read_to_end()
                except (BrokenPipeError, ConnectionResetError):
                    pass  # it has hung up before all was sent
        assert grown(node, before).count("\n") <= 3


def test_a_stranger_who_says_nothing_is_hung_up_on(cluster: Cluster) -> None:
    begin = time.monotonic()
    with Stranger(cluster["head"]) as silent, Stranger(cluster["head"]) as slow:
        slow.write(b"\x00\x08_com")
        assert silent.read_to_end() == slow.read_to_end() == b""
    assert 4 < time.monotonic() - begin < 10


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"version": 99},
            f"it speaks protocol version 99, not {OLDEST_VERSION} to {PROTOCOL_VERSION}",
        ),
        ({"chain": "other"}, "it belongs to the chain 'other', not 'test'"),
        (
            {"founding": ("tail", "middle", "head")},
            "it has the founding order 'tail middle head', not 'head middle tail'",
        ),
        ({"suspect_after": 7.0}, "it has suspect-after 7.0, not 1.0"),
        ({"member": Member("tail", "0" * 16, 1, HOST, 1, 2)}, "it is another tail"),
    ],
)
def test_a_hello_of_another_chain_is_refused_on_both_sides(
    cluster: Cluster, changes: dict[str, object], complaint: str
) -> None:
    node = cluster["tail"]
    identity = structs.replace(identity_like(cluster, node), **changes)
    for _ in range(5):
        with Stranger(node) as stranger:
            hello = msgpack.encode(identity)
            stranger.send_box(_command=b"Hello", _ask=b"1", identity=hello, lane=b"chain")
            received = b""
            while b"REFUSED" not in received or complaint.encode() not in received:
                data = stranger._socket.recv(1 << 16)
                assert data, received
                received += data
    wait_for_log(node, complaint)
    assert node.log_text().count(complaint) == 1


@pytest.mark.parametrize("identity", [b"", b"\xc1", msgpack.encode({"a": 1}), b"\x00" * 60_000])
def test_a_hello_that_is_none_is_refused(cluster: Cluster, identity: bytes) -> None:
    node = cluster["tail"]
    with Stranger(node) as stranger:
        stranger.send_box(_command=b"Hello", _ask=b"1", identity=identity, lane=b"chain")
        assert b"REFUSED" in stranger._socket.recv(1 << 16)
    wait_for_log(node, "it says what this version does not understand")


def test_a_forged_hello_and_a_message_that_does_not_fit(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # One with a right Hello is a node as far as anybody can tell, if nobody is at that position.
    with Cluster(tmp_path_factory.mktemp("forged"), ("head", "tail")) as chain:
        chain.start()
        node = chain["tail"]
        member = Member("spare", "0" * 16, 1, HOST, 1, 1)
        identity = Introduction(PROTOCOL_VERSION, "test", ("head", "tail"), 1.0, member)
        for body in (b"\xc1", b"", encode(Forward(1, EntryId(1, 1), (), 1))[1][:-1]):
            with Stranger(node) as stranger:
                hello = msgpack.encode(identity)
                stranger.send_box(_command=b"Hello", _ask=b"1", identity=hello, lane=b"chain")
                assert b"identity" in stranger._socket.recv(1 << 16)
                stranger.send_box(_command=b"Forward", body=body)
                stranger.read_to_end()
            chain.wait_until_it_serves()
        wait_for_log(node, "sent a Forward that does not fit")
        assert_it_serves(chain)
        chain.stop()
        assert chain.complaints() == []
