"""The client's engine: which node it takes, and how it logs in."""

from collections import Counter
from random import Random

import pytest
from engine_script import NODES, TOKEN, Script

from chainchat.client.engine import events, wire
from chainchat.client.engine.backoff import LONGEST_SPREAD, MOST_NODES, Backoff, Nodes
from chainchat.client.engine.events import ConnectionLost, ConnectTo, Disconnect, Ended
from chainchat.client.engine.memory import Memory
from chainchat.client.engine.phases import CONNECT_WITHIN
from chainchat.client.engine.wire import Address

# --- logging in ----------------------------------------------------------------------


def test_the_first_login_says_hello_and_then_login() -> None:
    script = Script()
    assert script.happened() == [ConnectTo("a", 1)]
    script.connect()
    assert script.written() == ["/hello chainchat/1 client=c7f3"]
    script.says("* welcome", "+OK @- node=head max-line=1024 nodes=a:1")
    assert script.written() == ["@login LOGIN alice"]
    script.says(f"+OK @login session={TOKEN} high=7 colour=blue")
    assert script.happened() == [
        events.Connected("a", 1, "head"),
        events.LoggedIn("alice", 7, resumed=False),
    ]


def test_a_quiet_client_with_notices_says_so() -> None:
    script = Script(quiet=True, notices=True)
    script.reaches("head")
    assert script.written() == [
        "/hello chainchat/1 client=c7f3 notices=on",
        "@login LOGIN alice quiet",
    ]


def test_a_name_in_use_ends_a_first_login() -> None:
    script = Script()
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1", "-ERR 433 @login alice is in use")
    assert script.happened()[-2:] == [Disconnect(), Ended("refused", 433, "alice is in use")]
    script.pass_time(60)
    assert script.happened() == []


def test_a_name_in_use_is_insisted_on_where_that_is_wanted() -> None:
    script = Script(insist=True)
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1", "-ERR 433 @login alice is in use")
    script.written()
    script.pass_time(0.6)
    assert script.written() == ["@login LOGIN alice"]


def test_a_name_in_use_after_a_reconnect_is_waited_out_with_growing_pauses() -> None:
    script = Script()
    script.log_in()
    script.breaks()
    script.reaches("head")
    delays = []
    for _ in range(8):
        script.says("-ERR 433 @login alice is in use")
        delays.append(script.happened()[-1].retry)  # type: ignore[attr-defined]
        script.pass_time(delays[-1] + 0.1)
    backoff = Backoff(Random(1), first=0.5, longest=4.0)
    assert delays == [backoff.next() for _ in range(8)]


def test_a_login_whose_answer_was_lost_may_have_been_done() -> None:
    script = Script()
    script.reaches("head")
    assert script.written()[-1] == "@login LOGIN alice"
    script.breaks()
    script.connect()
    script.says("+OK @- node=middle max-line=1024 nodes=a:1", "-ERR 433 @login alice is in use")
    [*_, delayed] = script.happened()
    assert isinstance(delayed, events.LoginDelayed)
    script.written()
    script.pass_time(delayed.retry + 0.1)
    assert script.written() == ["@login LOGIN alice"]


def test_a_connection_that_broke_before_the_login_leaves_no_ghost() -> None:
    script = Script()
    script.connect()
    script.breaks()
    script.connect()
    script.says("+OK @- node=middle max-line=1024 nodes=a:1", "-ERR 433 @login alice is in use")
    assert script.happened()[-1] == Ended("refused", 433, "alice is in use")


def test_an_impossible_name_ends_it() -> None:
    script = Script(insist=True)
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1", "-ERR 520 @login not a name")
    assert script.happened()[-1] == Ended("refused", 520, "not a name")


def test_another_protocol_version_ends_it() -> None:
    script = Script()
    script.connect()
    script.says("* welcome", "-ERR 506 this node speaks chainchat/2")
    assert script.happened()[-1] == Ended("refused", 506, "this node speaks chainchat/2")


# --- nodes ---------------------------------------------------------------------------


def test_a_node_that_serves_nobody_is_left_for_the_next() -> None:
    script = Script()
    script.connect()
    script.says("* welcome", "-ERR 421 this node serves nobody now")
    assert script.happened()[1:] == [
        Disconnect(),
        ConnectionLost("a", 1, "this node serves nobody now", 0.0),
        ConnectTo("b", 2),
    ]


@pytest.mark.parametrize("line", ["-ERR 422 full", "-ERR 424 too many", "-ERR 436 @- later"])
def test_a_refusal_for_now_instead_of_the_greeting_leads_to_the_next(line: str) -> None:
    script = Script()
    script.connect()
    script.happened()
    script.says(line)
    text = line.removeprefix("-ERR ")[4:].removeprefix("@- ")
    assert script.happened() == [
        Disconnect(),
        ConnectionLost("a", 1, text, 0.0),
        ConnectTo("b", 2),
    ]


def test_after_a_whole_round_there_is_a_pause_and_then_the_first_again() -> None:
    script = Script()
    script.happened()
    script.breaks()
    script.breaks()
    lost = script.breaks()
    assert lost == [ConnectionLost("c", 3, "the connection broke", Random(1).uniform(0, 0.5))]
    script.pass_time(0.6)
    assert script.happened() == [ConnectTo("a", 1)]


def test_the_pauses_grow_to_a_bound_and_are_drawn_from_nothing_to_it() -> None:
    class Largest(Random):
        def uniform(self, a: float, b: float) -> float:
            assert a == 0
            return b

    nodes = Nodes([("a", 1)], Largest())
    assert [nodes.lost(None) for _ in range(8)] == [0.5, 1, 2, 4, 8, 15, 15, 15]


def test_a_break_after_a_long_session_is_not_waited_for() -> None:
    nodes = Nodes([("a", 1)], Random(1))
    nodes.lost(None)
    nodes.lost(None)
    assert nodes.lost(3600.0) == 0


def test_a_node_that_breaks_each_session_at_once_is_waited_for() -> None:
    nodes = Nodes([("a", 1)], Random(1))
    assert nodes.lost(0.1) == 0
    assert nodes.lost(0.1) > 0


def test_the_nodes_that_a_server_names_are_tried_too() -> None:
    script = Script(nodes=[("a", 1)])
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1,[::1]:7002,rubbish")
    script.happened()
    assert script.breaks()[-1] == ConnectTo("::1", 7002)


def test_who_came_with_tls_goes_on_with_tls_only() -> None:
    script = Script(nodes=[("a", 1, True)])
    assert script.happened() == [ConnectTo("a", 1, True)]
    script.engine.connected(script.now)
    script.says("+OK @- node=head max-line=1024 nodes=a:1,b:2")
    script.happened()
    assert script.breaks()[-1] == ConnectTo("b", 2, True)


def test_that_we_are_off_is_told_once_and_only_if_it_lasts_for_a_second() -> None:
    script = Script()
    script.log_in()
    script.breaks()
    script.pass_time(0.9)
    assert script.happened() == []
    script.pass_time(0.2)
    assert script.happened() == [events.StillOffline()]
    script.pass_time(5.0)
    script.breaks()
    script.pass_time(5.0)
    script.log_in()
    script.breaks()
    script.pass_time(0.9)
    script.log_in()
    script.pass_time(1.0)
    assert events.StillOffline() not in script.happened()


def test_a_node_that_says_it_is_closing_and_then_lingers_counts_as_off() -> None:
    script = Script()
    script.log_in()
    script.says("NOTE closing :this node stops")
    script.happened()
    script.pass_time(1.1)
    assert script.happened() == [events.StillOffline()]


def test_a_login_that_is_refused_for_longer_than_a_second_is_told() -> None:
    script = Script(insist=True)
    script.connect()
    script.says("+OK @- node=head max-line=1024 nodes=a:1", "-ERR 433 @login alice is in use")
    script.happened()
    script.pass_time(1.1)
    assert script.happened() == [events.StillOffline()]


def test_an_attempt_without_an_answer_is_given_up() -> None:
    script = Script()
    script.happened()
    script.pass_time(10.2)
    assert script.happened() == [
        Disconnect(),
        ConnectionLost("a", 1, "no answer", 0.0),
        ConnectTo("b", 2),
    ]


def test_something_else_than_chainchat_is_left() -> None:
    script = Script()
    script.connect()
    script.says("SSH-2.0-OpenSSH_9.2")
    assert script.happened()[-1] == ConnectTo("b", 2)


# --- whom to try next --------------------------------------------------------------------


def test_a_node_that_sends_its_clients_on_has_not_failed() -> None:
    nodes = Nodes([("a", 1), ("b", 1), ("c", 1)], Random(0))
    assert [nodes.lost(0.1, sent_on=True) for _ in range(9)] == [0.0] * 9


def test_a_round_of_sessions_that_break_soon_is_waited_out() -> None:
    nodes = Nodes([("a", 1), ("b", 1), ("c", 1)], Random(0))
    first, second, third = (nodes.lost(0.1) for _ in range(3))
    assert (first, second) == (0.0, 0.0)
    assert third > 0.0


@pytest.mark.parametrize(
    ("sessions", "longest"), [("", 0.0), (" sessions=1", 0.0), (" sessions=801", 0.8)]
)
def test_the_greeting_tells_how_many_have_to_find_another_node(
    sessions: str, longest: float
) -> None:
    script = Script()
    script.connect()
    script.says(f"+OK @- node=tail max-line=1024 nodes=a:1,b:2,c:3{sessions}")
    script.says(f"+OK @login session={TOKEN} high=1000")
    script.happened()
    wait = Random(1).uniform(0, longest) if longest else 0.0
    assert script.breaks()[0] == ConnectionLost("a", 1, "the connection broke", wait)
    assert script.engine.alarm == pytest.approx(script.now + (wait or CONNECT_WITHIN))


def test_many_clients_of_a_dead_node_spread_over_the_others_and_over_time() -> None:
    chosen: Counter[wire.Address] = Counter()
    moments = []
    for seed in range(1000):
        nodes = Nodes([("a", 1), ("b", 2), ("c", 3)], Random(seed))
        nodes.sessions = 1000
        moments.append(nodes.lost(3600.0))
        chosen[nodes.current] += 1
    assert set(chosen) == {Address("b", 2), Address("c", 3)}
    assert all(450 < count < 550 for count in chosen.values())
    tenths = Counter(int(moment * 10) for moment in moments)
    assert set(tenths) == set(range(10))
    assert max(tenths.values()) < 150


def test_however_many_there_are_the_spread_has_a_bound() -> None:
    moments = []
    for seed in range(100):
        nodes = Nodes([("a", 1), ("b", 2)], Random(seed))
        nodes.sessions = 10**9
        moments.append(nodes.lost(3600.0))
    assert 0.9 * LONGEST_SPREAD < max(moments) <= LONGEST_SPREAD


def test_the_count_of_sessions_belongs_to_one_node() -> None:
    nodes = Nodes([("a", 1), ("b", 2)], Random(1))
    nodes.sessions = 1000
    nodes.lost(3600.0)
    assert nodes.lost(3600.0) == 0.0


def test_each_round_tries_every_node_once() -> None:
    addresses = [Address("a", 1), Address("b", 2), Address("c", 3), Address("d", 4)]
    for seed in range(20):
        nodes = Nodes(addresses, Random(seed))
        tried = []
        for _ in range(4):
            tried.append(nodes.current)
            nodes.lost(None)
        assert sorted(tried) == addresses


def test_a_server_cannot_name_nodes_without_bound() -> None:
    nodes = Nodes([("a", 1)], Random(1))
    nodes.learn((f"host{number}", 1) for number in range(10_000))
    tried = set()
    for _ in range(10 * MOST_NODES):
        nodes.lost(None)
        tried.add(nodes.current)
    assert len(tried) == MOST_NODES


def test_a_server_cannot_have_nodes_remembered_without_bound() -> None:
    remembered: list[Address] = []

    class Remembering(Memory):
        def learned(self, addresses: list[Address]) -> None:
            remembered.extend(addresses)

    script = Script(memory=Remembering())
    script.log_in()
    for part in range(10):
        nodes = ",".join(f"host{number}:1" for number in range(100 * part, 100 * part + 100))
        script.says(f"NOTE closing nodes={nodes} :this node stops")
    assert len(remembered) == MOST_NODES - len(NODES)
