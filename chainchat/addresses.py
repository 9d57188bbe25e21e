"""The addresses that name one machine, the same one to everybody.

A refused connection proves that a node is dead. At an address where every machine finds itself, or
none does, a refusal would prove deaths that did not happen.
"""

from ipaddress import AddressValueError, IPv4Address, IPv4Network

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


def is_loopback(host: str) -> bool:
    """True if each machine finds itself at this address."""
    try:
        return IPv4Address(host).is_loopback
    except AddressValueError:
        return False
