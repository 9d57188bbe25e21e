"""The page: what is so is said, in words, for each state of a chain."""

import re
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace
from views import AWAY, FULL, LEARNER, LEARNS, WELL, WITHOUT, peer, view

from chainchat.node.report import Certificate, KeptUnread
from chainchat.web import charts, drawing, page
from chainchat.web.markup import tag, written
from chainchat.web.view import State, headline, places

EVERY = {
    "well": WELL,
    "away": AWAY,
    "without": WITHOUT,
    "learns": LEARNS,
    "learner": LEARNER,
    "full": FULL,
}

each = pytest.mark.parametrize("report", EVERY.values(), ids=EVERY.keys())


def chain(report, **pulse):
    return drawing.chain(view(report, **pulse), tall=False)


def texts(element):
    return " ".join(" ".join(element.itertext()).split())


def classes(element):
    return [each.get("class", "") for each in element.iter()]


def read(report, part):
    html = page.parts(view(report))[part]
    return texts(ElementTree.fromstring(f"<p>{html}</p>"))


# --- the headline, which a story tells ---------------------------------------------------


def test_a_story_of_a_chain_is_told_in_headlines():
    story = [WELL, AWAY, WITHOUT, LEARNS, WELL]
    assert [(headline(r).state, headline(r).words) for r in story] == [
        (State.WELL, "All is well"),
        (State.DOWN, "The chain stands still"),
        (State.WEAK, "Running without tail"),
        (State.WEAK, "Running without tail"),
        (State.WELL, "All is well"),
    ]


def test_a_chain_that_stands_still_says_for_whom_it_waits():
    assert headline(AWAY).detail == "The chain cannot confirm: waiting for tail."


def test_who_is_away_while_the_others_confirm_is_in_the_headline():
    confirms = replace(AWAY, confirms=True, reason="lists and old messages have to wait for tail")
    assert headline(confirms).words == "tail is away"
    assert headline(confirms).detail == "Lists and old messages have to wait for tail."


def test_a_full_disk_is_in_the_headline():
    assert headline(FULL).words == "Nothing new is taken"
    assert "the disk of middle is nearly full" in headline(FULL).detail.lower()


def test_a_learner_says_how_far_it_is():
    assert headline(LEARNER).words == "Catching up"
    assert headline(LEARNER).detail == "Copied 900 entries from middle, 142 to go."


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("wedged", "Waiting to be taken back"),
        ("founding", "Waiting for the others"),
        ("active", "Not in the chain"),
    ],
)
def test_a_node_outside_the_chain_says_why(role, words):
    assert headline(replace(LEARNER, role=role, progress="")).words == words


def test_a_certificate_that_expires_is_in_the_headline_of_a_chain_that_is_well():
    warned = replace(WELL, warnings=("this node's certificate expires in 3 days",))
    assert headline(warned).state is State.WEAK
    assert headline(warned).detail == "This node's certificate expires in 3 days."


def test_a_drained_node_says_so():
    drained = replace(WELL, drained=True, serving=False, reason="this node is drained")
    assert headline(drained).words == "Drained"
    assert headline(drained).detail == "This node is drained."
    assert places(drained)[0].said == "drained"


def test_the_tab_of_a_browser_says_it_too():
    assert page.tab(view(WELL)) == "● lab · head"
    assert page.tab(view(AWAY)) == "✕ lab · head"


# --- the drawing -------------------------------------------------------------------------


def test_the_drawing_shows_the_chain_from_head_to_tail():
    drawn = chain(WELL)
    names = [each.text for each in drawn.iter("text") if each.get("class") == "name"]
    assert names == ["head", "middle", "tail"]
    assert drawn.find("title").text == (
        "The chain as head sees it: head, head: serving; middle, middle: up; tail, tail: up"
    )


def test_who_is_away_is_said_and_marked_by_a_cross_and_a_broken_link():
    drawn = chain(replace(AWAY, members=("head", "tail")))
    assert "away" in texts(drawn)
    assert "gap broken" in classes(drawn)
    assert "mark cross" in classes(drawn)
    assert "gap broken" not in classes(chain(WELL))


@pytest.mark.parametrize(("silent", "said"), [(1.2, "waits outside"), (26.2, "silent for 26 s")])
def test_who_is_linked_and_left_out_waits_or_is_silent(silent, said):
    left_out = peer("tail", role="left out", silent=silent)
    without = replace(WITHOUT, peers=(peer("middle", role="tail"), left_out))
    assert [place.said for place in places(without)] == ["serving", "up", said]


def test_a_learner_outside_a_whole_chain_is_in_reserve_and_nothing_to_look_after():
    spare = peer("spare", role="learner", progress="copied 900 entries from tail, 0 to go")
    seen = replace(WELL, peers=(*WELL.peers, spare))
    assert headline(seen).words == "All is well"
    [*_, last] = places(seen)
    assert (last.state, last.said) == (State.QUIET, "in reserve")
    own = replace(
        LEARNER,
        position="spare",
        members=("head", "middle", "tail"),
        peers=tuple(peer(position) for position in ("head", "middle", "tail")),
        missing=0,
    )
    assert headline(own).words == "In reserve"
    assert headline(own).detail == "head → middle → tail confirm what is said, and lack nobody."
    assert [place.said for place in places(own)] == ["up", "up", "up", "in reserve"]
    lost = replace(own, away=("tail",))
    assert headline(lost).words == "Catching up"


def test_on_a_narrow_screen_nothing_is_between_the_chain_and_the_others():
    drawn = drawing.chain(view(WITHOUT), tall=True)
    nodes = [each for each in drawn.iter("g") if "node" in each.get("class").split()]
    assert [each.get("transform") for each in nodes] == [
        f"translate({drawing.MARGIN} {drawing.MARGIN + y})"
        for y in (
            0,
            drawing.HIGH + drawing.GAP,
            2 * drawing.HIGH + drawing.GAP + drawing.BELOW,
        )
    ]


def test_of_a_link_between_two_others_nothing_is_claimed():
    drawn = chain(AWAY)  # seen from the head, which has no part in the link to the tail
    assert [c for c in classes(drawn) if c.startswith("gap")] == ["gap", "gap unknown"]


def test_a_founder_that_is_left_out_is_drawn_outside_the_chain():
    drawn = chain(WITHOUT)
    assert "node down outside" in classes(drawn)
    assert len([c for c in classes(drawn) if c.startswith("gap")]) == 1


def test_a_spare_that_does_not_run_is_nothing_to_worry_about():
    spare = peer("spare", role="spare", linked=False, silent=None)
    report = replace(WELL, peers=(*WELL.peers, spare))
    assert headline(report).state is State.WELL
    assert places(report)[-1].said == "not running"


def test_a_learner_has_a_bar_of_what_it_has():
    [bar] = [e for e in chain(LEARNER).iter("rect") if e.get("class") == "bar"]
    [done] = [e for e in chain(LEARNER).iter("rect") if e.get("class") == "done"]
    part = float(done.get("width")) / float(bar.get("width"))
    assert part == pytest.approx(900 / 1042, abs=0.01)
    assert not [e for e in chain(LEARNS).iter("rect") if e.get("class") == "bar"]


def test_entries_travel_when_some_were_committed_and_only_then():
    def travelling(moved):
        return [c for c in classes(chain(WELL, moved=moved)) if c.startswith("entry")]

    assert travelling(0) == []
    assert travelling(1) == ["entry e0"] * 2
    assert len(travelling(10**9)) == 2 * drawing.MOST_ENTRIES


def test_five_nodes_fit_though_only_three_are_in_a_row():
    spares = (peer("spare-1", role="spare"), peer("spare-2", role="spare"))
    drawn = chain(replace(WELL, peers=(*WELL.peers, *spares)))
    _, _, width, height = map(float, drawn.get("viewBox").split())
    for node in drawn.iter("g"):
        if node.get("class", "").startswith("node"):
            x, y = map(float, re.findall(r"[\d.]+", node.get("transform")))
            assert x + drawing.WIDE <= width
            assert y + drawing.HIGH <= height


@each
def test_no_state_is_told_by_colour_alone(report):
    for place in places(report):
        assert place.said
        drawn = {written(drawing.mark(state, 0, 0)) for state in State}
        assert len(drawn) == len(State)


@each
def test_nothing_in_a_page_needs_an_inline_style_or_script(report):
    html = page.document(view(report)).decode()
    assert "style=" not in html
    assert not re.search(r"\son\w+=", html)
    assert re.findall(r"<script[^>]*>(.*?)</script>", html) == [""]


@each
def test_a_page_is_a_function_of_what_it_shows(report):
    assert page.document(view(report)) == page.document(view(report))


@each
def test_plain_text_says_the_same_headline_and_nodes(report):
    said = page.plain(view(report))
    assert headline(report).words in said
    assert all(place.said in said for place in places(report))


def test_what_comes_from_elsewhere_is_text_and_no_markup():
    change = replace(WITHOUT.changes[0], why="<script>alert(1)</script>{{nodes}}")
    html = page.document(view(replace(WITHOUT, changes=(change,)))).decode()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{nodes}}" in html


# --- in words ----------------------------------------------------------------------------


def test_the_table_says_of_each_node_what_the_drawing_shows():
    said = read(AWAY, "nodes")
    assert "middle middle up linked heard just now" in said
    assert "tail tail away linked heard 4.2 s ago" in said


def test_the_table_links_to_the_pages_of_the_other_nodes():
    html = page.parts(view(WELL))["nodes"]
    assert 'href="http://127.0.0.1:7302/"' in html
    assert 'href="https://chat.example.org/tail/"' in html
    assert 'href="http://127.0.0.1:7301/"' not in html


def test_the_last_changes_say_why_and_how_long_writes_stood_still():
    said = read(WITHOUT, "changes")
    assert said.startswith(
        "11:08:02 Epoch 2: head → middle without tail: its process is dead; seen by head "
        "writes stood still for 0.412 s"
    )


def test_while_writes_stand_still_the_figures_say_for_how_long():
    assert "Writes stand still 4 s waiting for tail" in read(AWAY, "figures")
    assert "Writes stood still 412 ms" in read(WITHOUT, "figures")


def test_the_disk_and_certificates_are_told_with_a_word():
    assert "Free disk 77.6 GB room enough" in read(WELL, "disk")
    soon = replace(WELL, certificates=(Certificate("the CA", "2026-11-25T00:00:00Z", 86_400),))
    assert "The CA until 2026-11-25 renew it" in read(soon, "disk")
    past = replace(WELL, certificates=(Certificate("the CA", "2026-11-20T00:00:00Z", -1),))
    assert "The CA until 2026-11-20 expired" in read(past, "disk")
    low = replace(FULL, low=("head",))
    assert "nearly full" in read(low, "disk")


def test_messages_that_were_removed_are_told_of():
    assert "Removed messages before 1,042" in read(replace(WELL, removed=1_042), "disk")


def test_it_is_told_that_an_account_keeps_old_messages_but_not_which():
    kept = KeptUnread(1_042, "2026-08-01T11:03:07Z", 9_763_200.0, "alice")
    said = "Old messages stay an account has seen none since 2026-08-01, after 1,042"
    shown = read(replace(WELL, kept_unread=kept), "disk")
    assert said in shown
    assert "alice" not in shown
    assert "Removed" not in read(WELL, "disk")


def test_a_disk_that_fills_says_how_long_it_lasts():
    filling = replace(WELL, disk=replace(WELL.disk, left=2 * 3_600.0))
    assert "Full at this rate in 2.0 hours make room" in read(filling, "disk")
    assert "full in 2.0 hours" in page.plain(view(filling))
    assert "Full" not in read(WELL, "disk")


def test_a_clock_that_is_behind_is_a_warning():
    assert "clock is 7.5 s behind" in read(replace(WELL, clock_behind=7.5), "notes")
    assert read(WELL, "notes") == ""


def test_the_lines_say_in_words_what_they_show():
    drawn = page.parts(view(WELL, rates=(1.0, 250.0), rate=12.0, latencies=(None, 0.02)))
    assert "now 12, at most 250" in drawn["rate"]
    assert "at most 20 ms" in drawn["latency"]


@pytest.mark.parametrize(
    ("values", "top"),
    [((), 10), ((3.0, None), 10), ((11.0,), 20), ((250.0, 30.0), 500), ((1000.0,), 1000)],
)
def test_a_scale_ends_at_a_round_number(values, top):
    assert charts.ceiling(values, 10) == top


def test_a_line_has_a_hole_where_nothing_is_known():
    drawn = charts.line((1.0, 2.0, None, 3.0, 4.0), title="", top=10)
    assert len(list(drawn.iter("polyline"))) == 2


@pytest.mark.parametrize(
    ("size", "said"), [(6, "6 octets"), (1_640_000, "1.64 MB"), (77_648_506_880, "77.6 GB")]
)
def test_octets_are_told_for_people(size, said):
    assert page.octets(size) == said


def test_an_element_has_its_texts_and_children_in_order():
    made = tag("p", "a", tag("b", "c"), None, "d", class_="x", aria_label="y", title=None)
    assert written(made) == '<p class="x" aria-label="y">a<b>c</b>d</p>'
