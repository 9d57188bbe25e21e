"""The web port: what it answers, to whom, and how little a stranger can make of it."""

import json
import re

import pytest
import pytest_twisted
from tcp import a_moment, until
from web_room import Room

from chainchat.node.status import DRAINED, Readiness
from chainchat.web.hosts import is_ours
from chainchat.web.limits import (
    HEADER_OCTETS,
    IDLE_SECONDS,
    LIFE_SECONDS,
    MOST_CONNECTIONS,
    MOST_WATCHERS,
)
from chainchat.web.site import WebRequest

pytestmark = pytest.mark.reactor

FIREFOX = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "User_Agent": "Mozilla/5.0",
}


@pytest.fixture
def room(tmp_path):
    room = Room(tmp_path)
    yield room
    room.close()


# --- what it answers ---------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_browser_gets_the_page_and_curl_gets_text(room):
    page = await room.get("/", **FIREFOX)
    assert (page.status, "text/html" in page.head) == (200, True)
    assert "All is well" in page.body
    for asked in ({"Accept": "*/*", "User_Agent": "curl/8.5.0"}, {"Accept": "text/plain"}):
        text = await room.get("/", **asked)
        assert text.body.startswith("● lab, seen from solo: All is well\n")
        assert "text/plain" in text.head


@pytest_twisted.ensureDeferred
async def test_all_files_of_the_page_are_there_and_nothing_else_is(room):
    page = await room.get("/", **FIREFOX)
    for path in re.findall(r'(?:href|src)="([a-z.]+)"', page.body):
        assert (await room.get(f"/{path}")).status == 200
    for path in ("/../pyproject.toml", "/metrics/", "/page.py", "/%2e%2e/page.py", "//", "*"):
        assert (await room.get(path)).status == 404


@pytest_twisted.ensureDeferred
async def test_every_answer_has_the_headers_that_keep_a_browser_in_bounds(room):
    for path in ("/", "/metrics", "/none", "/page.js"):
        head = (await room.get(path)).head
        assert "Content-Security-Policy: default-src 'none'; script-src 'self'" in head
        assert "unsafe" not in head
        assert "X-Content-Type-Options: nosniff" in head
        assert "Cache-Control: no-store" in head
        assert "Twisted" not in head


@pytest_twisted.ensureDeferred
async def test_head_is_answered_without_a_body(room):
    answer = await room.get("/metrics", method="HEAD")
    assert (answer.status, answer.body) == (200, "")


@pytest_twisted.ensureDeferred
async def test_the_status_is_the_report(room):
    status = json.loads((await room.get("/status.json")).body)
    assert (status["chain"], status["position"], status["serving"]) == ("lab", "solo", True)


@pytest_twisted.ensureDeferred
async def test_no_message_and_no_name_of_an_account_leaves_by_it(room):
    room.house.client("secretive", "a word in confidence")
    room.house.client("otherone", "/msg secretive another word")
    watcher = await room.watch()
    room.clock.advance(1)
    await until(lambda: len(watcher.events) > 1)
    said = [(await room.get(path)).body for path in ("/metrics", "/status.json", "/healthz")]
    said += [(await room.get("/", **FIREFOX)).body, (await room.get("/")).body, watcher.body]
    for text in said:
        assert "secretive" not in text
        assert "otherone" not in text
        assert "word" not in text


# --- health ------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_node_that_serves_is_healthy_and_ready(room):
    for path in ("/healthz", "/readyz", "/readyz?confirms"):
        assert (await room.get(path)).status == 200


@pytest_twisted.ensureDeferred
async def test_a_node_that_waits_is_healthy_but_not_ready_and_says_why(room):
    reason = "restarted; waiting to be taken back by tail"
    room.house.node.readiness = Readiness(serving=False, waiting_for=("tail",), reason=reason)
    assert (await room.get("/healthz")).status == 200
    for path in ("/readyz", "/readyz?confirms"):
        ready = await room.get(path)
        assert (ready.status, ready.body) == (503, f"{reason}\n")


@pytest_twisted.ensureDeferred
async def test_a_drained_node_is_not_ready(room):
    room.drained = True
    ready = await room.get("/readyz")
    assert (ready.status, ready.body) == (503, f"{DRAINED}\n")
    assert (await room.get("/healthz")).status == 200


@pytest_twisted.ensureDeferred
async def test_a_chain_that_cannot_confirm_is_not_ready_for_who_asks_for_that(room):
    room.house.cannot_confirm()
    assert (await room.get("/readyz")).status == 200
    ready = await room.get("/readyz?confirms")
    assert (ready.status, ready.body) == (503, "the chain cannot confirm: waiting for other\n")


# --- who may ask -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:7301", "127.0.0.1:7301", "127.9.9.9", "[::1]:7301", "10.1.2.3",
     "chat.example.org", None],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_a_host_that_is_ours_is_answered(room, host):
    assert (await room.get("/metrics", Host=host)).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7301", "localhost.evil.example", "192.0.2.1", "[2001:db8::1]",
     "127.0.0.1.evil.example", "evil@localhost", "", "a b"],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_a_host_that_is_not_ours_is_refused(room, host):
    for path in ("/", "/metrics", "/events", "/healthz"):
        refused = await room.get(path, Host=host)
        assert refused.status == 421
        assert "All is well" not in refused.body


def test_the_address_on_which_a_request_came_is_ours():
    assert is_ours("192.0.2.7:7301", (), "192.0.2.7")
    assert not is_ours("192.0.2.7:7301", (), "192.0.2.8")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
@pytest_twisted.ensureDeferred
async def test_nothing_can_be_changed(room, method):
    assert (await room.get("/", method=method, Content_Length="0")).status == 405


# --- bounds ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "status"), [("Host", 421), ("Accept", 200), ("User-Agent", 200)]
)
@pytest_twisted.ensureDeferred
async def test_octets_that_are_not_utf_8_are_answered(room, header, status):
    browser = await room.send(b"GET / HTTP/1.0\r\n" + header.encode() + b": \xff\r\n\r\n")
    await until(lambda: browser.closed)
    assert browser.status == status


@pytest.mark.parametrize("header", [b"Content-Length: 100000000", b"Transfer-Encoding: chunked"])
@pytest_twisted.ensureDeferred
async def test_a_request_with_a_body_is_not_read(room, header):
    browser = await room.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")
    await until(lambda: browser.closed)
    assert browser.status == 400


@pytest_twisted.ensureDeferred
async def test_what_is_not_asked_for_is_not_parsed(room, monkeypatch):
    parsed, requests = [], []
    monkeypatch.setattr("twisted.web.http.parse_qs", lambda *query: parsed.append(query) or {})
    process = WebRequest.process
    monkeypatch.setattr(
        WebRequest, "process", lambda request: requests.append(request) or process(request)
    )
    answer = await room.get("/readyz?confirms&;;;;", Cookie="a=b; c=d")
    assert (answer.status, answer.body) == (200, "ready\n")
    assert (parsed, requests[0].received_cookies) == ([], {})


@pytest_twisted.ensureDeferred
async def test_no_more_is_read_at_once_than_a_request_may_have(room):
    """What was read is moved for each line in it."""
    await room.call()
    await until(lambda: room.factory.connections)
    [channel] = room.factory.connections
    assert channel.transport.bufferSize == HEADER_OCTETS


@pytest.mark.parametrize(
    "octets",
    [
        b"GET /" + b"x" * 20_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100,
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nX: y\r\n y\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: y\r\n" + b"\t\r\n" * 5_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        b"hello\r\n",
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_small_request_ends_the_connection(room, octets):
    browser = await room.send(octets)
    await until(lambda: browser.closed)
    assert browser.data == b"" or browser.status == 400


@pytest_twisted.ensureDeferred
async def test_a_connection_has_one_request(room):
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    browser = await room.send(request * 50)
    await until(lambda: browser.closed)
    assert browser.data.count(b"HTTP/1.1 200") == 1


@pytest_twisted.ensureDeferred
async def test_who_asks_nothing_is_disconnected(room):
    browser = await room.send(b"GET /heal")
    await until(lambda: [each for each in room.factory.connections if each._buffer])
    room.clock.advance(IDLE_SECONDS - 1)
    await a_moment()
    assert not browser.closed
    room.clock.advance(1)
    await until(lambda: browser.closed)


@pytest_twisted.ensureDeferred
async def test_who_asks_drop_by_drop_is_disconnected(room):
    browser = await room.call()
    await until(lambda: room.factory.connections)
    for _ in range(int(LIFE_SECONDS) // 5):
        browser.transport.write(b"G")
        await a_moment(0.01)
        room.clock.advance(5)
    await until(lambda: browser.closed)


@pytest_twisted.ensureDeferred
async def test_connections_are_few_and_the_oldest_that_asks_nothing_makes_room(room):
    watcher = await room.watch()
    idle = []
    for number in range(MOST_CONNECTIONS - 1):
        idle.append(await room.call())
        await until(lambda number=number: len(room.factory.connections) == number + 2)
    assert (await room.get("/healthz")).status == 200
    await until(lambda: idle[0].closed)
    assert not any(each.closed for each in (watcher, *idle[1:]))
    await until(lambda: len(room.factory.connections) == MOST_CONNECTIONS - 1)


@pytest_twisted.ensureDeferred
async def test_whoever_asks_within_a_second_gets_the_same(room):
    await room.get("/metrics")
    before = room.drawn
    for _ in range(20):
        await room.get("/metrics")
    assert room.drawn == before
    room.clock.advance(1)
    before = room.drawn
    await room.get("/metrics")
    assert room.drawn == before + 1


# --- watchers ----------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_watcher_gets_everything_and_then_what_is_new(room):
    watcher = await room.watch()
    assert watcher.events[0].keys() >= {"headline", "chain", "figures", "nodes"}
    room.house.client("alice", "hello")
    room.clock.advance(1)
    await until(lambda: len(watcher.events) == 2)
    new = watcher.events[1]
    assert "Committed" in new["figures"]
    assert "changes" not in new
    assert new["tab"] == "● lab · solo"


@pytest_twisted.ensureDeferred
async def test_a_watcher_hears_every_second_even_if_nothing_is_new(room):
    watcher = await room.watch()
    for _ in range(3):
        room.clock.advance(1)
        await a_moment(0.01)
    await until(lambda: len(watcher.events) == 4)
    assert not watcher.closed


@pytest_twisted.ensureDeferred
async def test_a_watcher_may_stay(room):
    watcher = await room.watch()
    for _ in range(int(LIFE_SECONDS) + 1):
        room.clock.advance(1)
        await a_moment(0.002)
    await until(lambda: len(watcher.events) > LIFE_SECONDS)
    assert not watcher.closed


@pytest_twisted.ensureDeferred
async def test_twenty_watchers_cost_one_drawing_a_second(room):
    watchers = [await room.watch() for _ in range(20)]
    before = room.drawn
    room.clock.advance(1)
    assert room.drawn == before + 1
    await until(lambda: all(len(watcher.events) == 2 for watcher in watchers))


@pytest_twisted.ensureDeferred
async def test_watchers_that_come_and_go_one_after_the_other_cost_no_more(room):
    before = room.drawn
    for _ in range(5):
        watcher = await room.watch()
        assert watcher.events[0].keys() >= {"headline", "chain", "figures", "nodes"}
        watcher.transport.abortConnection()
        await until(lambda: not room.factory.watching)
    assert room.drawn == before + 1


@pytest_twisted.ensureDeferred
async def test_watchers_leave_room_for_health_checks(room):
    for _ in range(MOST_WATCHERS):
        await room.watch()
    late = await room.get("/events")
    assert late.status == 503
    assert (await room.get("/healthz")).status == 200


@pytest_twisted.ensureDeferred
async def test_a_watcher_that_does_not_read_is_dropped(room):
    watcher = await room.watch()
    [stream] = room.factory.watching
    stream.pauseProducing()  # as a transport with much unsent does
    stream.resumeProducing()
    room.clock.advance(1)
    await until(lambda: len(watcher.events) == 2)
    stream.pauseProducing()
    room.clock.advance(1)
    await until(lambda: watcher.closed)
    assert not room.factory.watching


@pytest_twisted.ensureDeferred
async def test_who_watches_is_counted(room):
    await room.watch()
    room.clock.advance(1)
    assert "\nchainchat_watchers 1.0\n" in (await room.get("/metrics")).body
