"""TLS on a real chain: what goes over the wire, who gets in, and who does not."""

import array
import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from certificates import Authority, written
from cluster import Cluster, Node, wait_for_change, wait_for_log
from commands import CLIENT, run
from cryptography.x509.oid import ExtendedKeyUsageOID
from records import ALERT, TEXT, Records
from talking import DEADLINE, HOST, Person, Program, family_of, until

from chainchat.network.addresses import host_port
from chainchat.tls.credentials import Credentials

pytestmark = pytest.mark.plain("each test chooses who speaks TLS")

NewCluster = Callable[..., Cluster]

SECRET = "the-quick-brown-fox-knows-a-secret"

SUSPECT_AFTER = 4.0
"""Seconds, as in chain.ini: more than a busy machine takes from a node."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A chain with TLS, shared by the tests of this module: their names must not clash."""
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(folder, tls=True, suspect_after=SUSPECT_AFTER) as shared:
        shared.make_certificates("--renew", "middle", "--name", "localhost")
        yield shared.start()
        shared.stop()
        assert shared.complaints() == []


# --- between nodes -----------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_who_listens_between_the_nodes_finds_text_only_without_tls(
    new_cluster: NewCluster, tls: bool
) -> None:
    cluster = new_cluster(cabled=True, tls=tls)
    assert cluster.cables is not None
    cluster.cables.recording = True
    cluster.start()
    with Person(cluster["head"].address, "alice") as alice:
        for _ in range(5):
            alice.ask(SECRET)
        assert SECRET in alice.listed("/last 1")[0]
    for pair in (("head", "middle"), ("middle", "tail")):
        octets = b"".join(cluster.cable(*pair).recorded.values())
        assert len(octets) > 5 * len(SECRET)
        for text in (SECRET, "alice", "Forward", "founding"):
            assert (text.encode() in octets) is not tls, text


def bad_tail(kind: str, authority: Authority, cluster: Cluster) -> Credentials:
    """Credentials with which the tail must not be taken."""
    match kind:
        case "a stranger's":
            return Authority().of("tail", HOST)
        case "another position's":
            return authority.of("middle", HOST)
        case "another host's":
            return authority.of("tail", "127.0.0.9")
        case "expired":
            return authority.made(authority.names("tail", HOST), days=(-9, -1))
        case _:
            usage = (ExtendedKeyUsageOID.SERVER_AUTH,)
            return authority.made(authority.names("tail", HOST), usage=usage)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("a stranger's", "is of none of the CAs in"),
        ("another position's", f"is a certificate for middle.test.chainchat, {HOST}, not for"),
        ("another host's", f"not for its host {HOST}"),
        ("for servers", "is a certificate that is not for both ends of a connection (EKU)"),
    ],
)
def test_a_node_does_not_start_with_a_certificate_that_others_would_refuse(
    new_cluster: NewCluster, kind: str, said: str
) -> None:
    cluster = new_cluster(tls=True)
    tail, authority = cluster["tail"], Authority()
    bad = bad_tail(kind, authority, cluster)
    trusting = Credentials(bad.certificates, bad.key, (authority.certificate,))
    written(trusting, cluster.folder / "tls/tail")
    tail.start()
    assert tail.wait(DEADLINE) == 1
    assert said in tail.last_words()


@pytest.mark.parametrize("kind", ["a stranger's", "expired"])
def test_a_member_with_a_bad_certificate_stays_out_and_nothing_moves(
    new_cluster: NewCluster, kind: str
) -> None:
    cluster = new_cluster(tls=True)
    authority = Authority()
    for position in cluster.nodes:
        written(authority.of(position, HOST), cluster.folder / "tls" / position)
    cluster.start()
    cluster["tail"].stop()
    epoch = cluster.epoch
    written(bad_tail(kind, authority, cluster), cluster.folder / "tls/tail")
    cluster["tail"].start()
    words = {"a stranger's": "is of no CA that is trusted here", "expired": "has expired"}[kind]
    for node in cluster.others("tail"):
        wait_for_log(node, f"shows a certificate that {words}")
    wait_for_log(cluster["tail"], "certificate")
    with Person(cluster["head"].address, "alice") as alice:
        assert re.fullmatch(r"\+OK \d+", alice.ask("and nothing moves"))
    words = cluster.wait_until_it_serves("head", "middle")
    assert int(words["epoch"]) == epoch
    # Mended without a restart of the others; all CAs at once cannot be reloaded.
    written(authority.of("tail", HOST), cluster.folder / "tls/tail")
    if kind == "expired":
        cluster["tail"].signal(signal.SIGHUP)
    else:
        cluster["tail"].stop()
        cluster["tail"].start()
    assert cluster.members() == ["head", "middle", "tail"]


def test_a_dead_node_is_spliced_out_as_fast_as_ever(cluster: Cluster) -> None:
    before = cluster.members()
    with Person(cluster[before[1]].address, "watcher") as person:
        person.ask("before")
        cluster.kill(before[0])
        assert re.fullmatch(r"\+OK \d+", person.ask("after"))
        wait_for_change(cluster[before[1]], int(cluster.wait_until_it_serves()["epoch"]))
    text = cluster[before[1]].log_text()
    [seconds] = re.findall(rf"without {before[0]}: its process is dead.*for (\d+\.\d+) s", text)
    assert float(seconds) < SUSPECT_AFTER  # a suspicion would have taken longer
    cluster.bring_back(before[0])


# --- clients -----------------------------------------------------------------------------


def test_people_and_programs_are_named_the_ports_for_tls_on_a_connection_with_it(
    cluster: Cluster,
) -> None:
    secure = {host_port(*node.tls_address) for node in cluster.nodes.values()}
    plain = {host_port(*node.address) for node in cluster.nodes.values()}
    head = cluster["head"]
    with Program(head.tls_address, name="robot", tls=cluster.trust) as program:
        assert set(program.greeting["nodes"].split(",")) == secure
        assert program.ask("PING") == "+OK"
    with Program(head.address, name="robot") as program:
        assert set(program.greeting["nodes"].split(",")) == plain


def test_a_killed_reader_sees_again_what_it_had_not_received(cluster: Cluster) -> None:
    texts = [f"long {n} " + "x" * 900 for n in range(200)]
    tail = cluster["tail"]
    with Person(cluster["middle"].address, "writer") as writer:
        reader = Person(tail.tls_address, "sleeper", tls=cluster.trust, receive_buffer=4096)
        for text in texts[:5]:
            writer.ask(text)
        for text in texts[:5]:
            reader.hear(re.escape(text))
        for text in texts[5:]:
            writer.ask(text)
        with Person(tail.address, "witness") as witness:
            reader.say("typed by somebody who reads nothing")
            until(lambda: unsent(reader) == 0, lambda: "the line does not arrive")
            witness.listed("/who")  # by now the node has read it
        reader.reset()
        with Person(tail.tls_address, "sleeper", tls=cluster.trust) as again:
            lines = again.lines_to(re.escape(texts[-1]))
    shown = [line.split("writer: ")[1] for line in lines if " writer: long " in line]
    assert shown == texts[-len(shown) :]
    in_the_kernel = 12 * 1024  # as much as Linux makes of 4,096 octets, and TLS's own around texts
    assert len(texts) - len(shown) <= 5 + in_the_kernel // 900


def unsent(caller: Person) -> int:
    """Octets that somebody's kernel has sent and the other side has not acknowledged."""
    count = array.array("i", [0])
    fcntl.ioctl(caller.socket.fileno(), termios.TIOCOUTQ, count)
    return count[0]


CLIENTS = {
    "openssl": (
        "openssl s_client -quiet -verify_return_error -verify_ip {host} -CAfile {ca} "
        "-connect {place}"
    ),
    # It looks for names only, not for addresses.
    "ncat": "ncat -{ip} --ssl-verify --ssl-trustfile {ca} --no-shutdown localhost {port}",
    "socat": "socat - OPENSSL:{place},cafile={ca},verify=1",
}


def needs_names(text: str) -> None:
    """Skip where the name that a text needs is not that of the nodes."""
    found = {each[4][0] for each in socket.getaddrinfo("localhost", None)}
    if "localhost" in text and HOST not in found:
        pytest.skip(f"localhost is not {HOST} here")


def client(program: str, cluster: Cluster, ca: Path) -> str:
    """The command of a program that talks with the middle."""
    needs_names(CLIENTS[program])
    host, port = cluster["middle"].tls_address
    ip = ip_address(host).version
    return CLIENTS[program].format(host=host, port=port, place=host_port(host, port), ip=ip, ca=ca)


@pytest.mark.parametrize("program", CLIENTS)
def test_usual_programs_talk_through_tls(
    cluster: Cluster, skip_or_fail: Callable[[str], None], program: str
) -> None:
    if shutil.which(program) is None:
        skip_or_fail(f"{program} is not installed")
    command = client(program, cluster, cluster.folder / "tls/ca.crt")
    said = []
    with subprocess.Popen(
        command.split(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = threading.Timer(30, process.kill)
        deadline.start()
        process.stdin.write(f"{program}\nhello from {program}\n/quit\n".encode())
        process.stdin.flush()
        for line in process.stdout:
            said.append(line.decode().strip())
            if said[-1] == "+OK goodbye":
                break
        process.stdin.close()
        process.stdout.read()
        deadline.cancel()
    assert f"+OK you are {program}: type to talk to everybody, /help for all else" in said, said
    assert said[-1] == "+OK goodbye", said


@pytest.mark.parametrize("program", CLIENTS)
def test_usual_programs_refuse_a_node_of_another_ca(
    cluster: Cluster, skip_or_fail: Callable[[str], None], program: str, tmp_path: Path
) -> None:
    if shutil.which(program) is None:
        skip_or_fail(f"{program} is not installed")
    ca = tmp_path / "ca.crt"
    ca.write_bytes(Authority().pem)
    command = client(program, cluster, ca)
    done = subprocess.run(
        command.split(), input=b"eve\n", capture_output=True, timeout=60, check=False
    )
    assert b"chainchat" not in done.stdout
    assert done.returncode != 0
    assert done.stderr


def test_the_bundled_client_verifies_the_node_and_the_host(cluster: Cluster) -> None:
    node, ca = cluster["tail"], str(cluster.folder / "tls/ca.crt")
    name = ("--name", "bundled", "--send", "hello")
    for options in (
        ("--connect", f"tls://{host_port(HOST, node.tls_port)}"),
        ("--connect", host_port(HOST, node.tls_port), "--tls"),
        ("--config", str(node.config), "--tls"),
    ):
        done = run(*CLIENT, *name, *options, "--ca", ca)
        assert (done.returncode, done.stderr) == (0, ""), done


@pytest.mark.parametrize(
    ("where", "trusts", "why"),
    [
        ("tls://{here}:{tls}", False, "its certificate is refused: it is of no CA known here"),
        ("tls://localhost:{tls}", True, "its certificate is refused: hostname mismatch"),
        ("tls://{here}:{plain}", True, "it speaks no TLS at this port"),
        ("{here}:{tls}", True, "this port takes TLS only"),
    ],
    ids=["another CA", "another host", "TLS to a plain port", "plain to a TLS port"],
)
def test_the_bundled_client_says_in_words_why_not(
    cluster: Cluster, where: str, trusts: bool, why: str
) -> None:
    needs_names(where)
    node = cluster["tail"]
    here = host_port(HOST, 0).rpartition(":")[0]
    address = where.format(here=here, tls=node.tls_port, plain=node.client_port)
    ca = ("--ca", str(cluster.folder / "tls/ca.crt")) if trusts else ()
    command = ("--name", "nobody", "--connect", address, "--send", "x", "--timeout", "1", *ca)
    done = run(*CLIENT, *command)
    assert done.returncode == 75  # nothing was sent
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_who_begins_without_tls_at_the_port_for_it_is_told(cluster: Cluster) -> None:
    with Person(cluster["head"].tls_address) as person:
        person.say("alice")
        [line] = person.end()
    assert line.startswith("-ERR 426 this port takes TLS only")


def test_a_client_that_agrees_on_nothing_is_hung_up_on(cluster: Cluster) -> None:
    with Person(cluster["head"].tls_address, within=30) as person:
        assert person.end() == []


def test_who_changes_the_keys_over_and_over_is_read_at_the_pace_of_lines(cluster: Cluster) -> None:
    with Records(cluster["tail"].tls_address) as client:
        client.socket.settimeout(2.0)
        changes = b"".join(client.key_update(ask=False) for _ in range(40_000))
        with pytest.raises(TimeoutError):
            client.socket.sendall(changes)
    with Person(cluster["tail"].tls_address, "unhurried", tls=cluster.trust) as person:
        assert person.ask("and nobody minds").startswith("+OK ")


def test_who_changes_the_keys_between_lines_is_heard(cluster: Cluster) -> None:
    tail = cluster["tail"]
    with (
        Person(tail.tls_address, "listener", tls=cluster.trust) as person,
        Records(tail.tls_address) as client,
    ):
        client.say(b"changing\n")
        for number, ask in enumerate((False, True, False)):
            client.socket.sendall(client.key_update(ask=ask))
            client.say(b"said under keys %d\n" % number)
            person.hear(f"changing: said under keys {number}$")


@pytest.mark.parametrize(
    ("kind", "content"),
    [(TEXT, b""), (ALERT, b"\x01\x5a")],
    ids=["without text", "warnings"],
)
def test_records_that_nobody_sends_end_the_connection(
    cluster: Cluster, kind: int, content: bytes
) -> None:
    with Records(cluster["tail"].tls_address) as client:
        client.socket.settimeout(10.0)
        with contextlib.suppress(ConnectionError):
            client.socket.sendall(b"".join(client.record(kind, content) for _ in range(1_000)))
            while client.socket.recv(1 << 16):
                pass


# --- the start, and reloading ------------------------------------------------------------


def test_a_key_that_others_can_read_is_refused_at_the_start(new_cluster: NewCluster) -> None:
    cluster = new_cluster(tls=True)
    key = cluster.folder / "tls/tail/node.key"
    key.chmod(0o644)
    cluster["tail"].start()
    assert cluster["tail"].wait(DEADLINE) == 1
    said = f"{key}: others can read this key (mode 644): chmod 600 it"
    assert said in cluster["tail"].last_words()


def test_a_chain_port_that_somebody_else_holds_open_is_refused(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("tail",))
    tail = cluster["tail"]
    with socket.create_server((HOST, tail.chain_port), family=family_of(HOST)) as held:
        os.set_inheritable(held.fileno(), True)
        program = (
            f"import os, sys; os.dup2({held.fileno()}, 3); os.execvp(sys.argv[1], sys.argv[1:])"
        )
        tail.launcher = [sys.executable, "-c", program]
        tail.environment = {"LISTEN_FDS": "1"}
        tail.start(pass_fds=(held.fileno(),))
        assert tail.wait(DEADLINE) == 1
    assert "somebody holds it open for this process (socket activation" in tail.last_words()


def test_a_hangup_reloads_and_never_kills(new_cluster: NewCluster) -> None:
    cluster = new_cluster(tls=True).start()
    tail = cluster["tail"]
    for _ in range(3):
        tail.signal(signal.SIGHUP)
    wait_for_log(tail, "tail: reloaded: nothing has changed")
    with Person(tail.tls_address, "old", tls=cluster.trust) as person:
        was = shown(cluster, tail)
        cluster.make_certificates("--renew", "tail")
        tail.signal(signal.SIGHUP)
        wait_for_log(tail, "tail: reloaded: the certificate CN=tail,O=chainchat test, valid from")
        assert shown(cluster, tail) != was
        assert re.fullmatch(r"\+OK \d+", person.ask("old connections live on"))
    text = tail.config.read_text()
    with Person(tail.address, "first"):
        tail.config.write_text(text.replace("[clients]", "[clients]\nmax-connections = 1"))
        tail.signal(signal.SIGHUP)
        wait_for_log(tail, "tail: reloaded: [clients] max-connections: (default) -> 1")
        with Person(tail.address) as second:
            assert second.end()[0].startswith("-ERR 422 ")
    tail.config.write_text(text.replace("suspect-after = 1.0", "suspect-after = 3"))
    tail.signal(signal.SIGHUP)
    wait_for_log(
        tail, "tail: needs a stop of all servers, then a start: [chain] suspect-after: 1.0 -> 3"
    )
    tail.config.write_text(text.replace("founding = head middle", "founding = middle head"))
    tail.signal(signal.SIGHUP)
    wait_for_log(tail, "tail: never changes, put it back: [chain] founding: head middle tail -> ")
    epoch = cluster.epoch
    key = cluster.folder / "tls/tail/node.key"
    whole = key.read_bytes()
    key.write_bytes(b"broken")
    tail.signal(signal.SIGHUP)
    wait_for_log(tail, f"tail: nothing is reloaded: {key}: holds no private key in PEM")
    tail.config.write_text("[chain\n")
    tail.signal(signal.SIGHUP)
    wait_for_log(tail, "line 1: a [section] has to come before [chain")
    assert shown(cluster, tail)
    assert cluster.epoch == epoch
    key.write_bytes(whole)


def shown(cluster: Cluster, node: Node) -> bytes:
    """The certificate that a node shows to clients now."""
    with (
        socket.create_connection(node.tls_address) as plain,
        cluster.trust.wrap_socket(plain, server_hostname=node.host) as secure,
    ):
        certificate = secure.getpeercert(True)
    assert certificate is not None
    return certificate


def test_what_expires_soon_is_warned_of_at_the_start_and_in_chain(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("head", "tail"), tls=True)
    authority = Authority()
    for position, days in (("head", 365), ("tail", 12)):
        made = authority.made(authority.names(position, HOST), days=(-1, days))
        written(made, cluster.folder / "tls" / position)
    cluster.start()
    wait_for_log(cluster["tail"], "tail: this node's certificate expires in 11 days, on 20")
    wait_for_log(cluster["head"], "is linked, but the certificate of tail expires in 11 days")
    with Person(cluster["head"].address, "alice") as alice:
        drawn = alice.listed("/chain")
    assert any("the certificate of tail expires in 11 days" in line for line in drawn)


def test_without_a_plain_port_there_is_tls_only(new_cluster: NewCluster) -> None:
    cluster = new_cluster(("tail",), tls=True)
    tail = cluster["tail"]
    text = tail.config.read_text()
    tail.config.write_text(re.sub("client-port = [0-9]+", "client-port = none", text))
    tail.start()
    wait_for_log(tail, "serving in epoch 1 (tail)")
    with Program(tail.tls_address, name="robot", tls=cluster.trust) as program:
        assert program.greeting["nodes"] == host_port(HOST, tail.tls_port)
    with pytest.raises(ConnectionRefusedError):
        Person(tail.address)
