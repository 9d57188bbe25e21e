"""What all tests share: the options, and what pytest-twisted does not check by itself."""

import gc
import inspect
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as installed_reactor
from twisted.logger import globalLogPublisher

reactor: Any = installed_reactor

STALLS = Path(__file__).parent / "end_to_end" / "stalls"
"""What processes read first that may stall."""

MARKED_BY_PYTEST_TWISTED = "_pytest_twisted_mark"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chainchat")
    group.addoption(
        "--simulate", type=int, default=0, metavar="N", help="run the simulator with N seeds"
    )
    group.addoption(
        "--tls", action="store_true", help="run the chains of end-to-end tests with TLS"
    )
    group.addoption("--ipv6", action="store_true", help="run the chains of end-to-end tests on ::1")
    group.addoption(
        "--fuzz", type=int, default=1, metavar="N", help="run fuzz tests of the client N times"
    )
    group.addoption(
        "--fuzz-seed", type=int, default=1, metavar="SEED", help="begin fuzz tests with this seed"
    )
    group.addoption(
        "--soak", type=float, default=2.0, metavar="MINUTES", help="run the soak test so long"
    )
    group.addoption(
        "--soak-seed", type=int, metavar="SEED", help="begin the soak test with this seed"
    )
    group.addoption(
        "--stalls", type=float, default=0.0, metavar="SECONDS", help="let processes stall so long"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A fuzz test takes a ``seed``, and has no seeds of its own."""
    own = any("seed" in mark.args for mark in metafunc.definition.iter_markers("parametrize"))
    if "seed" in metafunc.fixturenames and not own:
        first = metafunc.config.getoption("--fuzz-seed")
        metafunc.parametrize("seed", range(first, first + metafunc.config.getoption("--fuzz")))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "reactor: the test uses the reactor of this process")
    let_children_be_interrupted()
    if config.getoption("--ipv6"):
        os.environ["CHAINCHAT_TEST_IPV6"] = "1"  # the helpers of end-to-end tests look there
    if longest := config.getoption("--stalls"):
        path = os.pathsep.join(filter(None, [str(STALLS), os.environ.get("PYTHONPATH", "")]))
        os.environ |= {"CHAINCHAT_TEST_STALLS": str(longest), "PYTHONPATH": path}


def let_children_be_interrupted() -> None:
    """In a script, what is started with ``&`` ignores SIGINT, and all that this starts would.

    What a process handles is not ignored any more by what it starts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What pytest-twisted waits for uses the reactor. The soak, which takes longest, begins."""
    items.sort(key=lambda item: item.path.name != "test_soak.py")
    for item in items:
        function = getattr(item, "obj", None)
        marked = getattr(function, MARKED_BY_PYTEST_TWISTED, None)
        if marked or inspect.iscoroutinefunction(function):
            item.add_marker("reactor")


@pytest.fixture
def logged_failures() -> list[str]:
    """The failures logged so far; a test that provokes one looks, and clears the list."""
    return []


@pytest.fixture(autouse=True)
def no_failure_is_only_logged(
    request: pytest.FixtureRequest, logged_failures: list[str]
) -> Iterator[None]:
    """An error that no one handles is logged, and would go unnoticed."""

    def observe(event: dict[str, Any]) -> None:
        if "log_failure" in event:
            logged_failures.append(event["log_failure"].getTraceback())

    globalLogPublisher.addObserver(observe)
    try:
        yield
        if request.node.get_closest_marker("reactor"):
            gc.collect()  # a Deferred logs its unhandled error when it is collected
    finally:
        globalLogPublisher.removeObserver(observe)
    assert not logged_failures, "\n".join(logged_failures)


@pytest.fixture(autouse=True)
def no_delayed_call_is_left() -> Iterator[None]:
    """A timer that a test leaves behind would go off in another one."""
    before = set(reactor.getDelayedCalls())
    yield
    left = [call for call in reactor.getDelayedCalls() if call not in before]
    shown = "\n".join(map(str, left))
    for call in left:
        call.cancel()
    assert not left, shown


@pytest.fixture(scope="session")
def skip_or_fail() -> Callable[[str], None]:
    """For what a test needs of the system: skips where it is missing, but fails in CI."""

    def missing(reason: str) -> None:
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and this is CI")
        pytest.skip(reason)

    return missing
