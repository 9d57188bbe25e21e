"""The addresses that name one machine, the same one to everybody, and whose an address is.

A refused connection proves that a node is dead; where every machine finds itself, or none does, it
would prove deaths that did not happen.
"""

from ipaddress import AddressValueError, IPv4Address, IPv4Network, ip_address, ip_network

_NO_MACHINE = {
    "0.0.0.0 is every address of the machine that looks at it": IPv4Network("0.0.0.0/8"),
    "a multicast address is no machine's": IPv4Network("224.0.0.0/4"),
    "a broadcast address is no machine's": IPv4Network("255.255.255.255/32"),
    "a reserved address is no machine's": IPv4Network("240.0.0.0/4"),
}


def objection_to(host: str) -> str:
    """Why no node can be at the address ``host``; empty if one can."""
    try:
        address = IPv4Address(host)
    except AddressValueError:
        return "it is no IPv4 address"
    return next((why for why, network in _NO_MACHINE.items() if address in network), "")


SITE_BITS = 64
"""Bits of an IPv6 address that say whose it is; its owner chooses the rest."""


def site_of(host: str) -> str:
    """Whose the address ``host`` is: itself for IPv4, a network such as ``2001:db8::/64`` for IPv6.

    Anything but an address stands for itself.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, SITE_BITS), strict=False))


def is_loopback(host: str) -> bool:
    """True if each machine finds itself at this address."""
    try:
        return IPv4Address(host).is_loopback
    except AddressValueError:
        return False
