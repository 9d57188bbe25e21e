"""Limits of those who use nothing but nc: saying too much, coming too often, taking false names."""

import re
import socket
from collections.abc import Callable
from contextlib import ExitStack

from cluster import Cluster, Node
from commands import run
from talking import DEADLINE, Person, Program, until

NewCluster = Callable[..., Cluster]

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
"""Addresses of this machine that count as two, as none of IPv6 do; the second is not exempt."""


PLACES, EACH = 30, 6
"""Of a small node, and of each stranger: more than somebody honest needs to log in."""


def said(nc: str, node: Node, *lines: str, source: str = "") -> list[str]:
    """All that nc prints when it says these lines and hangs up."""
    typed = "".join(f"{line}\n" for line in lines)
    port = str(node.client_port)
    ended = run(nc, "-N", "-s", source or node.host, node.host, port, typed=typed)
    return ended.stdout.splitlines()


def test_what_is_said_too_fast_is_slowed_down_and_all_of_it_arrives_in_order(
    new_cluster: NewCluster, nc: str
) -> None:
    cluster = new_cluster(("head", "tail"), limits="send-rate = 50\nsend-burst = 20").start()
    texts = [f"line {number}" for number in range(120)]
    with Program(cluster["tail"].address, name="listener") as listener:
        lines = said(nc, cluster["head"], "alice", *texts)
        assert [listener.push().message.text for _ in texts] == texts
    answers = [line for line in lines if not line.startswith("* ")]
    assert answers[0].startswith("+OK you are alice")
    ids = [int(re.fullmatch(r"\+OK (\d+)", line)[1]) for line in answers[1:]]
    assert ids == sorted(ids)
    assert len(ids) == len(texts)
    slowed = "* you say more than 50 lines a second: the rest waits, and is said at that pace"
    assert lines.count(slowed) == 1


def test_a_crowd_from_one_address_is_refused_for_now_and_others_are_not(
    new_cluster: NewCluster, nc: str
) -> None:
    limits = f"new-accounts = 2\nconnects-per-minute = 10\nexempt = {HERE}"
    node = new_cluster(("only",), limits=limits, host=HERE).start()["only"]

    def answer(name: str, source: str) -> str:
        lines = said(nc, node, name, source=source)
        return next(line[:8] for line in lines if not line.startswith("* "))

    assert [answer(name, ELSEWHERE) for name in ("ann", "bea", "cat", "ann")] == [
        *["+OK you "] * 2,
        "-ERR 437",
        "+OK you ",
    ]
    assert answer("cat", HERE) == "+OK you "
    until(
        lambda: any(line.startswith("-ERR 425 ") for line in said(nc, node, source=ELSEWHERE)),
        lambda: "an address may connect as often as it likes",
    )
    assert answer("dan", HERE) == "+OK you "
    assert re.search(rf"refusing clients: {ELSEWHERE} has connected 10 times", node.log_text())


def test_strangers_who_hold_all_places_keep_nobody_out_who_logs_in(
    new_cluster: NewCluster, nc: str
) -> None:
    options = {"clients": f"max-connections = {PLACES}", "limits": f"exempt = {HERE}"}
    node = new_cluster(("only",), host=HERE, **options).start()["only"]
    full = f"refusing clients: {PLACES} connections are open"
    with ExitStack() as stack:

        def stranger_is_refused() -> bool:
            source = f"127.0.1.{1 + len(strangers) % (PLACES // EACH)}"
            called = socket.create_connection(node.address, DEADLINE, (source, 0))
            strangers.append(stack.enter_context(called))
            return full in node.log_text()

        strangers: list[socket.socket] = []
        until(stranger_is_refused, lambda: "there is a place for everybody")
        for name in ("ann", "bea", "cat"):
            lines = said(nc, node, name, "hello")
            assert [line[:4] for line in lines if not line.startswith("* ")] == ["+OK "] * 2


def test_a_name_that_deceives_is_refused_with_the_reason(new_cluster: NewCluster, nc: str) -> None:
    cluster = new_cluster(("head", "tail"), limits="").start()
    with Person(cluster["head"].address, "alice"):
        names = ("AL1CE", "a.lice", "server", "Head", "y0u", "bob")
        lines = [line for name in names for line in said(nc, cluster["tail"], name)]
    assert [line[:8] for line in lines if not line.startswith("* ")] == [
        *["-ERR 523"] * 2,
        *["-ERR 524"] * 3,
        "+OK you ",
    ]
    assert "alice has an account already, and the two names look alike" in "\n".join(lines)
