"""Addresses of nodes, as people type them and as nodes name them."""

import pytest

from chainchat.client.engine.wire import Address, parse_address, parse_nodes


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("a:1", Address("a", 1)),
        ("[::1]:7001", Address("::1", 7001)),
        ("tls://a:1", Address("a", 1, True)),
        (" tls://[::1]:7201 ", Address("::1", 7201, True)),
    ],
)
def test_an_address_has_host_port_and_perhaps_tls(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(text, tls=True) == address._replace(tls=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a:",
        ":1",
        "tls://",
        "tls://a",
        "http://a:1x",
        "a:0",
        "::1:7001",
        "a\0:1",
        "a\x1b:1",
    ],
)
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        parse_address(text)


def test_what_a_node_names_is_reached_as_the_node_itself() -> None:
    assert parse_nodes("a:1,rubbish,b:2", tls=True) == [
        Address("a", 1, True),
        Address("b", 2, True),
    ]
    assert parse_nodes("a:1", tls=False) == [Address("a", 1)]
