"""What holds for the whole package, and no linter checks."""

import ast
from pathlib import Path

import chainchat

SOURCES = sorted(Path(chainchat.__file__).parent.rglob("*.py"))

OPEN_BUT_INTERNAL = {"recvd", "dataBuffer", "TLS", "unprocessed"}
"""State of Twisted's transports and protocols that only looks public."""

DOCUMENTED = {"os._exit"}
"""What only looks private."""


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def names_defined(tree):
    """All private names that a class, a method or a module gives to something of its own."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                yield name


def foreign_attributes(path, known):
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Attribute) or ast.unparse(node) in DOCUMENTED:
            continue
        if (is_private(node.attr) and node.attr not in known) or node.attr in OPEN_BUT_INTERNAL:
            yield f"{path.name}:{node.lineno}: {ast.unparse(node)}"


def test_nothing_looks_into_what_is_not_of_this_package():
    trees = [ast.parse(path.read_text()) for path in SOURCES]
    known = {name for tree in trees for name in names_defined(tree) if is_private(name)}
    assert not [found for path in SOURCES for found in foreign_attributes(path, known)]
