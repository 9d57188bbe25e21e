"""chain.ini: what the shipped file says, and what every mistake in one is answered with."""

import os
import tempfile
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chainchat.config import (
    RELOADABLE,
    ConfigError,
    NodeSettings,
    Settings,
    TLSFiles,
    changes,
    load,
    reloaded,
)

SHIPPED = Path(__file__).parents[2] / "chain.ini"

LEAST = """\
[chain]
name = lab
founding = head middle tail
[head]
[middle]
[tail]
"""

POSITION = (
    "1 to 32 lowercase letters, digits or '-', "
    "and not 'chain', 'clients', 'limits', 'accounts', 'storage', 'tls' or 'log'"
)
FOUNDING = f"one to three different positions, as chains of one to three work; each {POSITION}"
NAME = "1 to 32 letters, digits, '-', '_' or '.'"
PORT = "a whole number from 1 to 65535"
PORT_OR_NONE = f"{PORT}, or none"
FILE = "the path of a file; %p in it stands for the position"
HOST = "a host name or address, without spaces or commas"
SECONDS = "a number of seconds from 0.1 to 60"
LINE = "a whole number from 64 to 16384"
CONNECTIONS = "a whole number from 1 to 1000000"
NETWORKS = "addresses and networks between spaces, as in 127.0.0.0/8 10.1.2.3 ::1"
OCTETS = "a size as in 0 (off), 4096 (octets), 64 kB, 100 MB or 2 GB"
NODE_KEYS = (
    "host, client-host, chain-host, client-port, tls-port, chain-port, data, "
    "web-port, web-host, web-url"
)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "chain.ini"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def error_of(path: Path) -> str | None:
    try:
        load(path)
    except ConfigError as error:
        return str(error)
    return None


def lab(folder: Path, path: Path) -> Settings:
    nodes = {
        position: NodeSettings(position, "127.0.0.1", 7001 + order, 7101 + order, folder / position)
        for order, position in enumerate(("head", "middle", "tail"))
    }
    return Settings(
        path=path,
        name="lab",
        founding=("head", "middle", "tail"),
        suspect_after=1.0,
        max_line=1024,
        max_connections=10_000,
        per_address=64,
        exempt=(ip_network("127.0.0.0/8"), ip_network("::1")),
        stop=100_000_000,
        nodes=nodes,
        tls=tls_files(path.parent / "tls/%p"),
    )


def tls_files(folder: Path) -> TLSFiles:
    """The files where chainchat looks for them unless the file says otherwise."""
    certificate, key = folder / "node.crt", folder / "node.key"
    return TLSFiles(folder / "ca.crt", certificate, key, certificate, key)


def test_the_shipped_file_describes_three_nodes_on_one_machine():
    assert load(SHIPPED) == lab(SHIPPED.parent / "var", SHIPPED)


def test_what_is_left_out_has_the_values_that_the_shipped_file_shows(tmp_path):
    path = write(tmp_path, LEAST)
    assert load(path) == lab(tmp_path / "var", path)


def test_every_value_can_be_chosen(tmp_path):
    text = """\
# a comment
[chain]
name = Field-Day.7     ; 100 % of it
founding = b
    a
suspect-after = .5
rejoin-pause = 0
refusal-is-death = no
[clients]
max-line = 64
max-connections = 1
[limits]
per-address = 7
connects-per-minute = 0
new-accounts = 1
most-accounts = 1000000
send-rate = 0
send-burst = 3
exempt = 10.0.0.0/8
    192.0.2.1 2001:db8::/32
[storage]
stop = 2 GB
[tls]
ca = ../ca.pem
certificate = /etc/%p.pem
key = %p/key.pem
chain = yes
check-dates = no
client-certificate = clients.pem
client-key = clients.key
[spare]
client-port = none
tls-port = 1
chain-port = 65535
[a]
data = /srv/a;b %(name)s
[b]
host = ::1
data = ../b
"""
    path = write(tmp_path, text.replace("\n", "\r\n"))
    assert load(path) == Settings(
        path=path,
        name="Field-Day.7",
        founding=("b", "a"),
        suspect_after=0.5,
        max_line=64,
        max_connections=1,
        per_address=7,
        exempt=tuple(map(ip_network, ("10.0.0.0/8", "192.0.2.1", "2001:db8::/32"))),
        stop=2_000_000_000,
        nodes={
            "b": NodeSettings("b", "::1", 7001, 7101, tmp_path.parent / "b"),
            "a": NodeSettings("a", "127.0.0.1", 7002, 7102, Path("/srv/a;b %(name)s")),
            "spare": NodeSettings("spare", "127.0.0.1", 0, 65535, tmp_path / "var/spare", 1),
        },
        tls=TLSFiles(
            ca=tmp_path.parent / "ca.pem",
            certificate=Path("/etc/%p.pem"),
            key=tmp_path / "%p/key.pem",
            client_certificate=tmp_path / "clients.pem",
            client_key=tmp_path / "clients.key",
        ),
        rejoin_pause=0.0,
        refusal_is_death=False,
        connects_per_minute=0,
        new_accounts=1,
        most_accounts=1_000_000,
        send_rate=0,
        send_burst=3,
        chain_tls=True,
        check_dates=False,
    )


def test_p_in_a_path_of_tls_stands_for_the_position(tmp_path):
    text = LEAST.replace("[head]", "[tls]\nkey = keys/%p.%p\n[head]")
    files = load(write(tmp_path, text)).tls.of("tail")
    assert files.key == files.client_key == tmp_path / "keys/tail.tail"
    assert files.certificate == tmp_path / "tls/tail/node.crt"


# what a running node can take


def test_changes_name_keys_with_both_values_and_say_what_needs_a_restart(tmp_path):
    old = load(write(tmp_path, LEAST))
    text = LEAST.replace("name = lab", "name = lab\nsuspect-after = 2")
    text = text.replace("[head]", "[limits]\nper-address = 5\n[head]\nhost = 127.0.0.2")
    found = changes(old, load(write(tmp_path, text)))
    assert [(str(change), change.needs_restart) for change in found] == [
        ("[chain] suspect-after: (default) -> 2", True),
        ("[limits] per-address: (default) -> 5", False),
        ("[head] host: (default) -> 127.0.0.2", True),
    ]


def test_a_running_node_takes_what_needs_no_restart_and_is_asked_for_the_rest_again(tmp_path):
    old = load(write(tmp_path, LEAST))
    text = LEAST.replace("name = lab", "name = bal\nsuspect-after = 2")
    new = load(write(tmp_path, text.replace("[head]", "[limits]\nper-address = 5\n[head]")))
    running = reloaded(old, new)
    assert (running.per_address, running.name, running.suspect_after) == (5, "lab", 1.0)
    assert [change.key for change in changes(running, new)] == ["name", "suspect-after"]


def test_every_key_that_a_running_node_takes_sets_an_attribute(tmp_path):
    settings = load(write(tmp_path, LEAST))
    assert all(hasattr(settings, attribute) for attribute in RELOADABLE.values())


def test_founding_positions_come_first_in_their_order_then_the_others_in_that_of_the_file(tmp_path):
    extra = "[spare-2]\nclient-port=1\nchain-port=2\n[spare-1]\nclient-port=3\nchain-port=4\n"
    text = LEAST.replace("head middle tail", "tail head middle").replace("[head]", extra + "[head]")
    assert list(load(write(tmp_path, text)).nodes) == [
        "tail",
        "head",
        "middle",
        "spare-2",
        "spare-1",
    ]


@pytest.mark.parametrize(
    ("size", "octets"),
    [("0", 0), ("4096", 4_096), ("64kB", 64_000), ("8 MB", 8_000_000), ("1  GB", 1_000_000_000)],
)
def test_sizes_have_units_of_a_thousand(tmp_path, size, octets):
    text = LEAST.replace("[head]", f"[storage]\nstop = {size}\n[head]")
    assert load(write(tmp_path, text)).stop == octets


def test_nobody_has_to_be_exempt(tmp_path):
    text = LEAST.replace("[head]", "[limits]\nexempt =\n[head]")
    assert load(write(tmp_path, text)).exempt == ()


def test_a_path_is_relative_to_the_folder_of_the_file_and_not_to_where_one_stands(
    tmp_path, monkeypatch
):
    (tmp_path / "etc").mkdir()
    write(tmp_path / "etc", LEAST)
    monkeypatch.chdir(tmp_path)
    assert load(Path("etc/chain.ini")).nodes["head"].data == tmp_path / "etc/var/head"


def test_the_mark_that_some_editors_put_before_utf8_is_no_mistake(tmp_path):
    assert load(write(tmp_path, b"\xef\xbb\xbf" + LEAST.encode())).name == "lab"


def test_a_pipe_that_nobody_writes_to_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "chain.ini")
    with pytest.raises(ConfigError, match=r"chain\.ini: this is a pipe or a device; name a file"):
        load(tmp_path / "chain.ini")


def test_a_present_folder_that_is_gone_is_told(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigError, match=r"^chain\.ini: the present folder is gone"):
        load(Path("chain.ini"))


def test_a_device_that_never_ends_is_not_read():
    with pytest.raises(ConfigError, match="/dev/zero: this is a pipe or a device; name a file"):
        load(Path("/dev/zero"))


def test_a_file_that_would_keep_a_node_busy_is_refused(tmp_path):
    path = write(tmp_path, LEAST + "; filled up\n" * 100_000)
    with pytest.raises(ConfigError, match=r"chain\.ini: \d{7} octets; allowed: 1000000"):
        load(path)


@pytest.mark.parametrize("key", ["data", "certificate"])
def test_a_path_that_the_locale_cannot_write_names_another_locale(tmp_path, monkeypatch, key):
    def ascii_only(text):
        return text.encode("ascii")

    text = LEAST if key == "data" else f"{LEAST}[tls]\n"
    path = write(tmp_path, f"{text}{key} = d\u00e4t\u00e4\n")
    monkeypatch.setattr(os, "fsencode", ascii_only)
    with pytest.raises(ConfigError, match=f"{key} = .*: no path in this locale; set LC_ALL=C"):
        load(path)


def test_two_positions_may_use_one_port_on_two_hosts(tmp_path):
    text = LEAST.replace("[middle]", "[middle]\nhost = 10.0.0.2\nclient-port = 7001")
    assert load(write(tmp_path, text)).nodes["middle"].client_port == 7001


# (what stands in LEAST, what is put in its place, what the error says after "FILE: ")
MISTAKES = [
    # syntax
    ("[chain]\n", "", "line 1: a [section] has to come before name = lab"),
    (LEAST, "", "[chain] the section is missing; name and founding are required"),
    ("[head]", "what", "line 4: what; allowed: [section], key = value, or a ; comment"),
    ("[head]", "= 3", "line 4: = 3; allowed: [section], key = value, or a ; comment"),
    ("[head]", "[head]\n[head]", "line 5: there is a section [head] already"),
    ("[head]", "[head]\ndata=a\nDATA=b", "line 6: [head] has data twice"),
    # sections and keys
    (
        "[chain]",
        "[chian]",
        "[chain] the section is missing (is [chian] meant to be it?);"
        " name and founding are required",
    ),
    (
        "[middle]",
        "[midle]",
        "[middle] the section is missing (is [midle] meant to be it?);"
        " founding names this position",
    ),
    ("[tail]\n", "", "[tail] the section is missing; founding names this position"),
    ("name = lab\n", "", f"[chain] name is missing; allowed: {NAME}"),
    ("founding = head middle tail\n", "", f"[chain] founding is missing; allowed: {FOUNDING}"),
    (
        "name = lab",
        "name = lab\nrefusal-is-death = No",
        "[chain] refusal-is-death = No; allowed: yes or no",
    ),
    (
        "name = lab",
        "name = lab\nsuspect_after = 1",
        "[chain] suspect_after is unknown (is suspect-after meant?);"
        " allowed: name, founding, suspect-after, rejoin-pause, refusal-is-death",
    ),
    (
        "[head]",
        "[clients]\nmaxline = 1024\n[head]",
        "[clients] maxline is unknown (is max-line meant?); allowed: max-line, max-connections",
    ),
    (
        "[head]",
        "[head]\nport = 7001",
        f"[head] port is unknown (is web-port meant?); allowed: {NODE_KEYS}",
    ),
    (
        "[head]",
        "[client]\nmax-line = 1024\n[head]",
        f"[client] max-line is unknown (it belongs in [clients]); allowed: {NODE_KEYS}",
    ),
    ("[head]", "[head]\nzzz = 1", f"[head] zzz is unknown; allowed: {NODE_KEYS}"),
    ("[tail]", "[tail]\n[spare]", f"[spare] client-port is missing; allowed: {PORT_OR_NONE}"),
    (
        "[tail]",
        "[tail]\n[spare]\nclient-port = 1",
        f"[spare] chain-port is missing; allowed: {PORT}",
    ),
    ("[tail]", "[tail]\n[Spare]", f"[Spare] is not the name of a position: {POSITION}"),
    ("[tail]", "[tail]\n[DEFAULT]", f"[DEFAULT] is not the name of a position: {POSITION}"),
    # the chain itself
    ("lab", "", f"[chain] name = ; allowed: {NAME}"),
    ("lab", "my lab", f"[chain] name = my lab; allowed: {NAME}"),
    ("lab", "%(founding)s", f"[chain] name = %(founding)s; allowed: {NAME}"),
    ("lab", "x" * 33, f"[chain] name = {'x' * 33}; allowed: {NAME}"),
    ("lab", "x" * 99, f"[chain] name = {'x' * 60}…; allowed: {NAME}"),
    ("lab", "l\u00e4b", f"[chain] name = l\u00e4b; allowed: {NAME}"),
    ("lab", "l\u2028b", f"[chain] name = l\\u2028b; allowed: {NAME}"),
    (
        "founding",
        "  founding",
        f"[chain] name = lab\\nfounding = head middle tail; allowed: {NAME};"
        " an indented line continues the one before it",
    ),
    ("head middle tail", "", f"[chain] founding = ; allowed: {FOUNDING}"),
    ("head middle tail", "a b c d", f"[chain] founding = a b c d; allowed: {FOUNDING}"),
    ("head middle tail", "a b a", f"[chain] founding = a b a; allowed: {FOUNDING}"),
    ("head middle tail", "a chain", f"[chain] founding = a chain; allowed: {FOUNDING}"),
    ("head middle tail", "a clients", f"[chain] founding = a clients; allowed: {FOUNDING}"),
    ("head middle tail", "a B", f"[chain] founding = a B; allowed: {FOUNDING}"),
    ("head middle tail", "a,b", f"[chain] founding = a,b; allowed: {FOUNDING}"),
    ("head middle tail", "a" * 33, f"[chain] founding = {'a' * 33}; allowed: {FOUNDING}"),
    *(
        (
            "name = lab",
            f"name = lab\nsuspect-after = {bad}",
            f"[chain] suspect-after = {bad}; allowed: {SECONDS}",
        )
        for bad in ("", "soon", "nan", "inf", "1e1", "-1", "0.09", "60.1", "1 s", "1_0", "\u0661")
    ),
    # its clients
    *(
        ("[head]", f"[clients]\n{key} = {bad}\n[head]", f"[clients] {key} = {bad}; allowed: {kind}")
        for key, kind, values in (
            ("max-line", LINE, ("", "63", "16385", "1k", "1_024", "-64", "1024.0")),
            ("max-connections", CONNECTIONS, ("", "0", "1000001", "9" * 12, "many")),
        )
        for bad in values
    ),
    # their limits, and the disk
    (
        "[head]",
        "[clients]\nper-address = 9\n[head]",
        "[clients] per-address is unknown (it belongs in [limits]);"
        " allowed: max-line, max-connections",
    ),
    (
        "[head]",
        "[storage]\nstopp = 1 GB\n[head]",
        "[storage] stopp is unknown (is stop meant?); allowed: stop, keep, keep-unread",
    ),
    *(
        (
            "[head]",
            f"[{section}]\n{key} = {bad}\n[head]",
            f"[{section}] {key} = {bad}; allowed: {kind}",
        )
        for section, key, kind, values in (
            ("limits", "per-address", CONNECTIONS, ("", "0", "1000001", "many")),
            *(
                ("limits", key, "a whole number from 0 to 1000000", ("", "-1", "1000001", "none"))
                for key in ("connects-per-minute", "new-accounts", "send-rate")
            ),
            *(
                ("limits", key, CONNECTIONS, ("", "0", "1000001"))
                for key in ("most-accounts", "send-burst")
            ),
            (
                "limits",
                "exempt",
                NETWORKS,
                ("localhost", "127.0.0.1/8", "10.0.0.0/33", "10.0.0.1, ::1", "fe80::1%eth0", "10"),
            ),
            (
                "storage",
                "stop",
                OCTETS,
                ("", "off", "-1", "1.5 GB", "100 mb", "1 TB", "100 MiB", "1234567890", "\u0661 MB"),
            ),
        )
        for bad in values
    ),
    # positions
    *(
        ("[head]", f"[head]\n{key} = {bad}", f"[head] {key} = {bad}; allowed: {kind}")
        for key, kind in (
            ("client-port", PORT_OR_NONE),
            ("tls-port", PORT_OR_NONE),
            ("chain-port", PORT),
        )
        for bad in ("", "0", "65536", "-1", "http", "7001.0", "\u0667")
    ),
    *(
        ("[head]", f"[head]\nhost = {bad}", f"[head] host = {bad}; allowed: {HOST}")
        for bad in ("", "my host", "a,b")
    ),
    ("[head]", "[head]\ndata =", "[head] data = ; allowed: the path of a folder"),
    ("[head]", "[head]\ndata = a\0b", "[head] data = a\\x00b; allowed: the path of a folder"),
    (
        "[head]",
        "[head]\nclient-port = none",
        "[head] client-port = none needs a tls-port, or nobody can talk to this node",
    ),
    # TLS
    ("[head]", "[tls]\nchain = on\n[head]", "[tls] chain = on; allowed: yes or no"),
    ("[head]", "[tls]\nkey =\n[head]", f"[tls] key = ; allowed: {FILE}"),
    *(
        (
            "[head]",
            f"[tls]\n{key} = file\n[head]",
            "[tls] client-certificate and client-key go together; name both or none",
        )
        for key in ("client-certificate", "client-key")
    ),
    # what two cannot share
    (
        "[head]",
        "[head]\ntls-port = 7001",
        "[head] tls-port = 7001 is what [head] client-port has; choose another",
    ),
    (
        "[middle]",
        "[middle]\nclient-port = 7001",
        "[middle] client-port = 7001 is what [head] client-port has; choose another",
    ),
    (
        "[head]",
        "[head]\nclient-port = 7002",
        "[middle] client-port = 7002 is what [head] client-port has; choose another",
    ),
    (
        "[tail]",
        "[tail]\nclient-port = 7101",
        "[tail] client-port = 7101 is what [head] chain-port has; choose another",
    ),
    (
        "[head]",
        "[head]\nhost = Lab\nclient-port = 9\nchain-port = 9",
        "[head] chain-port = 9 is what [head] client-port has; choose another",
    ),
    (
        "[middle]",
        "[middle]\ndata = x/../var/head",
        "[middle] data = FOLDER/var/head is what [head] data has; choose another",
    ),
    (
        "[middle]",
        "[middle]\nweb-port = 7102",
        "[middle] web-port = 7102 is what [middle] chain-port has; choose another",
    ),
    (
        "[middle]",
        "[middle]\nweb-url = chat.example.org",
        "[middle] web-url = chat.example.org; allowed: where people find the page, as in "
        "https://chat.example.org/head/",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_a_mistake_is_told_in_one_line_with_file_section_key_value_and_what_is_allowed(
    tmp_path, old, new, message
):
    assert old in LEAST
    path = write(tmp_path, LEAST.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {message.replace('FOLDER', str(tmp_path))}"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.ini")
    assert str(caught.value) == f"{tmp_path}/none.ini: there is no such file"


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{tmp_path}: this is a folder; name the chain.ini in it"


def test_a_file_below_a_file_cannot_be_read(tmp_path):
    path = write(tmp_path, LEAST) / "chain.ini"
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: cannot be read: Not a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_named(tmp_path):
    path = write(tmp_path, LEAST)
    path.chmod(0)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: cannot be read: Permission denied"


def test_a_file_that_is_not_utf8_is_told_with_the_line(tmp_path):
    path = write(tmp_path, LEAST.encode() + b"[sp\xe4re]\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: line 7 is not UTF-8"


def test_a_data_folder_that_is_a_link_to_that_of_another_is_refused(tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var/tail").symlink_to(tmp_path / "var/head")
    with pytest.raises(ConfigError, match=r"\[tail\] data = .* is what \[head\] data has"):
        load(write(tmp_path, LEAST))


PIECES = [
    *LEAST.splitlines(keepends=True),
    *("[", "]", "=", ";", "#", "%(name)s", "\\", "\0", "\r", "\x85", "\u2028", "\t", " ", "7001"),
    *("[clients]", "max-line", "client-port = ", "data = ", "host = ", "\n", "\n  "),
]


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join), st.binary()))
@example(LEAST + "[a\x85b]\n")
@example(LEAST + "host\u2028= 1\n")
def test_no_text_whatever_gets_more_than_a_one_line_error(text):
    with tempfile.TemporaryDirectory() as folder:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        path = write(Path(folder), data)
        message = error_of(path)
        assert message is None or message.startswith(f"{path}: ")
        assert message is None or len(message.splitlines()) == 1
