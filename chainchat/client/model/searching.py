"""The search in what was said: in what is loaded, then in what the servers keep."""

from collections.abc import Callable, Collection

from chainchat.client.engine import events
from chainchat.client.engine.engine import Engine
from chainchat.client.engine.wire import harmless
from chainchat.client.model.conversation import Conversation, milliseconds
from chainchat.client.model.looking_back import LookingBack
from chainchat.client.model.transcript import Transcript
from chainchat.client.model.view import View


class Searching:
    """What Ctrl-R and ``/search`` do, as lines to show.

    Attributes:
        failed: the last ``find`` found nothing.
    """

    def __init__(
        self,
        engine: Engine,
        conversation: Conversation,
        transcript: Transcript,
        view: View,
        *,
        clock: Callable[[], float],
        ignored: Collection[str],
    ) -> None:
        self.failed = False
        self._engine = engine
        self._conversation = conversation
        self._transcript = transcript
        self._view = view
        self._back = LookingBack(
            lambda after, count: engine.request("SINCE", after, count), clock, ignored
        )

    def find(self, text: str, size: tuple[int, int], *, again: int = 0) -> bool:
        """Search what is loaded; ``size``: columns and rows."""
        if self._back.active and text != self._back.wanted:
            self._back.stop()
        self.failed = not self._view.search(text, *size, again=again) and text != ""
        return not self.failed

    def look_back(self) -> list[str]:
        wanted = self._view.looking_for
        if not wanted or self._back.active:
            return []
        oldest = self._transcript.first_after(0)
        self._back.begin(wanted, oldest.id if oldest else self._engine.newest + 1)
        return self._said_nothing() if self._back.ended else []

    def stop(self) -> list[str]:
        self.failed = False
        if not self._back.active:
            return []
        self._back.stop()
        return [f"* searched back to {self._reached()}; Ctrl-R goes on"]

    def go_on(self) -> None:
        self._back.go_on()

    def heard(self, event: events.Event) -> list[str] | None:
        """Take an answer; None if it is not the search's."""
        match event:
            case events.HistoryListed(request=request, messages=messages):
                if not self._back.asked(request):
                    return None
                found = self._back.listed(messages)
                if found is not None:
                    self._view.to_end()
                    lines = map(harmless, self._conversation.listed(found.around))
                    return [*lines, ". Ctrl-R, or /search, looks for an older one"]
                return self._said_nothing() if self._back.ended else []
            case events.RequestRefused(request=request, text=text) if self._back.asked(request):
                return [f"* {text}", *self.stop()]
        return None

    def progress(self) -> str:
        """A part of the status line; mostly empty."""
        back = self._back
        if back.ended and self.failed and back.wanted == self._view.looking_for:
            return "nothing older"
        if not back.active:
            return ""
        oldest = back.reached
        return f"searching{f' before {self._time(oldest)}' if oldest else ''}, Esc stops"

    def _said_nothing(self) -> list[str]:
        if self._back.reached is None:
            return [f"* nothing older holds {self._back.wanted}"]
        return [f"* nothing older holds {self._back.wanted}: searched back to {self._reached()}"]

    def _reached(self) -> str:
        oldest = self._back.reached
        if oldest is None:
            return "where it is loaded"
        return f"#{oldest.id} of {self._time(oldest)}"

    def _time(self, message: events.MessageArrived) -> str:
        return f"{self._transcript.local(milliseconds(message.time)):%Y-%m-%d %H:%M}"
