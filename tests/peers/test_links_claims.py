"""Links: which of two claimants of a position is linked, and what is bounded."""

import pytest
import pytest_twisted
from links_rim import Receiver, introduction, linked
from msgspec import msgpack
from msgspec.structs import replace
from tcp import Talkers, a_moment, closed_port, reactor, until
from twisted.internet.defer import ensureDeferred
from twisted.protocols import amp

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Ack, Ping
from chainchat.peers.claims import Verdict, judge
from chainchat.peers.dialling import Dialling
from chainchat.peers.hello import DialsItselfError, Hello, Introduction, RefusedHelloError
from chainchat.peers.link import Link
from chainchat.peers.links import Links
from chainchat.peers.tunables import Tunables

pytestmark = pytest.mark.reactor

HERE, THERE, ELSEWHERE = ("a", 1), ("b", 1), ("a", 2)

LONG = 3_600.0
"""Seconds, in which nobody becomes suspect however long this machine stands still."""


@pytest.fixture
def pair(rim):
    """Head and tail, linked; chain.ini names both."""
    for position in ("head", "tail"):
        rim.listen(position)
    for position in ("head", "tail"):
        rim.start(position)
    both = until(lambda: linked(rim, "head", "tail") and linked(rim, "tail", "head"))
    pytest_twisted.blockon(ensureDeferred(both))
    return rim


def head(rim, *, port=None, node_id="id-head", incarnation=1, **changed):
    at = rim.settings["head"].chain_port if port is None else port
    known = introduction("head", incarnation, at, **changed)
    return replace(known, member=replace(known.member, id=node_id))


# --- the verdict


@pytest.mark.parametrize(
    ("claimant", "holder", "rightful", "heard", "verdict"),
    [
        (HERE, HERE, HERE, True, Verdict.TRIAL),
        (HERE, HERE, THERE, False, Verdict.TRIAL),
        (HERE, THERE, HERE, True, Verdict.WELCOME),
        (HERE, THERE, HERE, False, Verdict.WELCOME),
        (HERE, THERE, THERE, True, Verdict.REFUSED),
        (HERE, THERE, THERE, False, Verdict.WELCOME),
        (HERE, ELSEWHERE, THERE, True, Verdict.REFUSED),
        (HERE, ELSEWHERE, None, True, Verdict.REFUSED),
        (HERE, ELSEWHERE, None, False, Verdict.WELCOME),
    ],
)
def test_a_claim_is_judged_by_addresses_and_by_whether_the_holder_lives(
    claimant, holder, rightful, heard, verdict
):
    newer, older = Member("head", "id-2", 9, *claimant), Member("head", "id-1", 1, *holder)
    assert judge(newer, older, rightful, heard=heard) is verdict


# --- a second process of a position


@pytest_twisted.ensureDeferred
async def test_a_second_process_of_a_position_is_refused_and_the_first_keeps_its_link(rim, logged):
    rim.start_tail_alone(suspect_after=LONG)
    first = await rim.dial("tail", as_=head(rim, suspect_after=LONG))
    await until(lambda: linked(rim, "tail", "head"))
    rim.heard("tail").clear()
    second = head(rim, port=9, node_id="id-2", incarnation=7, suspect_after=LONG)
    with pytest.raises(RefusedHelloError, match="tail: it is a second head: head is linked from"):
        await rim.dial("tail", as_=second)
    first.say(Ack(1, 1))
    await until(rim.receivers["tail"].messages)
    assert rim.heard("tail") == [("head", Ack(1, 1))]
    at = rim.settings["head"].chain_port
    assert logged[-1].endswith(f"refused: it is a second head: head is linked from 127.0.0.1:{at}")


@pytest_twisted.ensureDeferred
async def test_who_is_where_chain_ini_has_the_position_takes_the_place_of_who_is_not(alone):
    stray = await alone.dial("tail", as_=head(alone, port=9, node_id="id-2", incarnation=7))
    await until(lambda: linked(alone, "tail", "head", 7))
    await alone.dial("tail", as_=head(alone))
    await until(lambda: linked(alone, "tail", "head", 1))
    await until(lambda: stray.closed)


@pytest_twisted.ensureDeferred
async def test_who_is_where_the_configuration_has_the_member_counts_more_than_chain_ini(rim):
    rim.start_tail_alone(suspect_after=LONG)
    rim.receivers["tail"].members["head"] = Member("head", "id-2", 7, "127.0.0.1", 9)
    member = head(rim, port=9, node_id="id-2", incarnation=7, suspect_after=LONG)
    await rim.dial("tail", as_=member)
    await until(lambda: linked(rim, "tail", "head", 7))
    with pytest.raises(RefusedHelloError, match="is a second head"):
        await rim.dial("tail", as_=head(rim, suspect_after=LONG))


@pytest_twisted.ensureDeferred
async def test_of_a_silent_process_the_place_is_taken(rim):
    rim.listen("tail")
    rim.settings["head"] = rim.node("head", closed_port())
    rim.start("tail", suspect_after=0.1)
    silent = await rim.dial("tail", as_=head(rim, suspect_after=0.1))
    await until(lambda: linked(rim, "tail", "head"))
    link = rim.link("tail", "head")
    await until(lambda: reactor.seconds() - link.heard > 0.1)
    second = head(rim, port=9, node_id="id-2", incarnation=7, suspect_after=0.1)
    await rim.dial("tail", as_=second)
    await until(lambda: linked(rim, "tail", "head", 7))
    await until(lambda: silent.closed)


@pytest_twisted.ensureDeferred
async def test_at_the_same_address_whoever_still_speaks_is_the_one_that_lives(alone, logged):
    first = await alone.dial("tail", as_=head(alone))
    await until(lambda: linked(alone, "tail", "head"))
    alone.heard("tail").clear()
    claim = ensureDeferred(alone.dial("tail", as_=head(alone, incarnation=2)))
    await until(lambda: alone.trials("tail"))
    first.say(Ack(1, 1))
    with pytest.raises(RefusedHelloError, match="at the same address"):
        await claim
    assert alone.heard("tail") == [("head", Ack(1, 1))]
    assert not first.closed
    assert not alone.trials("tail")


@pytest_twisted.ensureDeferred
async def test_a_life_that_was_waited_for_is_linked_at_once_when_the_old_connection_ends(rim):
    rim.listen("tail")
    rim.settings["head"] = rim.node("head", closed_port())
    rim.start("tail", suspect_after=LONG)
    first = await rim.dial("tail", as_=head(rim, suspect_after=LONG))
    await until(lambda: linked(rim, "tail", "head"))
    new = head(rim, incarnation=2, suspect_after=LONG)
    claim = ensureDeferred(rim.dial("tail", as_=new))
    await until(lambda: rim.trials("tail"))
    first.transport.abortConnection()
    await claim
    await until(lambda: linked(rim, "tail", "head", 2))


@pytest_twisted.ensureDeferred
async def test_a_life_that_ends_ends_its_trials(alone):
    await alone.dial("tail", as_=head(alone))
    await until(lambda: linked(alone, "tail", "head"))
    claim = ensureDeferred(alone.dial("tail", as_=head(alone, incarnation=2)))
    await until(lambda: alone.trials("tail"))
    alone.links["tail"].stop()
    with pytest.raises(Exception, match="Connection"):
        await claim


# --- a position that this side dials


@pytest_twisted.ensureDeferred
async def test_who_comes_in_as_a_node_that_is_dialled_displaces_nothing(pair):
    link = pair.link("head", "tail")
    pair.heard("head").clear()
    for incarnation in (1, 2):
        claim = introduction("tail", incarnation, pair.settings["tail"].chain_port)
        with pytest.raises(DialsItselfError):
            await pair.dial("head", as_=claim)
    await a_moment()
    assert pair.link("head", "tail") is link
    assert pair.heard("head") == []


@pytest_twisted.ensureDeferred
async def test_who_comes_in_as_a_node_that_is_dialled_is_a_hint_to_dial_it(rim):
    port = closed_port()
    rim.listen("head")
    rim.settings["tail"] = rim.node("tail", port)
    rim.start("head", Tunables(first_redial=600.0, last_redial=600.0))
    dialling = rim.dialling("head")
    await until(lambda: "tail" in dialling._timers)
    dialling._rare["tail"] = 60.0
    elsewhere = Talkers()
    rim.ports["tail"] = reactor.listenTCP(port, elsewhere, interface="127.0.0.1")
    with pytest.raises(DialsItselfError):
        await rim.dial("head", as_=introduction("tail", port=port))
    # The detector's probes say nothing; a dialling node says its Hello.
    await until(lambda: any(b"Hello" in talker.data for talker in elsewhere.made))
    assert "tail" not in dialling._rare


@pytest_twisted.ensureDeferred
async def test_a_node_at_another_address_than_chain_ini_has_is_told_so(rim, logged):
    rim.listen("head")
    rim.settings["tail"] = rim.node("tail", closed_port())
    rim.start("head")
    with pytest.raises(RefusedHelloError, match=r"where chain\.ini has tail, but at '127.0.0.1:9'"):
        await rim.dial("head", as_=introduction("tail", port=9))
    assert not linked(rim, "head", "tail")


@pytest_twisted.ensureDeferred
async def test_a_second_process_that_nobody_dials_knocks_and_is_told_why(pair, logged):
    port = reactor.listenTCP(0, Talkers(), interface="127.0.0.1")
    mine = introduction("tail", port=port.getHost().port)
    mine = replace(mine, member=replace(mine.member, id="id-2"))
    second = Links(reactor, mine, pair.settings, Tunables(first_rare=0.01))
    pair.links["second"], pair.ports["second"] = second, port
    port.factory = second.factory()
    second.start(mine, Receiver())
    at = pair.settings["tail"].chain_port
    line = f"refuses this node: head: it is a second tail: tail is linked from 127.0.0.1:{at}"
    await until(lambda: any(line in each for each in logged))
    assert ("unlinked", "tail") not in pair.heard("head")


# --- who is refused, and who is lost


@pytest_twisted.ensureDeferred
async def test_who_is_refused_in_words_tries_ever_more_rarely(rim, monkeypatch):
    for position in ("head", "tail"):
        rim.listen(position)
    rim.start("tail", suspect_after=9.0)
    pauses = []
    later = reactor.callLater
    links = rim.start("head", Tunables(first_rare=0.005, last_rare=0.02))
    dialling = rim.dialling("head")
    monkeypatch.setattr(
        links.clock, "callLater", lambda s, f, *a: pauses.append((f, s)) or later(s, f, *a)
    )
    await until(lambda: dialling._rare.get("tail") == 0.02)
    redials = [seconds for call, seconds in pauses if call == dialling._attempt]
    for redial, pause in zip(redials, (0.005, 0.01, 0.02), strict=False):
        assert pause / 2 <= redial <= pause
    rim.links["tail"].stop()
    rim.links["tail"].start(
        introduction("tail", port=rim.settings["tail"].chain_port), rim.receivers["tail"]
    )
    await until(lambda: linked(rim, "head", "tail"))
    assert "tail" not in dialling._rare


@pytest_twisted.ensureDeferred
async def test_a_copy_lane_is_refused_to_a_second_process(alone):
    await alone.dial("tail", as_=head(alone))
    await until(lambda: linked(alone, "tail", "head"))
    with pytest.raises(RefusedHelloError, match="is a second head"):
        await alone.dial("tail", as_=head(alone, port=9, node_id="id-2"), lane=b"copy")


# --- copies, and who is where


@pytest_twisted.ensureDeferred
async def test_whoever_is_linked_is_looked_at_where_it_says_it_is(pair):
    at = {position: pair.settings[position].chain_port for position in ("head", "tail")}
    receivers = pair.receivers
    await until(lambda: receivers["head"].reach == {("tail", at["tail"]): ("id-tail", 1)})
    await until(lambda: receivers["tail"].reach == {("head", at["head"]): ("id-head", 1)})
    for position in ("head", "tail"):
        await until(lambda at=position: not pair.dialling(at).looks)


@pytest_twisted.ensureDeferred
async def test_who_is_not_where_it_says_is_linked_and_was_not_reached(alone, monkeypatch):
    attempts = []
    connect = Dialling.connect
    monkeypatch.setattr(
        Dialling,
        "connect",
        lambda dialling, *a, **k: attempts.append(k.get("place")) or connect(dialling, *a, **k),
    )
    await alone.dial("tail", as_=head(alone))
    await until(lambda: len(attempts) > 3)
    assert set(attempts) == {("127.0.0.1", alone.settings["head"].chain_port)}
    assert alone.receivers["tail"].reach == {}
    alone.links["tail"].stop()
    assert not alone.dialling("tail").looks


@pytest.mark.parametrize("there_first", ["copy", "original"])
@pytest_twisted.ensureDeferred
async def test_of_two_with_the_same_data_the_member_at_its_address_is_linked(
    alone, logged, there_first
):
    original = head(alone)
    copy = head(alone, port=9, incarnation=7)
    if there_first == "copy":  # before there is a chain, nobody can tell
        alone.directory("tail").configured.pop("head")
        stray = await alone.dial("tail", as_=copy)
        await until(lambda: linked(alone, "tail", "head", 7))
    alone.receivers["tail"].members["head"] = original.member
    await alone.dial("tail", as_=original)
    await until(lambda: linked(alone, "tail", "head", 1))
    if there_first == "copy":
        await until(lambda: stray.closed)
    at = alone.settings["head"].chain_port
    for lane in (b"chain", b"copy"):
        with pytest.raises(RefusedHelloError, match=f"of head, which is at 127.0.0.1:{at}"):
            await alone.dial("tail", as_=copy, lane=lane)
    assert "tail: ALARM: " in logged[-1]


@pytest_twisted.ensureDeferred
async def test_a_copy_of_a_members_data_is_refused_while_the_member_is_not_connected(alone):
    alone.receivers["tail"].members["head"] = head(alone).member
    with pytest.raises(RefusedHelloError, match="has a copy of the data of head"):
        await alone.dial("tail", as_=head(alone, port=9, incarnation=7))
    assert not linked(alone, "tail", "head", 7)


@pytest_twisted.ensureDeferred
async def test_who_has_moved_to_where_chain_ini_has_it_is_no_copy(alone):
    alone.receivers["tail"].members["head"] = head(alone, port=9).member
    await alone.dial("tail", as_=head(alone, incarnation=7))
    await until(lambda: linked(alone, "tail", "head", 7))


@pytest_twisted.ensureDeferred
async def test_who_only_wants_to_see_who_is_there_is_told_and_not_linked(alone):
    client = await alone.dial("tail")
    said = msgpack.encode(head(alone))
    answer = await client.callRemote(Hello, identity=said, lane=b"look")
    assert msgpack.decode(answer["identity"], type=Introduction).member.id == "id-tail"
    await until(lambda: client.closed)
    assert not linked(alone, "tail", "head")


@pytest_twisted.ensureDeferred
async def test_a_link_that_was_displaced_by_somebody_who_leaves_is_made_again(rim):
    """The other end was silent; somebody says what it likes, and nothing more."""
    for position in ("head", "tail"):
        rim.listen(position)
        rim.start(position, suspect_after=0.2)
    await until(lambda: linked(rim, "head", "tail") and linked(rim, "tail", "head"))
    link = rim.link("tail", "head")
    await until(lambda: reactor.seconds() - link.heard > 0.2)
    rim.heard("tail").clear()
    second = head(rim, port=9, node_id="id-2", incarnation=7, suspect_after=0.2)
    stranger = await rim.dial("tail", as_=second)
    await until(lambda: linked(rim, "tail", "head", 7))
    stranger.transport.abortConnection()
    await until(lambda: linked(rim, "tail", "head", 1))


# --- what no node sends


@pytest_twisted.ensureDeferred
async def test_who_sends_what_no_node_sends_is_named_once_and_closed(alone, logged):
    client = await alone.dial("tail", as_=head(alone))
    await until(lambda: linked(alone, "tail", "head"))
    alone.links["tail"].distrust("head", "ALARM: an epoch far ahead")
    await until(lambda: client.closed)
    [line] = [line for line in logged if "far ahead" in line]
    assert line.startswith("tail: ALARM: 127.0.0.1:")
    assert line.endswith("sent what no node sends: an epoch far ahead: connection closed")


@pytest_twisted.ensureDeferred
async def test_nobody_speaks_in_anothers_name(alone, logged):
    client = await alone.dial("tail", as_=head(alone))
    await until(lambda: linked(alone, "tail", "head"))
    client.say(Ping(introduction("middle").member, 1, 1))
    await until(lambda: client.closed)
    assert logged[-2].endswith("sent a Ping in another's name: connection closed")
    assert alone.receivers["tail"].messages() == []


# --- strangers


@pytest_twisted.ensureDeferred
async def test_of_many_who_say_nothing_the_oldest_is_closed_and_nodes_get_in(rim):
    rim.start_tail_alone(Tunables(most_strangers=3))
    alone = rim
    silent = []
    for count in range(6):
        silent.append(await alone.dial("tail"))
        await until(lambda count=count: len(alone.strangers("tail")) == min(count + 1, 3))
    await until(lambda: all(client.closed for client in silent[:3]))
    assert not any(client.closed for client in silent[3:])
    await alone.dial("tail", as_=head(alone))
    await until(lambda: linked(alone, "tail", "head"))
    assert len(alone.strangers("tail")) < 3


def newcomer(name):
    known = introduction(name)
    return replace(known, member=Member(name, f"id-{name}", 1, "127.0.0.1", 1))


@pytest_twisted.ensureDeferred
async def test_positions_that_nobody_knows_are_few_and_forgotten_with_their_link(alone):
    clients = [await alone.dial("tail", as_=newcomer(f"new-{n}")) for n in range(4)]
    await until(lambda: all(linked(alone, "tail", f"new-{n}") for n in range(4)))
    with pytest.raises(RefusedHelloError, match="is at a position unknown here, as 4 others are"):
        await alone.dial("tail", as_=newcomer("new-4"))
    await alone.dial("tail", as_=head(alone))  # whom chain.ini names
    await until(lambda: linked(alone, "tail", "head"))
    clients[0].transport.abortConnection()
    await until(lambda: ("unlinked", "new-0") in alone.heard("tail"))
    assert set(alone.directory("tail").dialled) == {"head", "new-1", "new-2", "new-3"}
    assert "new-0" not in alone.directory("tail").announced
    await alone.dial("tail", as_=newcomer("new-4"))
    await until(lambda: linked(alone, "tail", "new-4"))


@pytest_twisted.ensureDeferred
async def test_a_member_that_chain_ini_does_not_name_is_not_forgotten(alone):
    member = newcomer("spare")
    alone.receivers["tail"].members["spare"] = member.member
    client = await alone.dial("tail", as_=member)
    await until(lambda: linked(alone, "tail", "spare"))
    client.transport.abortConnection()
    await until(lambda: ("refused", "spare") in alone.heard("tail"))
    assert "spare" in alone.directory("tail").dialled


@pytest_twisted.ensureDeferred
async def test_no_position_has_a_name_that_chain_ini_could_not_give(alone, logged):
    for name in ("", "x" * 33, "two\nlines", "chain"):
        with pytest.raises(RefusedHelloError, match="it is at no position"):
            await alone.dial("tail", as_=newcomer(name))
    assert len(logged) == 1


@pytest_twisted.ensureDeferred
async def test_what_a_stranger_chooses_makes_no_further_lines_in_the_log(alone, logged):
    for n in range(5):
        client = await alone.dial("tail")
        client.transport.write(amp.AmpBox({b"_command": b"Nosuch%d" % n}).serialize())
        await until(lambda client=client: client.closed)
    assert len(logged) == 1
    for n in range(5):
        with pytest.raises(RefusedHelloError):
            await alone.dial("tail", as_=introduction("head", chain=f"other-{n}"))
        with pytest.raises(RefusedHelloError):
            await alone.dial("tail", as_=introduction("head", version=100 + n))
    assert len(logged) == 3
    for _ in range(5):  # each from another port
        client = await alone.dial("tail")
        client.sendBox(amp.AmpBox({b"_command": b"Refused", b"reason": b"go away"}))
        await until(lambda client=client: client.closed)
    assert len(logged) == 4


@pytest_twisted.ensureDeferred
async def test_of_two_that_are_welcome_in_the_same_moment_one_is_linked(alone, monkeypatch):
    welcome = []
    introduce = Link._introduce

    def hold(link):
        welcome.append(link)

    monkeypatch.setattr(Link, "_introduce", hold)
    clients = [await alone.dial("tail", as_=head(alone)) for _ in range(2)]
    await until(lambda: len(welcome) == 2)
    for link in welcome:
        introduce(link)
    await until(lambda: clients[1].closed)
    assert alone.link("tail", "head") is welcome[0]
    assert ("unlinked", "head") not in alone.heard("tail")
