"""Links: who may be linked with whom, and what strangers can do."""

import pytest
import pytest_twisted
from links_rim import Receiver, introduction, linked
from msgspec import msgpack
from msgspec.structs import replace
from tcp import HERE, Talkers, a_moment, reactor, until
from twisted.internet.defer import maybeDeferred
from twisted.protocols import amp

from chainchat.chain.configuration import Member
from chainchat.chain.messages import Ack, encode
from chainchat.config import load
from chainchat.peers import hello
from chainchat.peers.boxes import boxed
from chainchat.peers.hello import (
    OLDEST_VERSION,
    PROTOCOL_VERSION,
    REMOVING_VERSION,
    Hello,
    RefusedHelloError,
)
from chainchat.peers.links import Links

pytestmark = pytest.mark.reactor

BAD_TEXT = b"\x84\xa5epoch\x01\xa6origin\xa2\xff\xfe\xa8requests\x90\xa5chain\xa2\xff\xfe"
NESTED = b"\x81\xa1x" + b"\x91" * 30_000
UNASKED = amp.AmpBox({b"_command": b"Hello", b"identity": b"", b"lane": b"chain"}).serialize()


# --- who may be linked -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "objection"),
    [
        ({"version": 1}, f"speaks protocol version 1, not {PROTOCOL_VERSION}"),
        ({"chain": "other"}, "belongs to the chain 'other', not 'test'"),
        (
            {"founding": ("tail", "head")},
            "has the founding order 'tail head', not 'head middle tail'",
        ),
        ({"suspect_after": 3.0}, "has suspect-after 3.0, not 2.0"),
        ({"refusal_is_death": False}, "has refusal-is-death 'no', not 'yes'"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_whoever_does_not_belong_to_the_chain_is_refused(alone, logged, changed, objection):
    with pytest.raises(RefusedHelloError, match=f"tail: it {objection}"):
        await alone.dial("tail", as_=introduction("head", **changed))
    assert [line.partition(" refused: ")[2] for line in logged] == [f"it {objection}"]
    assert not linked(alone, "tail", "head")


NEXT = PROTOCOL_VERSION + 1


@pytest.mark.parametrize(
    ("version", "oldest"), [(PROTOCOL_VERSION, 0), (NEXT, PROTOCOL_VERSION), (NEXT + 1, 1)]
)
@pytest_twisted.ensureDeferred
async def test_who_speaks_a_newer_protocol_and_this_one_too_is_linked(alone, version, oldest):
    await alone.dial("tail", as_=introduction("head", version=version, oldest=oldest))
    await until(lambda: linked(alone, "tail", "head"))


@pytest.mark.parametrize(
    ("version", "oldest", "spoken"),
    [(NEXT, 0, f"{NEXT}"), (NEXT + 1, NEXT, f"{NEXT} to {NEXT + 1}"), (1, 2, "2 to 1")],
)
@pytest_twisted.ensureDeferred
async def test_who_does_not_speak_this_protocol_any_more_is_told_what_is_spoken_here(
    alone, version, oldest, spoken
):
    objection = f"it speaks protocol version {spoken}, not {PROTOCOL_VERSION}"
    with pytest.raises(RefusedHelloError, match=objection):
        await alone.dial("tail", as_=introduction("head", version=version, oldest=oldest))


@pytest_twisted.ensureDeferred
async def test_who_speaks_an_older_protocol_is_linked_until_old_messages_were_removed(alone):
    older = REMOVING_VERSION - 1
    alone.links["tail"].start(introduction("tail", oldest=older), alone.receivers["tail"])
    client = await alone.dial("tail", as_=introduction("head", version=older))
    await until(lambda: linked(alone, "tail", "head"))
    client.transport.abortConnection()
    await until(lambda: ("unlinked", "head") in alone.heard("tail"))
    alone.receivers["tail"].has_removed = True
    objection = f"it speaks protocol version {older}, not {REMOVING_VERSION}"
    with pytest.raises(RefusedHelloError, match=objection):
        await alone.dial("tail", as_=introduction("head", version=older))


@pytest.mark.parametrize(
    ("storage", "oldest"),
    [
        ("", OLDEST_VERSION),
        ("[storage]\nkeep = 9 days\n", REMOVING_VERSION),
        ("[storage]\nkeep = 1 GB\n", REMOVING_VERSION),
    ],
)
def test_who_is_to_remove_old_messages_speaks_with_no_older_protocol(tmp_path, storage, oldest):
    file = tmp_path / "chain.ini"
    file.write_text(f"[chain]\nname = test\nfounding = head\n[head]\n{storage}")
    made = hello.introduction(load(file), introduction("head").member)
    assert made.oldest == oldest
    kept = storage.partition("= ")[2].strip() or "everything"
    assert made.settings["[storage] keep"] == kept  # who keeps something else is told of


@pytest_twisted.ensureDeferred
async def test_settings_that_differ_are_told_and_keep_nobody_apart(rim, logged):
    rim.listen("head")
    rim.listen("tail")
    rim.start("tail", settings={"max-line": "2048", "stop": "1", "odd": "x\n" * 100})
    rim.start("head", settings={"max-line": "1024", "stop": "1", "odd": "y"})
    await until(lambda: linked(rim, "head", "tail") and linked(rim, "tail", "head"))
    same = "here: make every chain.ini the same"
    shown = ("x?" * 100)[:32]
    told = (f"max-line is 2048 at tail, and 1024 {same}", f"odd is {shown} at tail, and y {same}")
    assert rim.links["head"].differences == told
    complaints = [line.split(" ", 2)[2] for line in logged if line.startswith("head: 127")]
    assert complaints == [*told]
    rim.links["tail"].stop()
    await until(lambda: not rim.links["head"].differences)


@pytest_twisted.ensureDeferred
async def test_another_node_at_ones_own_position_is_refused(alone, logged):
    other = introduction("tail", 7)
    with pytest.raises(RefusedHelloError, match="is another tail"):
        await alone.dial("tail", as_=replace(other, member=replace(other.member, id="id-2")))
    assert len(logged) == 1


@pytest_twisted.ensureDeferred
async def test_a_copy_of_ones_own_data_is_an_alarm(alone, logged):
    with pytest.raises(RefusedHelloError, match="has a copy of the data of tail, which this is"):
        await alone.dial("tail", as_=introduction("tail", 7))
    assert logged[0].startswith("tail: ALARM: 127.0.0.1:")


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("0.0.0.0", "0.0.0.0 is every address of the machine that looks at it"),
        ("224.0.0.1", "is a multicast address, which is no machine's"),
        ("255.255.255.255", "is a broadcast address, which is no machine's"),
        ("241.1.1.1", "is a reserved address, which is no machine's"),
        ("::", ":: is every address of the machine that looks at it"),
        ("somewhere", "it is no IP address"),
        ("fe80::1", "is link-local"),
        ("169.254.1.1", "is link-local"),
        ("0:0::1", "this address is written ::1"),
        ("10.0.0.1", "one of them is loopback"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_who_says_that_it_is_where_no_machine_is_is_refused(alone, logged, host, why):
    said = introduction("head")
    with pytest.raises(RefusedHelloError, match=why):
        await alone.dial("tail", as_=replace(said, member=replace(said.member, host=host)))
    assert len(logged) == 1


@pytest.mark.parametrize("said", [b"\xc1", BAD_TEXT, NESTED], ids=["octet", "text", "nesting"])
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_understood_is_refused(alone, logged, logged_failures, said):
    client = await alone.dial("tail")
    with pytest.raises(RefusedHelloError, match="does not understand"):
        await client.callRemote(Hello, identity=said, lane=b"chain")
    assert logged[0].endswith("refused: it says what this version does not understand")
    await until(lambda: client.closed)
    assert logged_failures == []


@pytest_twisted.ensureDeferred
async def test_the_connection_of_whoever_is_refused_is_closed(alone):
    client = await alone.dial("tail")
    with pytest.raises(RefusedHelloError):
        await client.callRemote(
            Hello, identity=msgpack.encode(introduction("head", chain="other")), lane=b"chain"
        )
    await until(lambda: client.closed)
    assert alone.table("tail").every == set()


@pytest_twisted.ensureDeferred
async def test_an_error_that_says_nothing_ends_the_connection(rim, logged, logged_failures):
    rim.listen("head")
    elsewhere = Talkers()
    port = reactor.listenTCP(0, elsewhere, interface=HERE)
    rim.settings["tail"] = rim.node("tail", port.getHost().port)
    rim.start("head")
    await until(lambda: elsewhere.made and elsewhere.made[0].data)
    talker = elsewhere.made[0]
    talker.transport.write(amp.AmpBox({b"_error": b"1"}).serialize())
    await until(lambda: talker.closed)
    assert [line for line in logged if "sent a box out of place: connection closed" in line]
    assert logged_failures == []
    await maybeDeferred(port.stopListening)


@pytest_twisted.ensureDeferred
async def test_a_hello_is_answered_once(rim, logged, logged_failures):
    rim.listen("head")
    elsewhere = Talkers()
    port = rim.ports["tail"] = reactor.listenTCP(0, elsewhere, interface=HERE)
    rim.settings["tail"] = rim.node("tail", port.getHost().port)
    rim.start("head")
    await until(lambda: elsewhere.made and elsewhere.made[0].data)
    said = msgpack.encode(introduction("tail", port=port.getHost().port))
    answer = amp.AmpBox({b"_answer": b"1", b"identity": said}).serialize()
    elsewhere.made[0].transport.write(answer + answer)
    await until(lambda: elsewhere.made[0].closed)
    assert linked(rim, "head", "tail")
    assert [line for line in logged if "sent a box out of place: connection closed" in line]
    assert logged_failures == []


@pytest_twisted.ensureDeferred
async def test_the_one_that_dialled_refuses_whom_it_did_not_mean(rim, logged):
    rim.listen("head")
    rim.listen("tail")
    rim.settings["middle"] = rim.settings.pop("tail")  # the wrong port in chain.ini
    rim.start("head")
    other = Links(reactor, introduction("tail"), {})
    rim.ports["tail"].factory = other.factory()
    other.start(introduction("tail"), Receiver())
    rim.links["other"] = other
    await until(lambda: [line for line in logged if "refused" in line])
    [line] = [line for line in logged if "refused" in line]
    assert line.endswith("refused: it is tail, where middle should be")
    assert not linked(rim, "head", "middle")


@pytest_twisted.ensureDeferred
async def test_the_one_that_was_refused_logs_why_and_dials_on(rim, logged):
    for position in ("head", "tail"):
        rim.listen(position)
    rim.start("head", suspect_after=9.0)
    rim.start("tail")
    await until(lambda: [line for line in logged if "refuses this node" in line])
    [line] = [line for line in logged if "refuses this node" in line]
    assert line.endswith("refuses this node: tail: it has suspect-after 9.0, not 2.0")
    redials = rim.dialling("head")._timers  # the line comes before the end of the connection
    await until(lambda: "tail" in redials and redials["tail"].active())


@pytest_twisted.ensureDeferred
async def test_the_same_complaint_is_logged_once_a_minute(alone, logged):
    for _ in range(5):
        with pytest.raises(RefusedHelloError):
            await alone.dial("tail", as_=introduction("head", chain="other"))
    assert len(logged) == 1


@pytest_twisted.ensureDeferred
async def test_a_newcomer_that_chain_ini_does_not_name_is_accepted(alone):
    newcomer = replace(introduction("newcomer"), member=Member("newcomer", "id-new", 1, HERE, 1))
    await alone.dial("tail", as_=newcomer)
    await until(lambda: linked(alone, "tail", "newcomer"))


@pytest.mark.parametrize(
    ("position", "port"), [("middle", 1), ("head", 2)], ids=["elsewhere", "another port"]
)
@pytest_twisted.ensureDeferred
async def test_a_copy_of_a_connected_nodes_data_is_refused(alone, logged, position, port):
    await alone.dial("tail", as_=introduction("head", port=1))
    await until(lambda: linked(alone, "tail", "head"))
    copy = replace(introduction(position), member=Member(position, "id-head", 2, HERE, port))
    with pytest.raises(RefusedHelloError, match="has a copy of the data of head"):
        await alone.dial("tail", as_=copy)
    assert logged[-1].startswith("tail: ALARM: ")
    assert logged[-1].endswith("has a copy of the data of head, which is at 127.0.0.1:1")
    assert not linked(alone, "tail", position, 2)


@pytest_twisted.ensureDeferred
async def test_the_next_life_of_a_connected_node_is_no_copy(alone):
    await alone.dial("tail", as_=introduction("head", port=1))
    await until(lambda: linked(alone, "tail", "head"))
    await alone.dial("tail", as_=introduction("head", 2, port=1))
    await until(lambda: linked(alone, "tail", "head", 2))


# --- strangers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "does not speak AMP"),
        (b"\xff" * 100, "does not speak AMP"),
        (b"\x00\x08_command\x00\x05Nosuc\x00\x00", "sent Nosuc out of place"),
        (b"\x00\x01a\x00\x01b\x00\x00", "sent a box out of place"),
        (b"\x00\x07_answer\x00\x011\x00\x00", "sent a box out of place"),
        (b"\x00\x08_command\x00\x05Hello\x00\x00", "sent Hello out of place"),
        (UNASKED, "sent Hello out of place"),
        (b"\x00\x08_command\x00\x02\xff\xfe\x00\x00", "out of place"),
        (b"\x00\x00", "sent a box out of place"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_garbage_ends_the_connection_without_a_traceback(
    alone, logged, logged_failures, data, complaint
):
    client = await alone.dial("tail")
    client.transport.write(data)
    await until(lambda: client.closed)
    assert len(logged) == 1
    assert complaint in logged[0]
    assert logged[0].endswith(": connection closed")
    assert logged_failures == []


@pytest.mark.parametrize(
    ("box", "complaint"),
    [
        ({b"_command": b"Ack", b"body": b"\xc1"}, "sent a Ack that does not fit"),
        ({b"_command": b"Submit", b"body": BAD_TEXT}, "sent a Submit that does not fit"),
        ({b"_command": b"Ack", b"body": NESTED}, "sent a Ack that does not fit"),
        ({b"_command": b"Ack"}, "sent a Ack that does not fit"),
        ({b"_command": b"Nosuch", b"body": b""}, "sent Nosuch out of place"),
        ({b"_command": b"Hello", b"identity": b"", b"lane": b""}, "sent Hello out of place"),
        ({b"_answer": b"99"}, "sent a box out of place"),
        ({b"_error": b"99"}, "sent a box out of place"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_peer_that_says_what_no_node_says_is_cut_off(
    alone, logged, logged_failures, box, complaint
):
    client = await alone.dial("tail", as_=introduction("head"))
    await until(lambda: linked(alone, "tail", "head"))
    # What follows is not heard either.
    client.transport.write(amp.AmpBox(box).serialize() + boxed(*encode(Ack(1, 9))))
    await until(lambda: client.closed)
    await until(lambda: ("unlinked", "head") in alone.heard("tail"))
    assert [line for line in logged if complaint in line]
    assert alone.receivers["tail"].messages() == []
    assert logged_failures == []


@pytest_twisted.ensureDeferred
async def test_a_probe_of_the_port_leaves_no_trace(alone, logged):
    client = await alone.dial("tail")
    client.transport.abortConnection()
    await until(lambda: client.closed)
    await a_moment()
    assert logged == []


@pytest_twisted.ensureDeferred
async def test_long_words_of_a_stranger_make_no_long_line_and_no_long_answer(alone, logged):
    for name in ("\0" * 60_000, "x" * 65_000):
        with pytest.raises(RefusedHelloError, match="it belongs to the chain"):
            await alone.dial("tail", as_=introduction("head", chain=name))
    assert max(map(len, logged)) < 400
