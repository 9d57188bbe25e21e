"""The documents: what they name exists, and what they list is complete."""

import re
from pathlib import Path

import pytest

from chainchat import config
from chainchat.chat.refusals import Code
from chainchat.logs.logs import OTHER
from chainchat.peers.hello import OLDEST_VERSION, PROTOCOL_VERSION
from chainchat.storage.schema import READ_TOO, SCHEMA_VERSION
from tests.simulation.planted import PLANTED
from tests.simulation.script import Script
from tests.stories.scripts import NAMES

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "bench/*.md", "spec/*.md")
    for path in ROOT.glob(pattern)
)
FOLDERS = ("chainchat", "tests", "docs", "bench", "bin", "spec", "examples", "twisted")
WIDTH = 120

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./*-]*")
CLASS = re.compile(r"(?:[A-Z][a-z]+){2,}")
MODULE = re.compile(r"(?:[\w-]+/)*\w+\.py")

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def prose(document: Path) -> str:
    return FENCE.sub("", document.read_text("utf-8"))


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(document: str, heading: str) -> str:
    text = prose(ROOT / document)
    level, _, rest = re.split(rf"^(#+) ({re.escape(heading)})$", text, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, flags=re.MULTILINE)[0]


def test_every_word_of_the_log_is_listed():
    sources = "".join(path.read_text() for path in ROOT.glob("chainchat/**/*.py"))
    words = {*re.findall(r'\bevent="([a-z]+)"', sources), OTHER}
    words |= {*re.findall(r'event="(\w+)" if \w+ else "(\w+)"', sources)[0]}
    rows = re.findall(r"^\| (`[^|]+) \|", section("docs/reference.md", "Words of the log"), re.M)
    listed = [word for row in rows for word in re.findall(r"`(\w+)`", row)]
    assert listed == sorted(words)


@each_document
def test_every_link_leads_somewhere(document):
    broken = []
    for link in LINK.findall(prose(document)):
        if link.startswith(("http:", "https:")):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@each_document
def test_every_path_and_module_that_is_named_exists(document):
    missing = []
    for code in CODE.findall(prose(document)):
        if PATH.fullmatch(code):
            found = any(ROOT.glob(code.rstrip("/").replace("NAME", "*")))
        elif MODULE.fullmatch(code):
            found = any(ROOT.glob(f"[!.]*/**/{code}")) or (ROOT / code).exists()
        else:
            continue
        if not found:
            missing.append(code)
    assert missing == []


@each_document
def test_no_line_but_those_of_tables_is_wide(document):
    lines = document.read_text("utf-8").splitlines()
    wide = [n for n, line in enumerate(lines, 1) if len(line) > WIDTH and line[:1] != "|"]
    assert wide == []


@pytest.mark.parametrize(("document", "most"), [("README.md", 120), ("docs/architecture.md", 250)])
def test_the_first_pages_are_short(document, most):
    assert len((ROOT / document).read_text("utf-8").splitlines()) <= most


def test_the_reference_explains_every_key_of_chain_ini_and_no_other():
    explained = re.findall(
        r"^\| `\[(\w+)\] ([\w-]+)`", section("docs/reference.md", "chain.ini"), re.M
    )
    sections = {
        "chain": config.CHAIN_KEYS,
        "clients": config.CLIENTS_KEYS,
        "limits": config.LIMITS_KEYS,
        "accounts": config.ACCOUNTS_KEYS,
        "storage": config.STORAGE_KEYS,
        "log": config.LOG_KEYS,
        "tls": config.TLS_KEYS,
        "POSITION": config.NODE_KEYS,
    }
    assert sorted(explained) == sorted(
        (name, key) for name, keys in sections.items() for key in keys
    )


def test_operations_tells_which_versions_this_release_goes_together_with():
    text = (ROOT / "docs" / "operations.md").read_text()
    [(spoken, read)] = re.findall(r"^\| unreleased \| (.+) \| (.+) \|$", text, re.MULTILINE)
    protocols = range(OLDEST_VERSION, PROTOCOL_VERSION + 1)
    assert spoken == ", ".join(map(str, protocols))
    assert read == ", ".join(map(str, sorted({*READ_TOO, SCHEMA_VERSION})))


def test_the_protocol_explains_every_error_code_and_no_other():
    explained = re.findall(r"^\| (\d+) \|", section("docs/protocol.md", "Errors"), re.M)
    assert [int(code) for code in explained] == sorted(Code)


@each_document
def test_every_bug_to_plant_exists(document):
    planted = re.findall(r"--planted ([A-Za-z_]+)", document.read_text("utf-8"))
    assert set(planted) - {"NAME", "BUG"} <= set(PLANTED)


@each_document
def test_every_class_that_is_named_exists(document):
    sources = "".join(path.read_text() for path in ROOT.glob("[!.]*/**/*.py"))
    named = {code for code in CODE.findall(prose(document)) if CLASS.fullmatch(code)}
    assert named <= set(re.findall(r"\w+", sources))


@each_document
def test_every_test_that_is_named_by_a_part_of_its_name_exists(document):
    tests = "".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    parts = re.findall(r"`…(\w+)…`", prose(document))
    assert [part for part in parts if not re.search(rf"def test_\w*{part}", tests)] == []


def test_testing_lists_every_command_of_the_stories():
    listed = set(re.findall(r"`(\w+)", section("docs/testing.md", "Write a story")))
    lines = [line for name in NAMES for line in Script.load(name).lines]
    assert {line.command.split()[0] for line in lines if line.command} <= listed
