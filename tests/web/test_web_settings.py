"""What chain.ini says of web ports: where pages are, by which names, and what is kept for them."""

from dataclasses import replace

import pytest
import pytest_twisted
from tcp import reactor
from twisted.internet.task import Clock

from chainchat import config
from chainchat.service import preflight
from chainchat.service.client_ports import client_limits
from chainchat.web.hosts import names_of
from chainchat.web.limits import FILES
from chainchat.web.port import ARRIVING, Arrivals, WebPort, pages


def settings(tmp_path, head="", middle="", hosts=("127.0.0.1", "127.0.0.1")):
    path = tmp_path / "chain.ini"
    path.write_text(
        "[chain]\nname = lab\nfounding = head middle\n"
        f"[head]\nhost = {hosts[0]}\n{head}\n[middle]\nhost = {hosts[1]}\n{middle}\n"
    )
    return config.load(path)


def linked(found):
    return pages(found, found.nodes["head"])


def test_no_node_has_a_web_port_unless_it_is_given_one(tmp_path):
    found = settings(tmp_path)
    assert [node.web_port for node in found.nodes.values()] == [0, 0]
    assert linked(found) == {}
    assert preflight.web_address(found, found.nodes["head"]) == ""


def test_a_web_port_is_for_this_machine_unless_it_is_given_a_host(tmp_path):
    found = settings(tmp_path, head="web-port = 7301")
    assert preflight.web_address(found, found.nodes["head"]) == "127.0.0.1"


@pytest.mark.parametrize("host", ["::1", "0.0.0.0"])
def test_a_web_port_may_listen_elsewhere(tmp_path, host):
    found = settings(tmp_path, head=f"web-port = 7301\nweb-host = {host}")
    assert preflight.web_address(found, found.nodes["head"]) == host


def test_a_host_that_is_not_known_is_refused_before_the_start(tmp_path):
    found = settings(tmp_path, head="web-port = 7301\nweb-host = nowhere.invalid")
    with pytest.raises(
        config.ConfigError, match=r"\[head\] web-host = nowhere.invalid: .*; name a"
    ):
        preflight.web_address(found, found.nodes["head"])


def test_pages_on_one_machine_link_to_each_other(tmp_path):
    found = settings(tmp_path, head="web-port = 7301", middle="web-port = 7302\nweb-host = ::1")
    assert linked(found) == {"head": "http://127.0.0.1:7301/", "middle": "http://[::1]:7302/"}


def test_a_page_on_the_loopback_of_another_machine_is_out_of_reach(tmp_path):
    hosts = ("10.0.0.1", "10.0.0.2")
    found = settings(tmp_path, "web-port = 7301", "web-port = 7301", hosts=hosts)
    assert linked(found) == {"head": "http://127.0.0.1:7301/"}
    everywhere = "web-port = 7301\nweb-host = 0.0.0.0"
    found = settings(tmp_path, "web-port = 7301", everywhere, hosts=hosts)
    assert linked(found)["middle"] == "http://10.0.0.2:7301/"
    proxied = "web-port = 7301\nweb-url = https://chat.example.org/middle/"
    found = settings(tmp_path, "web-port = 7301", proxied, hosts=hosts)
    assert linked(found)["middle"] == "https://chat.example.org/middle/"


def test_the_names_of_a_node_are_its_hosts_and_that_of_its_url(tmp_path):
    found = settings(
        tmp_path, head="web-port = 7301\nweb-host = ::1\nweb-url = https://Chat.Example.org:8443/x"
    )
    names = names_of(found.nodes["head"])
    assert names == {"localhost", "::1", "127.0.0.1", "chat.example.org"}


def test_open_files_are_kept_for_the_web_port(tmp_path):
    without = client_limits(settings(tmp_path), 1_000, "head").files
    having = client_limits(settings(tmp_path, head="web-port = 7301"), 1_000, "head").files
    assert without - having == FILES


def test_who_opens_many_connections_has_the_next_cut_off_but_no_proxy_on_this_machine():
    clock = Clock()
    arrivals = Arrivals(clock.seconds)
    most = int(ARRIVING.at_once)
    assert [arrivals.exceed("10.0.0.1") for _ in range(most + 1)] == [False] * most + [True]
    assert not arrivals.exceed("10.0.0.2")
    assert not any(arrivals.exceed("127.0.0.1") for _ in range(most + 1))
    clock.advance(1 / ARRIVING.per_second)
    assert not arrivals.exceed("10.0.0.1")


@pytest.mark.reactor
@pytest_twisted.ensureDeferred
async def test_a_web_port_cuts_them_off(tmp_path, monkeypatch):
    monkeypatch.setattr(Arrivals, "exceed", lambda _, host: host == "10.0.0.1")
    found = settings(tmp_path, head="web-port = 7301")
    own = replace(found.nodes["head"], web_port=0)
    web = WebPort(reactor, found, own, "127.0.0.1")
    assert [web._port.sheds(host) for host in ("10.0.0.1", "10.0.0.2")] == [True, False]
    await web._port.stopListening()
