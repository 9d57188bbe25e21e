"""The answers of the web port, and the news for watchers.

Whatever costs something is made at most once a second, for all.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import json

from chainchat.node.interfaces import Clock, Timer
from chainchat.node.status import DRAINED
from chainchat.web import metrics, page
from chainchat.web.limits import SECONDS_APART
from chainchat.web.metrics import CONTENT_TYPE, Shown
from chainchat.web.pulse import Heart
from chainchat.web.site import JSON, Answer, Asked, Watcher, event, text
from chainchat.web.view import View

HTML = "text/html; charset=utf-8"
BEAT_SECONDS = 1.0

FILES = {
    "/page.css": "text/css; charset=utf-8",
    "/page.js": "text/javascript; charset=utf-8",
    "/icon.svg": "image/svg+xml",
}

READERS_OF_TEXT = ("curl", "wget", "httpie", "fetch", "xh")


Made = TypeVar("Made")


class Fresh(Generic[Made]):
    """Something that is made again when it is older than ``SECONDS_APART``."""

    def __init__(self, make: Callable[[], Made], clock: Clock) -> None:
        self._make = make
        self._clock = clock
        self._made: Made | None = None
        self._at = 0.0

    def get(self) -> Made:
        now = self._clock.seconds()
        if self._made is None or now - self._at >= SECONDS_APART:
            self._made, self._at = self._make(), now
        return self._made


class WebDesk:
    """A ``Desk`` that answers at once; ``pages`` are addresses of the nodes' pages, by position."""

    def __init__(self, shown: Shown, pages: dict[str, str], clock: Clock) -> None:
        self._shown = shown
        self._pages = pages
        self._clock = clock
        self._heart = Heart()
        self._watchers: set[Watcher] = set()
        self._known: page.Parts = {}
        self._beat_call: Timer | None = None
        self._registry = metrics.registry(shown, lambda: len(self._watchers))
        self._metrics = Fresh(lambda: metrics.rendered(self._registry), clock)
        self._status = Fresh(lambda: json.encode(shown.report()), clock)
        self._page = Fresh(lambda: page.document(self._view()), clock)
        self._text = Fresh(lambda: page.plain(self._view()).encode(), clock)
        self._parts = Fresh(lambda: page.parts(self._view()), clock)
        here = Path(__file__).parent
        self._files = {path: (here / path[1:]).read_bytes() for path in FILES}

    def start(self) -> None:
        self._beat()

    def stop(self) -> None:
        if self._beat_call is not None and self._beat_call.active():
            self._beat_call.cancel()

    def _view(self) -> View:
        return View(self._shown.report(), self._heart.pulse, self._pages)

    def _beat(self) -> None:
        self._beat_call = self._clock.callLater(BEAT_SECONDS, self._beat)
        report = self._shown.report()
        self._heart.beat(report, self._shown.node().tally)
        if self._watchers:
            self._tell(View(report, self._heart.pulse, self._pages))

    # --- answers

    def answer(self, asked: Asked) -> Answer:
        match asked.path:
            case "/":
                return self._page_for(asked)
            case "/healthz":
                return text("ok")
            case "/readyz":
                return self._ready(asked.query)
            case "/metrics":
                return Answer(200, CONTENT_TYPE, self._metrics.get())
            case "/status.json":
                return Answer(200, JSON, self._status.get())
            case path if path in FILES:
                return Answer(200, FILES[path], self._files[path])
            case _:
                there = "/ /metrics /healthz /readyz /readyz?confirms /status.json"
                return text(f"there is no such page; there are: {there}", 404)

    def _page_for(self, asked: Asked) -> Answer:
        vary = (("Vary", "Accept, User-Agent"),)
        if takes_text(asked):
            return Answer(200, "text/plain; charset=utf-8", self._text.get(), vary)
        return Answer(200, HTML, self._page.get(), vary)

    def _ready(self, query: str) -> Answer:
        readiness = self._shown.node().readiness
        if not readiness.serving:
            return text(readiness.reason or "this node takes no clients", 503)
        if self._shown.drained():
            return text(DRAINED, 503)
        confirms = readiness.confirms or not readiness.reason
        if "confirms" in query.split("&") and not confirms:
            return text(readiness.reason, 503)
        return text("ready")

    # --- watchers

    def watch(self, watcher: Watcher) -> None:
        if not self._watchers:
            self._known = self._parts.get()
        self._watchers.add(watcher)
        watcher.tell(event(self._known))

    def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    def _tell(self, view: View) -> None:
        made = page.parts(view)
        new = {name: part for name, part in made.items() if self._known.get(name) != part}
        self._known = made
        data = event({**new, "tab": page.tab(view)})
        for watcher in [*self._watchers]:
            watcher.tell(data)


def takes_text(asked: Asked) -> bool:
    kinds = [kind.partition(";")[0].strip() for kind in asked.accept.split(",")]
    if "text/html" in kinds:
        return False
    return "text/plain" in kinds or asked.agent.lower().startswith(READERS_OF_TEXT)
