"""What holds for the whole package and its tests, and no linter checks."""

import ast
import re
from pathlib import Path

import pytest

import chainchat

PACKAGE = Path(chainchat.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = [PACKAGE.parent / name for name in ("tests", "spec", "bench")]
USERS = sorted(path for folder in FOLDERS for path in folder.rglob("*.py"))

CONSTANT = re.compile("[A-Z][A-Z0-9_]*")
CONSTANT_OF_PACKAGE = re.compile(rf"chainchat(\.\w+)*\.{CONSTANT.pattern}")

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


def constants_set(tree):
    """Line numbers where a constant of another module is set, directly or through a patch."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Store()) if CONSTANT.fullmatch(name):
                yield node.lineno
            case ast.Constant(value=str(text)) if CONSTANT_OF_PACKAGE.fullmatch(text):
                yield node.lineno
            case ast.Call(
                func=ast.Attribute(attr="setattr" | "object") | ast.Name(id="setattr"),
                args=[_, ast.Constant(value=str(name)), *_],
            ) if CONSTANT.fullmatch(name):
                yield node.lineno


@pytest.mark.parametrize(
    "line",
    [
        "bounds.MOST = 2",
        'patch("chainchat.chat.bounds.MOST", 2)',
        'monkeypatch.setattr(bounds, "MOST", 2)',
        'patch.object(bounds, "MOST", 2)',
        'smaller = {"chainchat.chat.bounds.MOST": 2}',
    ],
)
def test_who_sets_a_constant_of_another_module_is_found(line):
    assert list(constants_set(ast.parse(line))) == [1]


def test_no_test_sets_a_limit_of_the_package_but_by_an_argument():
    found = [
        f"{path.name}:{line}"
        for path in USERS
        if path != Path(__file__)
        for line in constants_set(ast.parse(path.read_text()))
    ]
    assert not found


def test_data_are_synced_in_one_place_which_knows_of_the_disks_own_caches():
    calls = [
        f"{path.relative_to(PACKAGE)}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("fsync", "fdatasync")
    ]
    assert set(calls) == {"storage/durable.py"}
