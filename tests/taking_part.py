"""Which nodes take part in the chain."""

from chainchat.node.node import Node


def takes_part(node: Node) -> bool:
    """True while the node's life numbers, forwards and acknowledges."""
    return node._engine.active
