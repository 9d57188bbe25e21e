"""Links: which connection counts, what is heard on it, and the lanes beside it."""

from contextlib import suppress

import pytest
import pytest_twisted
from links_rim import introduction, linked
from msgspec.structs import replace
from tcp import HERE, Talkers, a_moment, closed_port, reactor, until
from twisted.internet.defer import ensureDeferred, maybeDeferred
from twisted.internet.error import ConnectionLost

from chainchat.chain.entries import Entry, EntryId, Submission
from chainchat.chain.messages import Ack, Copied, Fetch, Forward, Newest, Ping, Submit, encode
from chainchat.peers.boxes import boxed
from chainchat.peers.detector import LAST_PAUSE
from chainchat.peers.hello import NotLinkedError, RefusedHelloError
from chainchat.peers.link import Link
from chainchat.peers.tunables import Tunables

pytestmark = pytest.mark.reactor


@pytest.fixture
def pair(rim):
    """Head and tail, both listening, both started."""
    for position in ("head", "tail"):
        rim.listen(position)
    for position in ("head", "tail"):
        rim.start(position)
    return rim


# --- two nodes ---------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_two_nodes_are_linked_and_hear_each_other_in_order(pair, logged):
    await until(lambda: linked(pair, "head", "tail") and linked(pair, "tail", "head"))
    for seq in range(100):
        pair.links["head"].send("tail", Ack(1, seq))
        pair.links["tail"].send("head", Ack(2, seq))
    await until(lambda: len(pair.receivers["tail"].messages()) == 100)
    await until(lambda: len(pair.receivers["head"].messages()) == 100)
    assert pair.receivers["tail"].messages() == [("head", Ack(1, seq)) for seq in range(100)]
    assert pair.receivers["head"].messages() == [("tail", Ack(2, seq)) for seq in range(100)]
    assert "head: linked with tail" in logged


@pytest_twisted.ensureDeferred
async def test_a_hello_says_what_its_node_holds_at_that_moment(pair):
    mine, later, its = (Newest(3, 7, EntryId(2, seq, b"digest")) for seq in (9, 10, 11))
    head, tail = pair.receivers["head"], pair.receivers["tail"]
    head.held, tail.held = mine, its
    await until(lambda: (head.held_by, tail.held_by) == ({"tail": its}, {"head": mine}))
    head.held = later
    pair.link("head", "tail").close()
    await until(lambda: tail.held_by == {"head": later})


@pytest_twisted.ensureDeferred
async def test_of_each_pair_the_earlier_in_founding_order_dials(rim):
    rim.listen("tail")
    rim.settings["head"] = rim.node("head", closed_port())
    rim.start("tail")
    await until(lambda: ("refused", "head") in rim.heard("tail"))
    assert rim.dialling("tail")._attempts == {}
    assert not linked(rim, "tail", "head")


@pytest_twisted.ensureDeferred
async def test_what_is_said_to_nobody_gets_lost(alone):
    alone.links["tail"].send("head", Ack(1, 1))
    alone.links["tail"].send("nobody", Fetch(1, introduction("tail").member, EntryId()))
    await a_moment()
    assert alone.receivers["tail"].messages() == []


@pytest_twisted.ensureDeferred
async def test_when_a_node_dies_the_other_is_told_first_of_the_end_then_of_the_refusal(pair):
    await until(lambda: linked(pair, "head", "tail"))
    pair.receivers["head"].heard.clear()
    await pair.ports["tail"].stopListening()
    pair.links["tail"].stop()
    await until(lambda: ("refused", "tail") in pair.heard("head"))
    assert pair.heard("head") == [("unlinked", "tail"), ("refused", "tail")]


@pytest_twisted.ensureDeferred
async def test_only_at_its_own_address_does_a_refusal_prove_a_nodes_death(alone):
    elsewhere = Talkers()
    port = reactor.listenTCP(0, elsewhere, interface=HERE)
    link = await alone.dial("tail", as_=introduction("head", port=port.getHost().port))
    await until(lambda: linked(alone, "tail", "head"))
    alone.heard("tail").clear()
    link.transport.abortConnection()
    await until(lambda: len(elsewhere.made) >= 3)  # probed there, not where chain.ini says
    assert alone.heard("tail") == [("unlinked", "head")]
    await maybeDeferred(port.stopListening)
    await until(lambda: ("refused", "head") in alone.heard("tail"))


@pytest_twisted.ensureDeferred
async def test_the_members_own_address_is_probed_when_somebody_elsewhere_says_it_is_the_member(
    alone,
):
    own = Talkers()
    port = reactor.listenTCP(0, own, interface=HERE)
    elsewhere, here = closed_port(), port.getHost().port
    receiver = alone.receivers["tail"]
    receiver.members["head"] = introduction("head", port=here).member
    newcomer = introduction("head", port=elsewhere)
    newcomer = replace(newcomer, member=replace(newcomer.member, id="id-2"))
    link = await alone.dial("tail", as_=newcomer)
    await until(lambda: linked(alone, "tail", "head"))
    await until(lambda: len(own.made) >= 2)
    assert ("head", HERE, elsewhere) not in receiver.refusals  # it is linked
    receiver.refusals.clear()
    link.transport.abortConnection()
    await until(lambda: receiver.refusals)
    assert receiver.refusals == {("head", HERE, elsewhere)}
    await maybeDeferred(port.stopListening)
    await until(lambda: ("head", HERE, here) in receiver.refusals)
    receiver.members["head"] = newcomer.member  # it has joined, where it is
    receiver.refusals.clear()
    await a_moment(2 * LAST_PAUSE)
    await until(lambda: receiver.refusals)
    assert receiver.refusals == {("head", HERE, elsewhere)}


@pytest_twisted.ensureDeferred
async def test_a_connection_that_ends_while_the_port_is_open_is_made_again(pair):
    await until(lambda: linked(pair, "head", "tail"))
    pair.receivers["head"].heard.clear()
    for link in list(pair.table("tail").every):
        link.transport.abortConnection()
    await until(lambda: linked(pair, "head", "tail"))
    assert pair.heard("head") == [("unlinked", "tail"), ("linked", "tail", 1)]


@pytest_twisted.ensureDeferred
async def test_a_node_that_ended_its_life_begins_another_on_the_same_port(pair):
    await until(lambda: linked(pair, "head", "tail"))
    links, receiver = pair.links["tail"], pair.receivers["tail"]
    links.stop()
    links.start(introduction("tail", 2), receiver)
    await until(lambda: linked(pair, "head", "tail", 2))
    assert not [what for what in pair.heard("head") if what[0] == "refused"]


# --- which connection counts -------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_life_that_ends_takes_with_it_who_has_not_said_a_word(rim):
    rim.start_tail_alone(Tunables(hello=60.0))
    client = await rim.dial("tail")
    await until(lambda: rim.table("tail").every)
    rim.links["tail"].stop()
    await until(lambda: client.closed)


@pytest_twisted.ensureDeferred
async def test_nobody_is_linked_with_a_life_that_ended_while_it_was_greeted(alone, monkeypatch):
    links = alone.links["tail"]
    new = introduction("tail", incarnation=2, port=alone.settings["tail"].chain_port)
    introduce = Link._introduce

    def die_first(link):
        links.stop()
        links.start(new, alone.receivers["tail"])
        introduce(link)

    monkeypatch.setattr(Link, "_introduce", die_first)
    with suppress(ConnectionLost):  # the answer may come through before the end
        await alone.dial("tail", as_=introduction("head"))
    await until(lambda: alone.dialled[0].closed)
    assert not linked(alone, "tail", "head")


@pytest_twisted.ensureDeferred
async def test_a_newer_connection_takes_the_place_of_an_older(alone):
    first = await alone.dial("tail", as_=introduction("head"))
    await until(lambda: linked(alone, "tail", "head"))
    alone.receivers["tail"].heard.clear()
    second = await alone.dial("tail", as_=introduction("head", 2))
    await until(lambda: linked(alone, "tail", "head", 2))
    assert [what for what in alone.heard("tail") if what[0] != "refused"] == [
        ("unlinked", "head"),
        ("linked", "head", 2),
    ]
    await until(lambda: first.closed)
    alone.links["tail"].send("head", Ack(1, 1))
    await until(lambda: second.boxes)
    assert not second.closed
    assert ("unlinked", "head") not in alone.heard("tail")[2:]


@pytest_twisted.ensureDeferred
async def test_what_comes_on_a_connection_that_was_replaced_is_dropped(alone):
    await alone.dial("tail", as_=introduction("head"))
    await until(lambda: linked(alone, "tail", "head"))
    older = alone.link("tail", "head")
    second = await alone.dial("tail", as_=introduction("head", 2))
    await until(lambda: linked(alone, "tail", "head", 2))
    alone.links["tail"].deliver(older, Ack(1, 1))
    second.say(Ack(1, 2))
    await until(alone.receivers["tail"].messages)
    assert alone.receivers["tail"].messages() == [("head", Ack(1, 2))]


@pytest_twisted.ensureDeferred
async def test_nothing_counts_before_the_hello(alone, logged):
    client = await alone.dial("tail")
    client.say(Ping(introduction("head").member, 1, 1))
    await until(lambda: client.closed)
    assert alone.receivers["tail"].messages() == []
    assert logged[0].endswith("sent Ping out of place: connection closed")


@pytest.mark.parametrize(
    "message", [Ack(1, 9), Ping(introduction("head").member, 1, 1)], ids=["chain", "membership"]
)
@pytest_twisted.ensureDeferred
async def test_who_has_only_claimed_a_copy_lane_cannot_speak_on_another(alone, logged, message):
    await alone.dial("tail", as_=introduction("head"))
    copying = await alone.dial("tail", as_=introduction("head"), lane=b"copy")
    copying.say(message)
    await until(lambda: copying.closed)
    assert alone.receivers["tail"].messages() == []
    assert logged[-1].endswith(f"sent {type(message).__name__} out of place: connection closed")


@pytest_twisted.ensureDeferred
async def test_who_says_nothing_is_not_waited_for(rim):
    rim.start_tail_alone(Tunables(hello=0.05))
    client = await rim.dial("tail")
    await until(lambda: client.closed)


# --- the membership lane -----------------------------------------------------------------


def ping(position, nonce):
    return Ping(introduction(position).member, nonce, 1)


async def with_a_membership_lane(rim):
    """The head's chain lane and membership lane, made by the test."""
    chain = await rim.dial("tail", as_=introduction("head"))
    await until(lambda: linked(rim, "tail", "head"))
    aside = await rim.dial("tail", as_=introduction("head"), lane=b"membership", key=chain.key)
    await until(lambda: ("head", "membership") in rim.table("tail").linked)
    return chain, aside


@pytest_twisted.ensureDeferred
async def test_what_is_said_about_configurations_does_not_stand_behind_bulk(alone):
    chain, aside = await with_a_membership_lane(alone)
    links = alone.links["tail"]
    chain.transport.pauseProducing()
    bulk = Forward(1, EntryId(), (Entry(1, 1, "a", 1, 1, b"x" * 50_000),), 0)
    while ("full", "head", True) not in alone.heard("tail"):
        links.send("head", bulk)
    links.send("head", ping("tail", 1))
    await until(lambda: aside.boxes)
    assert [kind for kind, _ in aside.boxes] == ["Ping"]
    aside.say(ping("head", 2))
    await until(alone.receivers["tail"].messages)
    assert alone.receivers["tail"].messages() == [("head", ping("head", 2))]


@pytest_twisted.ensureDeferred
async def test_who_dials_the_chain_lane_opens_the_membership_lane_and_again_if_it_ends(pair):
    lanes = [pair.table("head").linked, pair.table("tail").linked]
    await until(lambda: all(len(links) == 2 for links in lanes))
    lanes[1]["head", "membership"].close()
    await until(lambda: all(len(links) == 1 for links in lanes))
    said = Ping(pair.links["tail"].introduction.member, 1, 1)
    pair.links["tail"].send("head", said)  # on the chain lane until then
    await until(lambda: pair.receivers["head"].messages() == [("tail", said)])
    await until(lambda: all(len(links) == 2 for links in lanes))
    assert ("unlinked", "tail") not in pair.heard("head")
    assert ("unlinked", "head") not in pair.heard("tail")


@pytest_twisted.ensureDeferred
async def test_a_membership_lane_ends_with_its_chain_lane(alone):
    chain, aside = await with_a_membership_lane(alone)
    chain.transport.abortConnection()
    await until(lambda: aside.closed)
    assert alone.table("tail").linked == {}


@pytest_twisted.ensureDeferred
async def test_a_membership_lane_ends_when_another_chain_lane_takes_the_place_of_its_own(rim):
    rim.start_tail_alone(Tunables(trial=0.01))
    _, aside = await with_a_membership_lane(rim)
    await rim.dial("tail", as_=introduction("head", incarnation=2))
    await until(lambda: aside.closed)
    assert linked(rim, "tail", "head", incarnation=2)


@pytest.mark.parametrize("key", [None, b"", b"guessed"])
@pytest_twisted.ensureDeferred
async def test_nobody_opens_a_membership_lane_beside_the_link_of_another(alone, key, logged):
    chain = await alone.dial("tail", as_=introduction("head"))
    await until(lambda: linked(alone, "tail", "head"))
    before = list(logged)
    with pytest.raises(NotLinkedError):
        await alone.dial("tail", as_=introduction("head"), lane=b"membership", key=key)
    other = introduction("head", incarnation=2)
    with pytest.raises(NotLinkedError):  # with the key, but in another life
        await alone.dial("tail", as_=other, lane=b"membership", key=chain.key)
    await until(lambda: all(client.closed for client in alone.dialled[1:]))
    assert set(alone.table("tail").linked) == {("head", "chain")}
    assert logged == before


@pytest_twisted.ensureDeferred
async def test_who_speaks_on_the_membership_lane_alone_keeps_its_link(rim):
    rim.start_tail_alone(Tunables(trial=0.1))
    _, aside = await with_a_membership_lane(rim)
    claim = ensureDeferred(rim.dial("tail", as_=introduction("head", incarnation=2)))
    await until(lambda: rim.trials("tail"))
    aside.say(ping("head", 1))
    with pytest.raises(RefusedHelloError, match="at the same address"):
        await claim


# --- the copy lane -----------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_what_is_copied_goes_on_a_connection_of_its_own(pair):
    await until(lambda: linked(pair, "tail", "head") and linked(pair, "head", "tail"))
    fetch = Fetch(1, pair.links["tail"].introduction.member, EntryId(1, 1))
    copied = Copied(1, EntryId(1, 1), (), EntryId(1, 1), True)
    pair.links["tail"].send("head", fetch)
    await until(lambda: pair.receivers["head"].messages() == [("tail", fetch)])
    pair.links["head"].send("tail", copied)
    await until(lambda: pair.receivers["tail"].messages() == [("head", copied)])
    lanes = [{lane for _, lane in pair.table(position).linked} for position in pair.links]
    assert lanes == [{"chain", "membership", "copy"}] * 2


@pytest_twisted.ensureDeferred
async def test_who_comes_to_copy_is_dialled_at_once(rim):
    """A newcomer would else be a member before its predecessor can reach it."""
    port = closed_port()
    rim.listen("head")
    rim.settings["tail"] = rim.node("tail", port)
    rim.start("head", Tunables(first_redial=600.0))
    await until(lambda: "tail" in rim.dialling("head")._timers)
    rim.ports["tail"] = reactor.listenTCP(port, Talkers(), interface=HERE)
    tail = rim.start("tail")
    tail.send("head", Fetch(1, introduction("tail").member, EntryId()))
    await until(lambda: linked(rim, "head", "tail") and linked(rim, "tail", "head"))


@pytest_twisted.ensureDeferred
async def test_the_end_of_the_copy_lane_is_not_the_end_of_the_link(alone):
    await alone.dial("tail", as_=introduction("head"))
    copying = await alone.dial("tail", as_=introduction("head"), lane=b"copy")
    await until(lambda: len(alone.table("tail").linked) == 2)
    alone.receivers["tail"].heard.clear()
    copying.transport.abortConnection()
    await until(lambda: len(alone.table("tail").linked) == 1)
    assert [what for what in alone.heard("tail") if what[0] != "refused"] == []


@pytest_twisted.ensureDeferred
async def test_who_has_no_copy_lane_is_sent_no_entries(alone):
    client = await alone.dial("tail", as_=introduction("head"))
    await until(lambda: linked(alone, "tail", "head"))
    alone.links["tail"].send("head", Copied(1, EntryId(), (), EntryId(), False))
    alone.links["tail"].send("head", Ack(1, 1))
    await until(lambda: client.boxes)
    assert [kind for kind, _ in client.boxes] == ["Ack"]


@pytest_twisted.ensureDeferred
async def test_a_receiver_that_does_not_read_pauses_its_link_and_no_other(alone):
    client = await alone.dial("tail", as_=introduction("head"))
    await until(lambda: linked(alone, "tail", "head"))
    client.transport.pauseProducing()
    big = Fetch(1, replace(introduction("tail").member, host="h" * 60_000), EntryId())
    await alone.dial("tail", as_=introduction("head"), lane=b"copy")
    await until(lambda: len(alone.table("tail").linked) == 2)
    link = alone.link("tail", "head")
    while ("full", "head", True) not in alone.heard("tail"):
        link.send(big)
    client.transport.resumeProducing()
    await until(lambda: ("full", "head", False) in alone.heard("tail"))


@pytest_twisted.ensureDeferred
async def test_a_learner_that_does_not_read_pauses_its_copy_lane_alone(alone):
    await alone.dial("tail", as_=introduction("head"))
    await until(lambda: linked(alone, "tail", "head"))
    learner = await alone.dial("tail", as_=introduction("head"), lane=b"copy")
    await until(lambda: len(alone.table("tail").linked) == 2)
    learner.transport.pauseProducing()
    heard = alone.receivers["tail"]
    assert heard.copy_full_at == {"head": False}  # a new one is not full
    big = Fetch(1, replace(introduction("tail").member, host="h" * 60_000), EntryId())
    link = alone.link("tail", "head", "copy")
    while not heard.copy_full_at["head"]:
        link.send(big)
    assert ("full", "head", True) not in alone.heard("tail")
    learner.transport.resumeProducing()
    await until(lambda: not heard.copy_full_at["head"])


# --- the octets


@pytest_twisted.ensureDeferred
async def test_however_the_octets_are_cut_each_message_is_heard_once(alone):
    await alone.dial("tail", as_=introduction("head"))
    await until(lambda: linked(alone, "tail", "head"))
    # A cut may leave what looks like a box for the next read.
    inner = Submission(1, boxed(*encode(Ack(1, 7))))
    said = [Ack(1, 1), Submit(1, "origin", (inner,)), Ack(1, 2)]
    stream = b"".join(boxed(*encode(message)) for message in said)
    link = alone.link("tail", "head")
    for cut in range(len(stream) + 1):
        link.dataReceived(stream[:cut])
        link.dataReceived(stream[cut:])
    for cut in range(0, len(stream), 7):
        link.dataReceived(stream[cut : cut + 7])
    heard = alone.receivers["tail"].messages()
    assert heard == [("head", message) for message in said * (len(stream) + 2)]
    await a_moment()
    assert ("unlinked", "head") not in alone.heard("tail")


@pytest_twisted.ensureDeferred
async def test_a_box_without_an_end_ends_the_connection(alone, logged):
    client = await alone.dial("tail", as_=introduction("head"))
    await until(lambda: linked(alone, "tail", "head"))
    key_and_value = b"\0\1k" + b"\xff\xff" + b"v" * 65_535
    client.transport.write(key_and_value * 10)
    await until(lambda: client.closed)
    assert [line for line in logged if "sent a box without an end: connection closed" in line]


@pytest_twisted.ensureDeferred
async def test_who_was_dialled_and_is_slow_to_answer_is_not_dialled_again(pair, monkeypatch):
    await until(lambda: linked(pair, "head", "tail"))
    answered, calls = Link._answered, []

    def late(link, answer):
        pause = 0.1 if link.lane == "chain" else 0
        calls.append(reactor.callLater(pause, answered, link, answer))

    monkeypatch.setattr(Link, "_answered", late)
    new = introduction("head", incarnation=2, port=pair.settings["head"].chain_port)
    pair.links["head"].stop()
    pair.links["head"].start(new, pair.receivers["head"])
    await until(lambda: linked(pair, "tail", "head", incarnation=2))
    await a_moment(0.3)
    links_of_2 = [heard for heard in pair.heard("tail") if heard == ("linked", "head", 2)]
    assert len(links_of_2) == 1
    for links in pair.links.values():
        links.stop()
    await until(lambda: not any(pair.table(position).every for position in pair.links))
    for call in calls:
        if call.active():
            call.cancel()
