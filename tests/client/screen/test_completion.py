"""What Tab makes of a line that is begun."""

from random import Random

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from chainchat.client.engine.engine import Engine
from chainchat.client.model.conversation import Conversation
from chainchat.client.screen.completion import Completions, name_begun


async def nothing(beginning: str) -> None:
    """No server is asked."""


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("be", ["ben: ", "benedict: "]),
        ("hello be", ["hello ben", "hello benedict"]),
        ("BE", ["ben: ", "benedict: "]),
        ("ask @be", ["ask @ben ", "ask @benedict "]),
        (">> be", [">> ben: ", ">> benedict: "]),
        (">> ben: be", []),
        ("/de", ["/delete"]),
        ("/delete ben", ["/delete ben", "/delete benedict"]),
        ("/list be", ["/list ben", "/list benedict"]),
        ("/notices o", ["/notices on", "/notices off"]),
        ("/help no", ["/help notices"]),
        ("/set b", ["/set bell"]),
        ("/set bell m", ["/set bell mentions"]),
        ("/last 2", []),
        ("", []),
        ("hello ", []),
    ],
)
def test_names_verbs_and_what_verbs_take_are_completed(line: str, completed: list[str]) -> None:
    conversation = Conversation(Engine("alice", "c", [("a", 1)], Random(1)), notices=True)
    conversation.names = {"benedict", "ben", "carl"}
    conversation.here = {"ben"}
    found = Completions(conversation, nothing).get_completions(Document(line), CompleteEvent())
    shown = [line[: len(line) + each.start_position] + each.text for each in found]
    assert shown == completed


@pytest.mark.parametrize(
    ("line", "begun"),
    [("be", "be"), ("a @be", "be"), (">> be", "be"), ("/who", None), ("", None), ("a ", None)],
)
def test_a_name_is_looked_for_only_where_one_is_begun(line: str, begun: str | None) -> None:
    assert name_begun(line) == begun
