"""Copies of a node's disk, in another server."""

import shutil
from pathlib import Path

from cluster import Cluster, Node, copy_data, make_certificates
from ports import free_ports


def copy_of(cluster: Cluster, position: str, folder: Path, host: str = "") -> Node:
    """Another server with the data of a stopped one, at other ports; not started.

    Args:
        host: the address that the copy has, and knows of, and has a certificate for; by default
            the original's.
    """
    original = cluster[position]
    client_port, chain_port = free_ports(2)
    node = Node(folder, position, client_port, chain_port)
    node.host = host or original.host
    text = original.config.read_text()
    text = text.replace(f"client-port = {original.client_port}", f"client-port = {client_port}")
    text = text.replace(f"chain-port = {original.chain_port}", f"chain-port = {chain_port}")
    text = text.replace(f"tls-port = {original.tls_port}\n", "tls-port = none\n")
    text = text.replace(
        f"[{position}]\nhost = {original.host}", f"[{position}]\nhost = {node.host}"
    )
    node.config.write_text(text)
    copy_data(original.data, node.data)
    if original.tls_port:
        shutil.copytree(original.config.parent / "tls", folder / "tls")
        if node.host != original.host:
            make_certificates(node.config, "--renew", position)
    return node
