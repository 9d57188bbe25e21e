"""Where a node can be, whose an address is, and how hosts of chain.ini become addresses."""

import socket
from pathlib import Path

import pytest

from chainchat.config import ConfigError, load
from chainchat.network.addresses import host_port, is_loopback, objection_to, owners_of, site_of
from chainchat.network.resolving import chain_addresses, client_addresses
from chainchat.service import preflight


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("a name", "a name"),
    ],
)
def test_an_ipv6_address_stands_for_its_network(host, site):
    assert site_of(host) == site


def test_an_ipv6_network_is_part_of_a_wider_one_that_may_be_one_persons():
    assert owners_of("2001:db8:1:2::3") == ("2001:db8:1:2::/64", "2001:db8:1::/48")
    assert owners_of("::ffff:10.1.2.3") == owners_of("10.1.2.3") == ("10.1.2.3",)


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1", "::1", "2001:db8::1", "fd00::7"])
def test_a_node_can_be_at_an_address_of_one_machine(host):
    assert objection_to(host) == ""


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("0.0.0.0", "0.0.0.0 is every address of the machine that looks at it"),
        ("::", ":: is every address of the machine that looks at it"),
        ("224.0.0.1", "224.0.0.1 is a multicast address, which is no machine's"),
        ("ff02::1", "ff02::1 is a multicast address, which is no machine's"),
        ("255.255.255.255", "255.255.255.255 is a broadcast address, which is no machine's"),
        ("250.0.0.1", "250.0.0.1 is a reserved address, which is no machine's"),
        ("169.254.3.4", "169.254.3.4 is link-local: another machine may have it on the next link"),
        ("fe80::1%eth0", "fe80::1 is link-local: another machine may have it on the next link"),
        (
            "::ffff:10.0.0.1",
            "::ffff:10.0.0.1 is an IPv4 address in the form of IPv6: write it as in 10.0.0.1",
        ),
        ("2001:DB8::1", "this address is written 2001:db8::1"),
        ("0:0:0::1", "this address is written ::1"),
        ("010.0.0.1", "it is no IP address"),
        ("head", "it is no IP address"),
    ],
)
def test_a_node_cannot_be_where_no_machine_is_or_another_one_for_everybody(host, why):
    told = objection_to(host)
    assert told == why or (host.startswith("::ffff") and told.endswith(why.partition(" ")[2]))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_a_machine_finds_itself_on_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "::2", "fd00::1", "localhost", ""])
def test_anything_else_is_not_loopback(host):
    assert not is_loopback(host)


def test_brackets_keep_the_port_apart():
    assert [
        host_port("10.0.0.1", 7001),
        host_port("::1", 7001),
        host_port("head.example", 7001),
    ] == [
        "10.0.0.1:7001",
        "[::1]:7001",
        "head.example:7001",
    ]


def settings(folder: Path, sections: str):
    path = folder / "chain.ini"
    path.write_text(f"[chain]\nname = lab\nfounding = head tail\n{sections}")
    return load(path)


def test_chain_and_clients_have_hosts_of_their_own_and_host_is_for_who_has_none(tmp_path):
    found = settings(
        tmp_path,
        "[head]\nhost = 10.0.0.1\nclient-host = 2001:DB8::1\n"
        "[tail]\nhost = 10.0.0.2\nchain-host = [fd00:0::2]\n",
    )
    assert chain_addresses(found) == {"head": "10.0.0.1", "tail": "fd00::2"}
    assert client_addresses(found) == {"head": "2001:db8::1", "tail": "10.0.0.2"}


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        (
            "[head]\nhost = fe80::1\n[tail]\n",
            "[head] host = fe80::1: fe80::1 is link-local: another machine may have it on the next "
            "link; name the address that the others reach this node by",
        ),
        (
            "[head]\nchain-host = ::1\n[tail]\nchain-host = fd00::2\n",
            "[head] chain-host = ::1 is this machine to itself (::1), but other nodes are "
            "elsewhere; name the address that the others reach it by",
        ),
    ],
)
def test_an_error_names_the_key_that_is_to_be_mended(tmp_path, sections, problem):
    with pytest.raises(ConfigError) as caught:
        chain_addresses(settings(tmp_path, sections))
    assert str(caught.value) == f"{tmp_path}/chain.ini: {problem}"


def test_clients_may_be_on_loopback_alone_behind_a_proxy_of_each_machine(tmp_path):
    found = settings(
        tmp_path,
        "[head]\nhost = 10.0.0.1\nclient-host = 127.0.0.1\n[tail]\nhost = 10.0.0.2\n",
    )
    assert client_addresses(found) == {"head": "127.0.0.1", "tail": "10.0.0.2"}


def test_of_several_addresses_of_a_name_every_node_chooses_the_same(tmp_path, monkeypatch):
    found = [
        (socket.AF_INET6, 1, 6, "", ("fd00::2", 0, 0, 0)),
        (socket.AF_INET, 1, 6, "", ("10.0.0.9", 0)),
        (socket.AF_INET, 1, 6, "", ("10.0.0.2", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    both = settings(tmp_path, "[head]\nhost = head\n[tail]\nhost = tail\n")
    assert set(chain_addresses(both).values()) == {"10.0.0.2"}
    found.reverse()
    assert set(chain_addresses(both).values()) == {"10.0.0.2"}


@pytest.mark.parametrize(
    ("port", "told"), [(32_767, 0), (32_768, 1), (40_000, 0), (40_001, 1), (45_000, 0), (60_999, 1)]
)
def test_a_port_that_any_outgoing_connection_may_have_is_warned_of(tmp_path, port, told):
    lent, reserved = tmp_path / "lent", tmp_path / "reserved"
    lent.write_text("32768\t60999\n")
    reserved.write_text("40000,44000-45000\n")
    head = settings(tmp_path, f"[head]\nchain-port = {port}\n[tail]\n").nodes["head"]
    warnings = preflight.borrowed_ports(head, lent, reserved)
    assert len(warnings) == told
    assert all(text.startswith(f"chain-port = {port} is among those") for text in warnings)
    lent.unlink()  # no /proc
    assert preflight.borrowed_ports(head, lent, reserved) == []
