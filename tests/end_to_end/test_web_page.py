"""The page of a node in a real browser, beside a load balancer and a program that scrapes."""

import re
import shutil
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress

import pytest
from cluster import Cluster
from talking import DEADLINE, HOST, Program, until

from chainchat.network.addresses import host_port

pytest.importorskip("playwright", reason="the test extras have playwright")

from playwright.sync_api import TimeoutError as TakesTooLong
from playwright.sync_api import expect, sync_playwright

expect.set_options(timeout=DEADLINE * 1_000)

DESK = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 360, "height": 740}}
WALLS = [(1920, 1080), (2560, 1440), (3840, 2160)]


@pytest.fixture(scope="module")
def browser(skip_or_fail):
    """Chromium; it brings no other."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        skip_or_fail("chromium is missing: it comes with Debian's chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextmanager
def looking(browser, node, **how):
    """A page that somebody looks at; whatever its console says is an error."""
    context = browser.new_context(**how)
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url(node))
    yield page
    context.close()
    lost = "ERR_|status of"  # a browser says so itself when its server is gone
    assert [text for text in said if not re.search(lost, text)] == []


def url(node, path=""):
    return f"http://{host_port(node.host, node.web_port)}/{path}"


def fetched(node, path):
    """Status and text of an answer."""
    try:
        with urllib.request.urlopen(url(node, path), timeout=DEADLINE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def headline(page):
    return page.locator("h1")


@pytest.fixture
def chain(new_cluster):
    """A chain of three that serves, with its pages."""
    return new_cluster(web=True).start()


@pytest.fixture(scope="module")
def still(tmp_path_factory, pytestconfig):
    """The same, for all who only look."""
    folder = tmp_path_factory.mktemp("still")
    with Cluster(folder, web=True, tls=pytestconfig.getoption("--tls")) as shared:
        yield shared.start()


def test_the_page_follows_a_chain_that_loses_a_node_and_takes_it_back(chain, browser):
    with looking(browser, chain["head"], **DESK) as page:
        expect(headline(page)).to_have_text(" All is well")
        expect(page.locator("#chain svg.wide .node")).to_have_count(3)
        with Program(chain["head"].address, "alice") as program:
            program.words("LOGIN alice")
            for number in range(1, 30):  # what travels is drawn for a second
                program.words(f"SEND {number} * :hello")
                with suppress(TakesTooLong):
                    page.wait_for_selector(".entry", state="attached", timeout=1_500)
                    break
            else:
                pytest.fail("no entry was seen to travel")
        chain["tail"].kill()
        expect(headline(page)).to_have_text(" Running without tail")
        expect(page.locator("#nodes")).to_contain_text("away")
        expect(page.locator("#changes")).to_contain_text("without tail: its process is dead")
        expect(page).to_have_title("▲ test · head")
        chain["tail"].start()
        expect(headline(page)).to_have_text(" All is well")
        expect(page.locator("#changes")).to_contain_text("tail has caught up and joins")


def test_a_page_says_that_its_own_node_is_gone_and_goes_on_when_it_is_back(chain, browser):
    with looking(browser, chain["middle"], **DESK) as page:
        expect(page.locator("#lost")).to_be_hidden()
        # Not wait_for_function: what it asks again, the page's own policy forbids as an eval.
        expect(page.locator("#chain")).to_have_attribute("data-html", re.compile("."))
        chain["middle"].kill()
        expect(page.locator("#lost")).to_contain_text("No answer from this node since")
        expect(page).to_have_title("✕ test · middle")
        chain["middle"].start()
        expect(page.locator("#lost")).to_be_hidden()
        expect(headline(page)).to_have_text(" All is well")


def test_the_pages_link_to_each_other(still, browser):
    with looking(browser, still["head"], **DESK) as page:
        page.get_by_role("link", name="tail’s view").click()
        expect(page.locator("header")).to_contain_text("test seen from tail")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable_in_light_and_dark_and_on_a_phone(still, browser, scheme, tmp_path):
    for size in (DESK, PHONE):
        with looking(browser, still["head"], color_scheme=scheme, **size) as page:
            expect(headline(page)).to_have_text(" All is well")
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= size["viewport"]["width"]
            assert contrast(page, "h1") > 7
            assert contrast(page, ".detail") > 4.5
            assert contrast(page, "thead th" if size is DESK else ".axis") > 4.5
            drawn = page.locator("#chain svg:visible")
            expect(drawn).to_have_count(1)
            expect(drawn).to_have_class(re.compile("wide" if size is DESK else "tall"))
            page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)


@pytest.mark.parametrize(("width", "height"), WALLS)
def test_on_a_wall_all_that_moves_is_seen_without_scrolling(still, browser, width, height):
    with looking(browser, still["head"], viewport={"width": width, "height": height}) as page:
        # In one call: what is new takes the place of the parts at any moment.
        boxes = page.evaluate(BOXES, ["h1", "svg.wide", "#figures", ".charts", "#nodes", "#disk"])
        for box in boxes:
            assert 0 < box["right"] <= width
            assert 0 < box["bottom"] <= height


BOXES = """parts => parts.map(
  part => document.querySelector(part).getBoundingClientRect().toJSON())"""


CONTRAST = """selector => {
  const light = colour => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255);
    const linear = parts.map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ink = light(getComputedStyle(document.querySelector(selector)).color);
  const paper = light(getComputedStyle(document.body).backgroundColor);
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
}"""


def contrast(page, selector):
    """Between a text and the paper (WCAG 2.2, section 1.4.3)."""
    return page.evaluate(CONTRAST, selector)


def test_without_javascript_the_page_is_whole_and_loads_itself_anew(chain, browser):
    with looking(browser, chain["head"], java_script_enabled=False, **DESK) as page:
        expect(headline(page)).to_have_text(" All is well")
        expect(page.locator("#nodes tbody tr")).to_have_count(3)
        chain["tail"].kill()
        expect(headline(page)).to_have_text(" Running without tail")


def test_on_paper_the_page_is_black_on_white_and_nothing_moves(still, browser):
    with looking(browser, still["head"], color_scheme="dark", **DESK) as page:
        page.emulate_media(media="print", color_scheme="dark")
        body = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert body == "rgb(255, 255, 255)"
        assert contrast(page, "h1") > 15
        page.set_viewport_size({"width": 700, "height": 1000})  # of A4, without its margins
        expect(page.locator("#chain svg.wide")).to_be_visible()
        expect(page.locator("#chain svg.tall")).to_be_hidden()


def test_with_reduced_motion_nothing_moves(still, browser):
    with looking(browser, still["head"], reduced_motion="reduce", **DESK) as page:
        moving = page.evaluate("document.getAnimations().length")
        assert moving == 0


def test_a_screen_reader_hears_the_state_the_chain_and_the_table(still, browser):
    with looking(browser, still["head"], **DESK) as page:
        expect(page.get_by_role("status")).to_contain_text("All is well")
        expect(
            page.get_by_role("img", name=re.compile("The chain as head sees it"))
        ).to_be_visible()
        expect(page.get_by_role("table", name="The nodes, as head sees them")).to_be_visible()
        expect(page.get_by_role("row", name=re.compile("middle middle up"))).to_be_visible()


def test_a_page_from_elsewhere_cannot_look_through_the_browser(still, browser):
    here = host_port(HOST, 0).rpartition(":")[0]
    names = [f"--host-resolver-rules=MAP evil.example {here}", "--no-sandbox"]
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    other = browser.browser_type.launch(executable_path=path, args=names)
    page = other.new_page()
    answer = page.goto(f"http://evil.example:{still['head'].web_port}/status.json")
    assert answer.status == 421
    other.close()


def test_health_checks_tell_a_node_that_lives_from_one_that_serves(chain):
    assert fetched(chain["head"], "readyz?confirms") == (200, "ready\n")
    chain["middle"].pause()
    chain["tail"].pause()
    confirms = "readyz?confirms"
    waits = 503, "the chain cannot confirm: waiting for middle, tail\n"
    until(lambda: fetched(chain["head"], confirms) == waits, lambda: "it seems to confirm")
    assert fetched(chain["head"], "readyz")[0] == 200
    chain["middle"].resume()
    chain["tail"].resume()
    until(lambda: fetched(chain["head"], confirms)[0] == 200, lambda: "it does not confirm")
    for node in chain.nodes.values():
        node.kill()
    chain["tail"].start()
    until(lambda: _waits(chain["tail"]), lambda: fetched(chain["tail"], "readyz"))
    assert fetched(chain["tail"], "healthz") == (200, "ok\n")


def _waits(node):
    try:
        status, said = fetched(node, "readyz")
    except OSError:
        return False
    return status == 503 and said.startswith("restarted; waiting to be taken back by")
