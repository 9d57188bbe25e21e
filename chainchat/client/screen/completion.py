"""Completion of verbs, of what they take, and of names."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from chainchat.client.kept.settings import ABOUT
from chainchat.client.model.conversation import Conversation

VERBS = (
    *("/chain", "/delete", "/exit", "/help", "/ignore", "/invite", "/kick", "/last", "/list"),
    *("/logout", "/notices", "/operator", "/password", "/quit", "/search", "/set", "/who"),
)

OF_NAMES = ("/delete ", "/ignore ", "/kick ", "/list ", "/operator ")

WORDS = {
    "/help ": [verb.removeprefix("/") for verb in VERBS],
    "/notices ": ["on", "off"],
    "/password ": ["remove", "reset"],
    "/set ": list(ABOUT),
    "/set bell ": ["mentions", "all", "off"],
    "/set desktop ": ["osc9", "osc777", "off"],
    "/set joins ": ["auto", "on", "off"],
    "/set mouse ": ["on", "off"],
    "/set title ": ["on", "off"],
    "/set utc ": ["on", "off"],
}


class Completions(Completer):
    """Completions of the line that is typed."""

    def __init__(self, conversation: Conversation, seek: Callable[[str], Awaitable[None]]) -> None:
        self._conversation = conversation
        self._seek = seek

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        beginning = name_begun(document.text_before_cursor)
        if beginning is not None and not self._conversation.asking.question:
            await self._seek(beginning)
        for completion in self.get_completions(document, complete_event):
            yield completion

    def get_completions(
        self,
        document: Document,
        complete_event: CompleteEvent,  # noqa: ARG002 - the interface
    ) -> Iterable[Completion]:
        if self._conversation.asking.question:
            return
        word, candidates = self._candidates(document.text_before_cursor)
        for candidate in candidates:
            if candidate.lower().startswith(word.lower()):
                yield Completion(candidate, start_position=-len(word))

    def _candidates(self, line: str) -> tuple[str, Iterable[str]]:
        begun = name_begun(line)
        if line.startswith("/") and begun is None:
            taken = max(
                (words for words in WORDS if line.lower().startswith(words)), key=len, default=""
            )
            return (line[len(taken) :], WORDS[taken]) if taken else (line, VERBS)
        if begun is None:
            return "", ()
        names = sorted(self._conversation.names, key=self._rank)
        if line.startswith(">>"):
            return begun, [f"{name}: " for name in names]
        if line.endswith(f"@{begun}"):
            return f"@{begun}", [f"@{name} " for name in names]
        if line == begun:
            return begun, [f"{name}: " for name in names]
        return begun, names

    def _rank(self, name: str) -> tuple[bool, str]:
        return name not in self._conversation.here, name.lower()


def name_begun(line: str) -> str | None:
    """The beginning of a name before the cursor; None without one."""
    if line.startswith(">>"):
        return None if ":" in line else line.removeprefix(">>").lstrip()
    if line.startswith("/"):
        verb, space, rest = line.partition(" ")
        return rest.lstrip() if f"{verb}{space}".lower() in OF_NAMES else None
    word = line.rpartition(" ")[2]
    return word.removeprefix("@") if word else None
