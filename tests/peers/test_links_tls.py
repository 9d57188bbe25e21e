"""Links under TLS: who is refused, in words on both sides, and that nothing comes of it."""

from contextlib import suppress

import pytest
import pytest_twisted
from certificates import Authority
from cryptography.x509.oid import ExtendedKeyUsageOID
from links_rim import introduction, linked
from msgspec.structs import replace
from tcp import HERE, Talkers, a_moment, reactor, until
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost

from chainchat.chain.messages import Ack, encode
from chainchat.peers.boxes import boxed
from chainchat.peers.hello import RefusedHelloError
from chainchat.peers.tunables import Tunables

pytestmark = pytest.mark.reactor

CHAIN, OTHER = Authority(), Authority()
SERVER, CLIENT = (ExtendedKeyUsageOID.SERVER_AUTH,), (ExtendedKeyUsageOID.CLIENT_AUTH,)


def start(rim, head, tail, **changed):
    """Start the links of head and tail with these credentials; None: without TLS."""
    for position in ("head", "tail"):
        rim.listen(position)
    rim.start("tail", credentials=tail, **changed)
    rim.start("head", credentials=head, **changed)


# --- friends -----------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_two_nodes_with_certificates_of_one_ca_are_linked_in_all_lanes(rim, logged):
    start(rim, CHAIN.of("head"), CHAIN.of("tail"))
    await until(lambda: linked(rim, "head", "tail") and linked(rim, "tail", "head"))
    await until(lambda: ("head", "membership") in rim.table("tail").linked)
    for seq in range(100):
        rim.links["head"].send("tail", Ack(1, seq))
    await until(lambda: len(rim.receivers["tail"].messages()) == 100)
    assert rim.receivers["tail"].messages() == [("head", Ack(1, seq)) for seq in range(100)]
    assert all("linked with" in line for line in logged)
    handle = rim.link("head", "tail").transport.getHandle()
    assert handle.get_protocol_version_name() == "TLSv1.3"


@pytest_twisted.ensureDeferred
async def test_who_answers_where_this_side_dialled_has_shown_its_certificate(rim):
    start(rim, CHAIN.of("head"), CHAIN.of("tail"))
    await until(lambda: rim.receivers["head"].reach)
    port = rim.settings["tail"].chain_port
    assert rim.receivers["head"].reach == {("tail", port): introduction("tail").member.life}


@pytest_twisted.ensureDeferred
async def test_with_check_dates_off_an_expired_certificate_is_as_good_as_any(rim):
    expired = [CHAIN.made(CHAIN.names(p), days=(-9, -1)) for p in ("head", "tail")]
    start(rim, *expired, check_dates=False)
    await until(lambda: linked(rim, "head", "tail") and linked(rim, "tail", "head"))
    assert rim.expiry.warnings == ()


@pytest_twisted.ensureDeferred
async def test_new_certificates_serve_new_connections_and_the_old_ones_live_on(rim):
    start(rim, CHAIN.of("head"), CHAIN.of("tail"))
    await until(lambda: linked(rim, "head", "tail"))
    both = (CHAIN.certificate, OTHER.certificate)
    for position in ("head", "tail"):
        new = replace(OTHER.of(position), authorities=both)
        rim.tls[position].renew(new, check_dates=True)
        rim.links[position].dial_again()
    old = rim.link("head", "tail")
    await a_moment()
    assert rim.link("head", "tail") is old
    old.close()
    await until(lambda: ("head", "chain") in rim.table("tail").linked)
    await until(lambda: rim.table("head").chain("tail") not in (None, old))
    shown = rim.link("head", "tail").transport.getHandle().get_peer_certificate
    assert shown(as_cryptography=True).issuer == OTHER.certificate.subject


@pytest_twisted.ensureDeferred
async def test_the_peers_certificate_is_warned_of_before_it_expires(rim, logged):
    start(rim, CHAIN.of("head"), CHAIN.made(CHAIN.names("tail"), days=(-1, 12)))
    await until(lambda: linked(rim, "head", "tail"))
    [line] = [line for line in logged if "expires" in line]
    assert line.startswith(f"head: {HERE}:")
    assert " is linked, but the certificate of tail expires in 11 days, on " in line
    assert len(rim.expiry.warnings) == 1


# --- refused, whichever side shows it ----------------------------------------------------


def foreign(position):
    return replace(OTHER.of(position), authorities=(CHAIN.certificate,))


def shows(names=None, **changed):
    return lambda position: CHAIN.made(CHAIN.names(position) if names is None else names, **changed)


BAD = {
    "another CA": (
        foreign,
        "shows a certificate that is of no CA that is trusted here (CN=test, valid from 20",
        "does not trust the CA of this node's certificate",
    ),
    "another position": (
        lambda _: CHAIN.of("middle"),
        "shows a certificate for middle.test.chainchat, 127.0.0.1, not for ",
        "it shows a certificate for middle.test.chainchat, 127.0.0.1, not for ",
    ),
    "another host": (
        lambda position: CHAIN.of(position, "127.0.0.9"),
        ".test.chainchat, 127.0.0.9, not for its host 127.0.0.1",
        ".test.chainchat, 127.0.0.9, not for its host 127.0.0.1",
    ),
    "no names": (
        shows([]),
        "shows a certificate without names (subjectAltName)",
        "it shows a certificate without names (subjectAltName)",
    ),
    "malformed names": (
        shows(malformed=b"\x30\x05\x87\x03\x7f\x00\x01"),
        "shows a certificate whose names cannot be understood",
        "it shows a certificate whose names cannot be understood",
    ),
    "expired": (
        shows(days=(-9, -1)),
        "shows a certificate that has expired (CN=test, valid from ",
        "says that this node's certificate has expired",
    ),
    "not valid yet": (
        shows(days=(1, 9)),
        "shows a certificate that is not valid yet (CN=test, valid from ",
        "does not accept this node's certificate",
    ),
    "for servers": (shows(usage=SERVER), "(EKU)", "(EKU)"),
    "for clients": (shows(usage=CLIENT), "(EKU)", "(EKU)"),
}


@pytest.mark.parametrize("bad", ["head", "tail"], ids=["dials", "is dialled"])
@pytest.mark.parametrize("kind", BAD)
@pytest_twisted.ensureDeferred
async def test_a_bad_certificate_is_refused_in_words_on_both_sides(rim, logged, kind, bad):
    made, refused, told = BAD[kind]
    good = {"head": "tail", "tail": "head"}[bad]
    credentials = {good: CHAIN.of(good), bad: made(bad)}
    start(rim, credentials["head"], credentials["tail"])

    def of(position, words):
        return [line for line in logged if line.startswith(f"{position}: ") and words in line]

    await until(lambda: of(good, refused) and of(bad, told))
    assert not of(good, "linked with")
    assert rim.heard(good) == []
    assert rim.receivers[good].reach == {}


# --- with TLS and without ----------------------------------------------------------------


@pytest.mark.parametrize("plain", ["head", "tail"], ids=["dials", "is dialled"])
@pytest_twisted.ensureDeferred
async def test_a_node_without_tls_and_one_with_it_say_so_once(rim, logged, plain):
    credentials = {p: None if p == plain else CHAIN.of(p) for p in ("head", "tail")}
    start(rim, credentials["head"], credentials["tail"])
    advice = "[tls] chain has to be the same in every chain.ini"
    without = f"speaks TLS, and this node does not: {advice}"
    with_tls = f"does not speak TLS: {advice}"
    for position in ("head", "tail"):
        words = without if position == plain else with_tls
        await until(lambda p=position, w=words: any(p in each and w in each for each in logged))
    await a_moment(0.5)
    assert all(advice in line for line in logged)
    kinds = {(line.partition(": ")[0], "refuses this node" in line) for line in logged}
    assert len(logged) == len(kinds)  # what the other says may come in time, too
    assert rim.heard("head") == rim.heard("tail") == []


@pytest_twisted.ensureDeferred
async def test_a_hello_compares_the_setting_in_case_something_between_speaks_tls(alone, logged):
    with pytest.raises(RefusedHelloError, match=r"has \[tls\] chain 'yes', not 'no'"):
        await alone.dial("tail", as_=introduction("head", tls=True))
    assert len(logged) == 1


# --- strangers ---------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_what_a_stranger_says_before_tls_is_not_heard(rim, logged, logged_failures):
    rim.start_tail_alone(credentials=CHAIN.of("tail"))
    client = await rim.dial("tail")
    client.transport.write(boxed(*encode(Ack(1, 9))))
    await until(lambda: client.closed)
    assert client.boxes == []
    assert [line.partition("127.0.0.1:")[2].partition(" ")[2] for line in logged] == [
        "does not speak TLS: [tls] chain has to be the same in every chain.ini: connection closed"
    ]
    assert logged_failures == []


@pytest_twisted.ensureDeferred
async def test_a_member_cannot_speak_for_another_with_its_own_certificate(rim, logged):
    rim.start_tail_alone(credentials=CHAIN.of("tail"))
    with pytest.raises(RefusedHelloError, match="shows a certificate for middle"):
        await rim.dial(
            "tail", as_=introduction("head", 9, tls=True), credentials=CHAIN.of("middle")
        )
    await a_moment()
    assert not linked(rim, "tail", "head", 9)
    assert len(logged) == 1


@pytest_twisted.ensureDeferred
async def test_frames_before_a_hello_end_the_connection_though_the_certificate_is_good(rim, logged):
    rim.start_tail_alone(credentials=CHAIN.of("tail"))
    client = await rim.dial("tail", credentials=CHAIN.of("middle"))
    client.transport.write(boxed(*encode(Ack(1, 9))))
    await until(lambda: client.closed)
    assert "sent Ack out of place: connection closed" in logged[0]
    assert rim.receivers["tail"].messages() == []


@pytest_twisted.ensureDeferred
async def test_the_deadline_of_a_hello_covers_the_handshake(rim, logged):
    rim.start_tail_alone(Tunables(hello=0.1), credentials=CHAIN.of("tail"))
    dumb = Talkers()
    port = rim.settings["tail"].chain_port
    await TCP4ClientEndpoint(reactor, HERE, port).connect(dumb)
    silent = await rim.dial("tail", credentials=CHAIN.of("head"))
    await until(lambda: dumb.made[0].closed and silent.closed)
    assert logged == []


@pytest_twisted.ensureDeferred
async def test_strangers_without_a_certificate_go_before_one_with_it(rim):
    rim.start_tail_alone(Tunables(most_strangers=3), credentials=CHAIN.of("tail"))
    member = await rim.dial("tail", credentials=CHAIN.of("head"))
    await until(lambda: any(link.trusted for link in rim.strangers("tail")))
    port = rim.settings["tail"].chain_port
    strangers = Talkers()
    for count in range(1, 10):
        await TCP4ClientEndpoint(reactor, HERE, port).connect(strangers)
        await until(lambda expected=count: len(strangers.made) == expected)
    await until(lambda: sum(each.closed for each in strangers.made) == 7)
    assert not member.closed
    assert len(rim.strangers("tail")) == 3
    for each in strangers.made:
        each.transport.abortConnection()
    await until(lambda: all(each.closed for each in strangers.made))


@pytest_twisted.ensureDeferred
async def test_a_probe_of_the_port_leaves_no_trace_under_tls(rim, logged):
    rim.start_tail_alone(credentials=CHAIN.of("tail"))
    client = await rim.dial("tail")
    client.transport.abortConnection()
    await until(lambda: client.closed)
    await a_moment()
    assert logged == []


@pytest_twisted.ensureDeferred
async def test_a_failed_handshake_is_no_sign_of_death(rim, logged):
    """The port answers, so it is not refused, whoever it is that answers."""
    rim.listen("head")
    elsewhere = Talkers()
    port = rim.ports["tail"] = reactor.listenTCP(0, elsewhere, interface=HERE)
    rim.settings["tail"] = rim.node("tail", port.getHost().port)
    rim.start("head", credentials=CHAIN.of("head"))
    await until(lambda: elsewhere.made and elsewhere.made[0].data)
    elsewhere.made[0].transport.loseConnection()
    await until(lambda: any("ended the connection before TLS was agreed on" in e for e in logged))
    assert rim.receivers["head"].refusals == set()
    for each in elsewhere.made:
        each.transport.abortConnection()
    with suppress(ConnectionDone, ConnectionLost):
        await maybeDeferred(port.stopListening)
