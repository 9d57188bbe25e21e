"""The verbs that the client itself knows."""

from typing import Protocol

from chainchat.client.kept.settings import ABOUT, Settings, SettingsError
from chainchat.client.model.conversation import Conversation
from chainchat.client.model.searching import Searching
from chainchat.client.model.view import View

HELP = {
    "/search": "| /search [text]          look for what was said (Ctrl-R); alone: further back",
    "/ignore": "| /ignore [name]          show nothing of somebody; again: show them",
    "/set": "| /set [what value]       see or change what this client does",
}


class Screen(Protocol):
    """The part of a ``Room`` on which these verbs act."""

    conversation: Conversation
    searching: Searching
    view: View

    def find(self, text: str, *, again: int = 0) -> bool: ...


class OwnVerbs:
    """Carries the verbs out.

    Args:
        ignored: names in lower case, of whom nothing is shown.
    """

    def __init__(self, screen: Screen, settings: Settings, ignored: set[str]) -> None:
        self._screen = screen
        self._settings = settings
        self._ignored = ignored

    def answer(self, line: str) -> list[str] | None:
        """Lines to show; None if the line has no verb of the client's own."""
        word, _, rest = line.lstrip().partition(" ")
        match word.lower(), rest.split():
            case "/search", _:
                return self._search(rest.strip())
            case "/set", words:
                return self._set(words)
            case "/notices", ["on" | "off" as joins]:
                self._settings.joins = joins
            case "/ignore", words:
                return self._ignore(words)
            case "/help", []:
                *lines, end = self._screen.conversation.typed(line)
                return [*lines, *HELP.values(), end]
            case "/help", [verb] if own := HELP.get(f"/{verb.lower().removeprefix('/')}"):
                return [own, ". /help lists everything"]
        return None

    def _search(self, text: str) -> list[str]:
        """Search; Ctrl-R and the verb alone go on from there."""
        wanted = text or self._screen.view.looking_for
        if not wanted:
            return ["-ERR 501 type /search, then what to look for; Ctrl-R does it as you type"]
        found = self._screen.find(wanted, again=0 if text else 1)
        return [] if found else self._screen.searching.look_back()

    def _set(self, words: list[str]) -> list[str]:
        settings = self._settings
        match words:
            case []:
                shown = [f"| {key:<8}{getattr(settings, key):<9}{ABOUT[key]}" for key in ABOUT]
                return [*shown, ". /set and one of them, and a value, changes it until you leave"]
            case [key, value]:
                try:
                    settings.changed(key.lower(), value)
                except SettingsError as error:
                    return [f"-ERR 501 {error}"]
                return [f"+OK {key.lower()} is {value.lower()} until you leave"]
        return ["-ERR 501 type /set, what to set, and the value: /set bell off"]

    def _ignore(self, words: list[str]) -> list[str]:
        match words:
            case []:
                names = sorted(self._ignored)
                count = f"{len(names)} name{'' if len(names) == 1 else 's'} ignored"
                return [*(f"| {name}" for name in names), f". {count}"]
            case [name] if name.lower() in self._ignored:
                self._ignored.discard(name.lower())
                return [f"+OK {name} is shown again"]
            case [name]:
                self._ignored.add(name.lower())
                return [f"+OK nothing is shown of {name} until you leave; /ignore {name} ends that"]
        return ["-ERR 501 type /ignore and one name"]
