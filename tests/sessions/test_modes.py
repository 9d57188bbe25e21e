"""Modes are closed: code that serves clients knows their interface, and no mode."""

import ast
from pathlib import Path

import pytest
from sessions_house import House

import chainchat
from chainchat.chat.modes import AFTER_HELLO
from chainchat.chat.modes.mode import NO_TAG, Mode
from chainchat.chat.refusals import Code, RefusedError
from chainchat.chat.requests import EVERYBODY, Login, Logout, Say

PACKAGE = Path(chainchat.__file__).parent


class Tiny(Mode):
    """A third mode: ``name NAME``, ``say NUMBER TEXT``, ``end``; answers are single words."""

    same_to_all = True
    pipelines = acknowledges = False
    counts_missed = 0

    def greeting(self, node, max_line, nodes, sessions):
        return "hi"

    def parse(self, line, *, logged_in):
        match line.split(maxsplit=1):
            case ["name", name]:
                return "", Login(name)
            case ["say", said]:
                number, text = said.split(maxsplit=1)
                return "", Say(EVERYBODY, text, int(number))
            case ["end"]:
                return "", Logout()
        raise RefusedError(Code.UNKNOWN_VERB, "name, say or end")

    def leading_messages(self, lines):
        return []

    def tag_of(self, line):
        return NO_TAG

    def may_be_answered_at_once(self, line):
        return False

    def logged_in(self, tag, login):
        return f"in {login.name}"

    def sent(self, tag, id, *, again):  # noqa: A002
        return "said"

    def done(self, tag, text):
        return "done"

    def refused(self, tag, code, text, *, again=False):
        return f"no {text}"

    def message(self, message, viewer):
        return f"{message.sender} {message.text}"

    def day(self, time):
        return None

    def notice(self, code, text, **values):
        return f"note {code}"


def test_a_third_mode_needs_no_change_of_those_who_serve_it(monkeypatch):
    monkeypatch.setitem(AFTER_HELLO, "tiny/1", Tiny())
    house = House()
    alice, tiny = house.client("alice"), house.client("/hello tiny/1 client=x")
    assert tiny.says("name bob") == ["in bob"]
    assert tiny.says("say 1 hello", "shout") == ["said", "no name, say or end"]
    assert alice.reads()[-1].endswith(" bob: hello")
    alice.says("hello, bob")
    assert tiny.reads() == ["alice hello, bob"]
    assert tiny.says("end") == ["done"]
    assert tiny.connection.closed


def test_a_protocol_that_is_not_spoken_is_refused_with_those_that_are():
    refusal = "-ERR 506 this node speaks chainchat/1 only: begin with /hello chainchat/1 client=ID"
    assert House().client().says("/hello chainchat/2 client=x")[-1] == refusal
    assert House().client().says("/hello tiny/1 client=x")[-1] == refusal


@pytest.mark.parametrize(
    "words", ["2", "2 client=x zip=on", "2 client=x notices=some", "1.1 client=x", "x client=x"]
)
def test_another_version_is_refused_as_such_whatever_its_words(words):
    answer = House().client().says(f"/hello chainchat/{words}")[-1]
    assert answer.startswith("-ERR 506 this node speaks chainchat/1 only")


@pytest.mark.parametrize("folder", ["sessions", "node", "peers"])
def test_nobody_who_serves_clients_knows_a_mode(folder):
    known, modes = set(), ("chainchat.chat.modes.human", "chainchat.chat.modes.machine")
    for path in (PACKAGE / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                known |= {f"{node.module}.{name.name}" for name in node.names}
    assert not [name for name in known if name.startswith(modes)]
