"""Networks, as the key ``exempt`` lists them."""

from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network


def read_networks(text: str) -> tuple[Network, ...]:
    """Read networks between spaces; an address is a network of one.

    Raises:
        ValueError: a word is neither.
    """
    if "%" in text:  # an interface of one machine
        raise ValueError(text)
    return tuple(ip_network(network) for network in text.split())


EXEMPT = read_networks("127.0.0.0/8 ::1")
