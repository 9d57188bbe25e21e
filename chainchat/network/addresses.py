"""IP addresses: which can name one machine, whose one is, how one is written.

Where every machine finds itself, or none does, a refused connection would prove deaths that did not
happen.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_NO_MACHINE = {
    "is every address of the machine that looks at it": ("0.0.0.0/8", "::/128"),
    "is a multicast address, which is no machine's": ("224.0.0.0/4", "ff00::/8"),
    "is a broadcast address, which is no machine's": ("255.255.255.255/32",),
    "is a reserved address, which is no machine's": ("240.0.0.0/4",),
    "is link-local: another machine may have it on the next link": ("169.254.0.0/16", "fe80::/10"),
    "is an IPv4 address in the form of IPv6: write it as in 10.0.0.1": ("::ffff:0:0/96",),
}
_NETWORKS = [(ip_network(text), why) for why, texts in _NO_MACHINE.items() for text in texts]


def objection_to(host: str) -> str:
    """Why no node can be at ``host``; empty if one can."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return "it is no IP address"
    for network, why in _NETWORKS:
        if address in network:
            return f"{address} {why}"
    if host != str(address):  # two ways to write one address would be two places
        return f"this address is written {address}"
    return ""


SITE_BITS = 64
"""Leading bits of an IPv6 address that say whose it is."""


def site_of(host: str) -> str:
    """Whose an address is: a network such as ``2001:db8::/64`` for IPv6, else ``host`` itself."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, SITE_BITS), strict=False))


WIDE_BITS = 48
"""The longest prefix that a provider gives one customer, who then has 65,536 sites."""


def owners_of(host: str) -> tuple[str, ...]:
    """The ``site_of`` an address; for IPv6 the network around that, which may be one person's."""
    site = site_of(host)
    prefix, slash, _ = site.partition("/")
    if slash:
        return site, str(ip_network((prefix, WIDE_BITS), strict=False))
    return (host if site == host else site,)  # the same object: there can be thousands


def is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def host_port(host: str, port: int) -> str:
    """An address such as ``10.0.0.1:7001`` or ``[::1]:7001`` (RFC 3986)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
