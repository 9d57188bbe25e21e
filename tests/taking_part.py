"""Which nodes take part in the chain."""

from chainchat.node.node import Node


def takes_part(node: Node) -> bool:
    return node._engine.active
