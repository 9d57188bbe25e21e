"""chain.ini: what the shipped file says, and what can be chosen."""

import os
from ipaddress import ip_network
from pathlib import Path

import pytest
from chain_files import LEAST, write

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
from chainchat.config.changes import NEEDS_RESTART, NEEDS_STOP, NEVER, RELOADED

SHIPPED = Path(__file__).parents[2] / "chain.ini"


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
    assert [(str(change), change.verdict) for change in found] == [
        ("[chain] suspect-after: (default) -> 2", NEEDS_STOP),
        ("[limits] per-address: (default) -> 5", RELOADED),
        ("[head] host: (default) -> 127.0.0.2", NEEDS_RESTART),
    ]


def test_no_restart_makes_another_founding_order_of_a_chain(tmp_path):
    old = load(write(tmp_path, LEAST))
    swapped = LEAST.replace("head middle", "middle head")
    [found] = changes(old, load(write(tmp_path, swapped)))
    assert found.verdict == NEVER


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
