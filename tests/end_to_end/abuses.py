"""Every abuse that has been seen to bring down a node, or might; ``acts`` does them."""

from abuse import Abuse
from acts import (
    COSTLY,
    PERSON,
    PROGRAM,
    accounts,
    client_ids,
    come_to_read,
    crowd_and_one,
    crowd_and_two,
    flapping,
    flood,
    foreign_reader,
    guarded,
    guesses,
    history,
    key_updates,
    loops,
    missed_by,
    octets,
    resume,
    second_process,
    slow_readers,
    storm,
    visits,
)
from cluster import LIMITLESS
from floods import make_accounts

NOT_TEXT = b"\xfe\n"
LAZY = [f"lazy{i}" for i in range(30)]

LINES = [
    Abuse(
        name="refused-5",
        what="five without a login say lines that are not UTF-8, at the head",
        act=flood("head", NOT_TEXT, count=5),
    ),
    Abuse(
        name="refused-60",
        what="the same, sixty, spread",
        act=flood("everywhere", NOT_TEXT),
        many=True,
        size=60,
        small=60,
    ),
    Abuse(
        name="hello-toggles",
        what="one without a login asks for a protocol that does not exist, over and over",
        act=flood("tail", b"/hello chainchat/2 client=x\n"),
    ),
    Abuse(
        name="iac-do",
        what="one without a login says FF FD 01 (IAC DO) over and over, and reads nothing",
        act=flood("tail", b"\xff\xfd\x01", reads=False),
        memory=16,
        bound="the most unread octets of a session",
    ),
    Abuse(
        name="person-flood",
        what="(echo flooder; yes x) | nc, one, at the middle",
        act=flood("middle", b"x\n", PERSON),
    ),
    Abuse(
        name="persons-flood",
        what="the same, a hundred, spread",
        act=flood("everywhere", b"x\n", PERSON),
        many=True,
        size=100,
        small=30,
        memory=128,
        bound="the buffers of a hundred sessions",
    ),
    Abuse(
        name="private-flood",
        what="one says private lines to an account that is away",
        act=flood("middle", b">> away: x\n", PERSON),
        prepare=lambda scene: make_accounts(scene.head, ["away"]),
    ),
    Abuse(
        name="endless-line",
        what="five say a line without an end",
        act=flood("head", b"x" * 65_536, PERSON, count=5),
        memory=16,
        bound="the longest line",
    ),
    Abuse(
        name="octets",
        what="ten say lines octet by octet",
        act=octets,
        size=10,
        small=10,
    ),
    Abuse(
        name="pings",
        what="one program pipelines PINGs",
        act=flood("tail", b"@p PING\n", PROGRAM),
    ),
    Abuse(
        name="acks",
        what="one program pipelines ACKs",
        act=flood("tail", b"@a ACK 1\n", PROGRAM),
    ),
    Abuse(
        name="help-flood",
        what="one asks for /help over and over",
        act=flood("tail", b"/help\n", PERSON),
    ),
    Abuse(
        name="notices-flood",
        what="one turns notices on and off",
        act=flood("tail", b"/notices off\n/notices on\n", PERSON),
    ),
]

QUESTIONS = [
    Abuse(
        name="costly-pattern",
        what="one line of one user: /list with (.*){9} 144 times, and 2,000 accounts",
        act=visits(PERSON + COSTLY, "tail", divisor=10**9),
        prepare=accounts,
        size=2_000,
        small=300,
    ),
    Abuse(
        name="costly-patterns",
        what="the same over and over, from ten",
        act=flood("everywhere", COSTLY, PERSON, count=10),
        prepare=accounts,
        size=2_000,
        small=300,
    ),
    Abuse(
        name="list-flood",
        what="one lists 2,000 accounts over and over",
        act=flood("tail", b"/list\n", PERSON, count=1),
        prepare=accounts,
        size=2_000,
        small=300,
    ),
    Abuse(
        name="who-flood",
        what="one asks who is on, over and over, while 500 are",
        act=crowd_and_one(b"/who\n"),
        size=500,
        small=100,
        many=True,
        memory=96,
        bound="500 sessions",
    ),
    Abuse(
        name="last-500",
        what="a hundred pipeline /last 500",
        act=flood("everywhere", b"/last 500\n", PERSON, count=100),
        prepare=history,
        many=True,
        size=20_000,
        small=2_000,
        memory=192,
        bound="a page for each of a hundred",
    ),
    Abuse(
        name="since-0",
        what="1,000 programs ask for 20,000 messages (SINCE 0)",
        act=visits(PROGRAM + b"@s SINCE 0\n", divisor=20),
        prepare=history,
        many=True,
        size=20_000,
        small=2_000,
        memory=256,
        bound="a page for each of a thousand",
    ),
]

RETURNING = [
    Abuse(
        name="missed",
        what="one logs in after 200,000 missed messages; then at the next node, and so on",
        act=come_to_read(b"lazy{}\n", 1),
        prepare=missed_by(LAZY[:1]),
        size=200_000,
        small=20_000,
    ),
    Abuse(
        name="missed-30",
        what="thirty who missed 20,000 messages each come at once, at one node",
        act=come_to_read(b"lazy{}\n", 30),
        prepare=missed_by(LAZY),
        many=True,
        size=20_000,
        small=5_000,
        memory=96,
        bound="a page for each of thirty",
    ),
    Abuse(
        name="resume-0",
        what="one program does RESUME after=0 in a room of 100,000 messages",
        act=resume,
        prepare=history,
        size=100_000,
        small=20_000,
    ),
    Abuse(
        name="storm",
        what="1,000 readers lose their connections at once and come back, every six seconds",
        act=storm,
        prepare=lambda scene: make_accounts(
            scene.everywhere, [f"reader{i}" for i in range(scene.size)]
        ),
        many=True,
        size=1_000,
        small=150,
        memory=128,
        bound="a thousand sessions",
    ),
]

UNCOUNTED = f"{LIMITLESS}\nexempt = 127.0.0.1\nper-address = 1000000\nconnects-per-minute = 0"
"""Another address may connect as often as it likes, and is not trusted."""

CONNECTIONS = [
    Abuse(
        name="connections",
        what="3,000 connections, and again, where 500 may be",
        act=visits(b"", sources=["127.0.0.2"]),
        host="127.0.0.1",
        many=True,
        size=3_000,
        small=300,
        settings="max-connections = 500",
        limits=UNCOUNTED,
    ),
    Abuse(
        name="per-address",
        what="3,000 connections from one address that is not exempt, with all usual limits",
        act=visits(b"", sources=["127.0.0.2"]),
        host="127.0.0.1",
        many=True,
        size=3_000,
        small=300,
        limits="per-address = 64\nexempt = 127.0.0.1",
        rest=31.0,
    ),
    Abuse(
        name="places",
        what="2,400 connections from fifty addresses, where 500 may be, never log in",
        act=visits(b"", sources=[f"127.0.1.{number}" for number in range(1, 51)]),
        host="127.0.0.1",
        many=True,
        size=2_400,
        small=1_800,
        settings="max-connections = 500",
        limits="exempt = 127.0.0.1",
    ),
    Abuse(
        name="descriptors",
        what="more connections than nodes have descriptors (256 each)",
        act=visits(b"", sources=["127.0.0.2"]),
        host="127.0.0.1",
        many=True,
        size=1_500,
        small=900,
        files=256,
        limits=UNCOUNTED,
    ),
    Abuse(
        name="guesses",
        what="fifty people type wrong passwords, from one address, at the middle",
        act=guesses(1),
        host="127.0.0.1",
        prepare=guarded(1),
        many=True,
        size=50,
        small=20,
    ),
    Abuse(
        name="guesses-everywhere",
        what="the same, from 256 addresses",
        act=guesses(256),
        host="127.0.0.1",
        prepare=guarded(256),
        many=True,
        size=50,
        small=20,
    ),
    Abuse(
        name="key-updates",
        what="programs change the keys of TLS, over and over, and say nothing",
        act=key_updates,
        tls=True,
        size=5,
        small=3,
    ),
    Abuse(
        name="churn",
        what="fifty connect and hang up as fast as they can",
        act=visits(b"x", again=True),
        many=True,
        size=50,
        small=20,
    ),
    Abuse(
        name="login-loop",
        what="one logs in and out, over and over",
        act=loops("tail", b"looper{own}\n/logout\n", 1),
    ),
    Abuse(
        name="new-accounts",
        what="ten make new accounts, one after another",
        act=loops("tail", b"new{own}-{}\n/logout\n", 10),
    ),
    Abuse(
        name="deletions",
        what="ten make accounts and delete them, one after another",
        act=loops("middle", b"short{own}-{}\n/delete short{own}-{} yes\n", 10),
    ),
    Abuse(
        name="idle-crowd",
        what="2,000 people come and are idle, and two others talk in private",
        act=crowd_and_two,
        many=True,
        size=2_000,
        small=200,
        memory=160,
        bound="2,000 sessions",
    ),
    Abuse(
        name="slow-readers",
        what="200 read nothing, while two others say long lines as fast as they can",
        act=slow_readers,
        many=True,
        size=200,
        small=100,
        memory=192,
        bound="the most unread octets of a session, 200 times",
    ),
]

REMEMBERED = [
    Abuse(
        name="client-ids",
        what="twenty programs use ever new client IDs, 300,000 at most",
        act=client_ids(1),
        size=300_000,
        small=300_000,
        bound="the most client IDs of an account",
    ),
    Abuse(
        name="remembered-sends",
        what="twenty programs say 1,000 lines with each of 1,000 client IDs",
        act=client_ids(1_000),
        size=1_000,
        small=1_000,
        memory=128,
        bound="the most that is remembered of an account",
    ),
]

NEIGHBOURS = [
    Abuse(
        name="foreign-reader",
        what="another process reads the databases while 60 MB are written, and lets go",
        act=foreign_reader,
        size=60,
        small=6,
        memory=96,
    ),
    Abuse(
        name="second-process",
        what="a second process of the head, with another folder",
        act=second_process,
    ),
    Abuse(
        name="flapping",
        what="kill -9 of the tail, and a start, every two seconds",
        act=flapping,
        departs=True,
    ),
]

ABUSES = {
    abuse.name: abuse
    for abuse in (*LINES, *QUESTIONS, *RETURNING, *CONNECTIONS, *REMEMBERED, *NEIGHBOURS)
}
"""All, by name."""
