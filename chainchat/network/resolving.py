"""The hosts of ``chain.ini``, resolved once."""

import socket
from ipaddress import ip_address

from chainchat.config import ConfigError, NodeSettings, Settings
from chainchat.network.addresses import is_loopback, objection_to


def chain_addresses(settings: Settings) -> dict[str, str]:
    """The addresses that the other nodes dial, by position.

    Raises:
        ConfigError: a name is unknown, or no machine is there; or some nodes are on loopback, where
            the others cannot reach them.
    """
    addresses = {
        position: _address(settings, node, node.chain_host_key, node.host)
        for position, node in settings.nodes.items()
    }
    local = [position for position, address in addresses.items() if is_loopback(address)]
    if local and len(local) < len(addresses):
        node = settings.nodes[local[0]]
        raise ConfigError(
            f"{settings.path}: [{node.position}] {node.chain_host_key} = {node.host} is this "
            f"machine to itself ({addresses[node.position]}), but other nodes are elsewhere; "
            "name the address that the others reach it by"
        )
    return addresses


def client_addresses(settings: Settings) -> dict[str, str]:
    """The addresses that clients dial, by position.

    Raises:
        ConfigError: a name is unknown, or no machine is there.
    """
    return {
        position: _address(settings, node, node.client_host_key, node.client_host)
        for position, node in settings.nodes.items()
    }


def web_address(settings: Settings, node: NodeSettings) -> str:
    """The address of the web port; empty without one.

    Raises:
        ConfigError: its name is unknown.
    """
    if not node.web_port:
        return ""
    try:
        found = socket.getaddrinfo(node.web_host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(
            f"{settings.path}: [{node.position}] web-host = {node.web_host}: {error.strerror}; "
            "name a host or an address of this machine"
        ) from None
    return str(found[0][4][0])


def _address(settings: Settings, node: NodeSettings, key: str, host: str) -> str:
    where = f"{settings.path}: [{node.position}] {key} = {host}"
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host is that long
        reason = error.strerror if isinstance(error, OSError) else "no name of a host"
        raise ConfigError(f"{where}: {reason}; name a host or an address") from None
    # A name may have several addresses, and all nodes must choose the same one.
    first = min(found, key=lambda each: (each[0] != socket.AF_INET, str(each[4][0])))
    address = str(first[4][0])
    if "%" not in address:
        address = str(ip_address(address))
    unusable = objection_to(address)
    if unusable:
        raise ConfigError(
            f"{where}: {unusable}; name the address that the others reach this node by"
        )
    return address
