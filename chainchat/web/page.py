"""The page of a node: whole, in parts, and as plain text."""

import re
from collections.abc import Iterable, Iterator

from chainchat.node.report import Report, ReportedChange
from chainchat.node.space import in_hours
from chainchat.web import charts, drawing
from chainchat.web.markup import Child, Element, tag, written
from chainchat.web.pulse import POINT_SECONDS, POINTS
from chainchat.web.view import Headline, Place, State, View, headline, listed, places

REFRESH_SECONDS = 5
"""Between two loads of the page without JavaScript."""

DAY_SECONDS = 86_400
SOON_SECONDS = 30 * DAY_SECONDS

MINUTES = POINTS * POINT_SECONDS // 60

PLACE = re.compile(r"\{\{(\w+)\}\}")

Parts = dict[str, str]
"""HTML, by the id of its element."""


def parts(view: View) -> Parts:
    report = view.report
    drawn: dict[str, Iterable[Child]] = {
        "headline": _headline(headline(report)),
        "chain": (drawing.chain(view, tall=False), drawing.chain(view, tall=True)),
        "figures": _figures(view),
        "rate": _rate(view),
        "latency": _latency(view),
        "nodes": (_nodes(view),),
        "changes": _changes(report.changes),
        "disk": _disk(report),
        "notes": _notes(report),
    }
    return {name: "".join(_written(each) for each in some) for name, some in drawn.items()}


def _written(child: Child) -> str:
    return written(tag("p", child))[3:-4] if not isinstance(child, Element) else written(child)


def tab(view: View) -> str:
    return f"{headline(view.report).state.shape} {view.report.chain} · {view.report.position}"


# --- the parts


def _mark(state: State) -> Element:
    drawn = drawing.mark(state, 10, 10)
    style = f"shape {state.value}"
    return tag("svg", drawn, class_=style, viewBox="0 0 20 20", aria_hidden="true")


def _headline(said: Headline) -> Iterator[Child]:
    yield tag("h1", _mark(said.state), " ", said.words, class_=said.state.value)
    yield tag("p", said.detail, class_="detail")


def _figures(view: View) -> Iterator[Child]:
    report = view.report
    yield _figure("Epoch", f"{report.epoch:,}", _length(report))
    yield _figure("Committed", f"{report.committed:,}", f"{report.in_flight:,} in flight here")
    yield _figure("Clients here", f"{report.clients:,}", _counted(report.connections, "connection"))
    if report.writes_paused >= 1:
        since = f"{report.writes_paused:.0f} s"
        yield _figure("Writes stand still", since, f"waiting for {_awaited(report)}", bad=True)
    else:
        last = next((c for c in report.changes if c.paused is not None), None)
        took = "–" if last is None or last.paused is None else _duration(last.paused)
        beside = "at the last change" if last is not None else "no change seen yet"
        yield _figure("Writes stood still", took, beside)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _awaited(report: Report) -> str:
    return listed(report.waiting_for) if report.waiting_for else "the chain"


def _length(report: Report) -> str:
    members, most = len(report.members), max(len(report.founding), len(report.members))
    return f"{members} of {most} nodes"


def _figure(name: str, value: str, beside: str, *, bad: bool = False) -> Element:
    style = "figure bad" if bad else "figure"
    return tag("div", tag("dt", name), tag("dd", value), tag("dd", beside), class_=style)


def _rate(view: View) -> Iterator[Child]:
    pulse = view.pulse
    top = charts.ceiling(pulse.rates, 10)
    most = max(pulse.rates, default=0.0)
    title = f"Entries a second, last {MINUTES} minutes: now {pulse.rate:.0f}, at most {most:.0f}"
    yield from _chart("Entries a second", f"{pulse.rate:,.0f}", f"{top:,.0f}")
    yield charts.line(pulse.rates, title=title, top=top)


def _latency(view: View) -> Iterator[Child]:
    pulse = view.pulse
    top = charts.ceiling(pulse.latencies, 0.01)
    known = [value for value in pulse.latencies if value is not None]
    now = "–" if pulse.latency is None else _duration(pulse.latency)
    most = f", at most {_duration(max(known))}" if known else ""
    title = f"Time to confirm, last {MINUTES} minutes: now {now}{most}"
    yield from _chart("Time to confirm, here", now, _duration(top))
    yield charts.line(pulse.latencies, title=title, top=top)


def _chart(name: str, now: str, top: str) -> Iterator[Child]:
    yield tag("h2", name)
    yield tag("p", now, class_="now")
    yield tag("p", top, class_="scale", aria_hidden="true")


def _nodes(view: View) -> Element:
    report = view.report
    peers = {peer.position: peer for peer in report.peers}
    heads = ("Node", "Role", "State", "Link", "Last ping", "Page")
    rows = []
    for place in places(report):
        peer = peers.get(place.position)
        link = "" if peer is None else "linked" if peer.linked else "no link"
        heard = "" if peer is None else _heard(peer.silent)
        note = peer.progress if peer is not None else report.progress
        rows.append(
            tag(
                "tr",
                tag("th", place.position, scope="row"),
                tag("td", place.role),
                tag("td", _mark(place.state), " ", place.said, _progress(note)),
                tag("td", link, class_="bad" if link == "no link" and _should_be(place) else None),
                tag("td", heard),
                tag("td", _page_of(view, place)),
            )
        )
    head = tag("tr", *[tag("th", name, scope="col") for name in heads])
    caption = tag("caption", f"The nodes, as {report.position} sees them")
    return tag("table", caption, tag("thead", head), tag("tbody", *rows))


def _should_be(place: Place) -> bool:
    return place.state is not State.QUIET


def _progress(note: str) -> Child:
    return tag("span", note, class_="progress") if note else None


def _heard(silent: float | None) -> str:
    if silent is None:
        return "never heard"
    return "heard just now" if silent < 1 else f"heard {_duration(silent)} ago"


def _page_of(view: View, place: Place) -> Child:
    if place.here:
        return "this one"
    url = view.pages.get(place.position)
    return tag("a", f"{place.position}’s view", href=url) if url else "–"


def _changes(changes: tuple[ReportedChange, ...]) -> Iterator[Child]:
    if not changes:
        yield tag("p", "None since this process began.", class_="faint")
    for change in changes:
        yield tag(
            "li",
            tag("time", _clock(change.time), datetime=change.time),
            tag("strong", f"Epoch {change.epoch}: {' → '.join(change.members) or 'nobody'}"),
            tag("span", change.why, class_="why"),
            tag("span", change.outcome, class_="outcome"),
        )


def _clock(time: str) -> str:
    return time[11:19]


def _disk(report: Report) -> Iterator[Child]:
    disk = report.disk
    free = "unknown" if disk.free is None else octets(disk.free)
    state = State.DOWN if report.position in report.low else State.WELL
    state = State.WEAK if state is State.WELL and disk.note else state
    words = {State.DOWN: "nearly full", State.WEAK: "filling up"}.get(state, "room enough")
    yield _row("Free disk", free, state, words)
    if disk.left is not None and state is not State.DOWN:
        yield _row("Full at this rate", f"in {in_hours(disk.left)}", *_soon(disk.left))
    for kind, size in disk.files.items():
        yield _row(kind.capitalize(), octets(size))
    if report.removed:
        yield _row("Removed", f"messages before {report.removed:,}")
    if (kept := report.kept_unread) is not None:
        since = f"since {kept.since[:10]}, after {kept.after:,}"
        yield _row("Old messages stay", f"an account has seen none {since}")
    behind = report.applied - report.checkpoint
    entries = "entry" if behind == 1 else "entries"
    yield _row("Since the last checkpoint", f"{behind:,} {entries}")
    for certificate in report.certificates:
        left = certificate.left
        state = State.DOWN if left <= 0 else State.WEAK if left < SOON_SECONDS else State.WELL
        words = {State.DOWN: "expired", State.WEAK: "renew it"}.get(state, "valid")
        name = certificate.whose[:1].upper() + certificate.whose[1:]
        yield _row(name, f"until {certificate.expires[:10]}", state, words)


def _soon(left: float) -> tuple[State, str]:
    return (State.WEAK, "make room") if left < DAY_SECONDS else (State.WELL, "")


def _row(name: str, value: str, state: State | None = None, words: str = "") -> Element:
    mark = () if state is None else (" ", _mark(state), " ", words)
    return tag("div", tag("dt", name), tag("dd", value, *mark))


def _notes(report: Report) -> Iterator[Child]:
    notes = [*report.warnings, *([report.disk.note] if report.disk.note else [])]
    if report.clock_behind > 1:
        notes.append(f"this machine's clock is {report.clock_behind:.1f} s behind the messages")
    for note in notes:
        yield tag("li", _mark(State.WEAK), " ", note)


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def octets(size: float) -> str:
    for unit, least in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{size / least:.3g} {unit}"
    return f"{size:.0f} octets"


# --- the whole


def document(view: View) -> bytes:
    made = parts(view)
    report = view.report
    shell = written(
        tag(
            "html",
            tag(
                "head",
                tag("meta", charset="utf-8"),
                tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
                tag("meta", name="color-scheme", content="light dark"),
                tag("title", tab(view)),
                tag("link", rel="icon", href="icon.svg", type="image/svg+xml"),
                tag("link", rel="stylesheet", href="page.css"),
                tag(
                    "noscript",
                    tag("meta", http_equiv="refresh", content=f"{REFRESH_SECONDS}"),
                ),
                tag("script", src="page.js", defer="defer"),
            ),
            tag("body", *_body(report, made)),
            lang="en",
        )
    )
    html = PLACE.sub(lambda place: made[place[1]], shell)
    return f"<!DOCTYPE html>\n{html}\n".encode()


def _body(report: Report, made: Parts) -> Iterator[Child]:
    def part(element: str, name: str, **attributes: str) -> Element:
        assert name in made
        return tag(element, f"{{{{{name}}}}}", id=name, **attributes)

    yield tag(
        "header",
        tag("p", tag("b", report.chain), f" seen from {report.position}", class_="chain-name"),
        tag("p", "", id="lost", role="alert", hidden="hidden"),
        part("div", "headline", role="status"),
    )
    drawn = tag(
        "div",
        part("section", "chain", aria_label="The chain"),
        part("dl", "figures", aria_label="Figures"),
        tag(
            "section",
            part("div", "rate", class_="chart"),
            part("div", "latency", class_="chart"),
            tag("p", tag("span", f"{MINUTES} minutes ago"), tag("span", "now"), class_="axis"),
            class_="charts",
            aria_label="The last minutes",
        ),
    )
    in_words = tag(
        "div",
        part("ul", "notes", aria_label="Warnings"),
        part("section", "nodes", class_="scroll", aria_label="The nodes"),
        tag(
            "div",
            tag("section", tag("h2", "Changes"), part("ol", "changes")),
            tag("section", tag("h2", "Disk and certificates"), part("dl", "disk")),
            class_="two",
        ),
    )
    yield tag("main", drawn, in_words)
    yield _footer(report)


def _footer(report: Report) -> Element:
    started = report.started.replace("T", " ").replace("Z", " UTC")
    return tag(
        "footer",
        f"chainchat {report.version}, running since {started}. ",
        tag(
            "span",
            tag("a", "Metrics", href="metrics"),
            " · ",
            tag("a", "Status as JSON", href="status.json"),
            class_="links",
        ),
    )


# --- for a terminal


def plain(view: View) -> str:
    report = view.report
    said = headline(report)
    lines = [f"{said.state.shape} {report.chain}, seen from {report.position}: {said.words}"]
    lines += [f"  {said.detail}"] if said.detail else []
    lines += [""]
    width = max(len(place.position) for place in places(report))
    peers = {peer.position: peer for peer in report.peers}
    for place in places(report):
        peer = peers.get(place.position)
        note = report.progress if peer is None else peer.progress
        lines.append(
            f"{place.state.shape} {place.position:{width}}  {place.role:8}  {place.said}"
            + (f"; {note}" if note else "")
        )
    pulse = view.pulse
    latency = "–" if pulse.latency is None else _duration(pulse.latency)
    lines += [
        "",
        f"epoch {report.epoch}, committed {report.committed}, in flight {report.in_flight}",
        f"{pulse.rate:.0f} entries a second, confirmed in {latency}; clients {report.clients}",
    ]
    if report.writes_paused >= 1:
        lines.append(f"writes have stood still for {report.writes_paused:.0f} s")
    if report.disk.free is not None:
        left = "" if report.disk.left is None else f", full in {in_hours(report.disk.left)}"
        lines.append(f"free disk {octets(report.disk.free)}{left}")
    lines += [f"{each.whose} expires {each.expires[:10]}" for each in report.certificates]
    lines += [*report.warnings]
    if report.changes:
        lines += ["", "changes:"]
    for change in report.changes:
        chain = " -> ".join(change.members)
        lines.append(
            f"  {_clock(change.time)} epoch {change.epoch} ({chain}): {change.why}; "
            f"{change.outcome}"
        )
    return "\n".join([*lines, ""])
