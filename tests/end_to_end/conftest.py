"""Clusters for tests, stopped and looked over afterwards; and what they need of the system."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import talking
from cluster import Cluster, last_words
from libraries import NoCompilerError, make_library
from networks import Networks, NotPermittedError

PLAIN = "plain"
"""The marker of tests that make no sense with TLS and a password for each account."""

NewCluster = Callable[..., Cluster]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the nodes where a test has failed."""
    report = yield
    if report.failed:
        report.sections += last_words(Cluster.alive)
    return report


def looked_over(clusters: list[Cluster]) -> None:
    """End clusters, and fail if a node had something to complain about."""
    for cluster in clusters:
        cluster.close()
    complaints = [line for cluster in clusters for line in cluster.complaints()]
    assert not complaints, "\n".join(complaints)


def pytest_configure(config: pytest.Config) -> None:
    reason = f"{PLAIN}(reason): runs without TLS and passwords of its own, even with --tls"
    config.addinivalue_line("markers", reason)


def is_secured(request: pytest.FixtureRequest) -> bool:
    """True if chains and their clients have TLS, and each account a password."""
    plain = request.node.get_closest_marker(PLAIN) is not None
    return bool(request.config.getoption("--tls")) and not plain


@pytest.fixture(autouse=True)
def clients_come_with_tls(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """With ``--tls``: people and programs, and each account has a password."""
    secured = dict(talking.SECURED)
    if not is_secured(request):
        talking.SECURED.clear()
        monkeypatch.delenv("CHAINCHAT_PASSWORD", raising=False)
    yield
    talking.SECURED.clear()
    talking.SECURED.update(secured)


@pytest.fixture
def new_cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NewCluster]:
    """Makes clusters for one test."""
    made: list[Cluster] = []

    def make(*arguments: Any, **options: Any) -> Cluster:
        folder = tmp_path / f"cluster{len(made) + 1}"
        folder.mkdir()
        options.setdefault("tls", is_secured(request))
        made.append(Cluster(folder, *arguments, **options))
        if options["tls"] and is_secured(request):
            made[-1].secure_clients()
        return made[-1]

    yield make
    looked_over(made)


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """A chain of three, shared by the tests of a module: their names must not clash."""
    folder = tmp_path_factory.mktemp("cluster")
    shared = Cluster(folder, tls=is_secured(request))
    if is_secured(request):
        shared.secure_clients()
    shared.start()
    yield shared
    shared.stop()
    looked_over([shared])


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path], None]]:
    """Puts a small file system of its own under an empty folder, until the end of the test."""
    mounted: list[Path] = []

    def mount(folder: Path) -> None:
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
        if shutil.which("mount") is None or sys.platform != "linux":
            pytest.skip("there is no Linux to mount a small disk")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def make(
    tmp_path_factory: pytest.TempPathFactory, skip_or_fail: Callable[[str], None]
) -> Callable[[str], Path]:
    """Makes a library that is preloaded into nodes."""
    folder = tmp_path_factory.mktemp("libraries")

    def made(name: str) -> Path:
        try:
            return make_library(name, folder)
        except NoCompilerError as error:
            skip_or_fail(str(error))
            raise

    return made


@pytest.fixture(scope="session")
def library(make: Callable[[str], Path]) -> Path:
    """Makes disks that fail."""
    return make("faulty_disk")


@pytest.fixture
def machines(skip_or_fail: Callable[[str], None]) -> Iterator[Callable[..., Networks]]:
    """Makes machines of these names; the test is outside, from where it reaches all of them."""
    with ExitStack() as stack:

        def made(*names: str) -> Networks:
            try:
                return stack.enter_context(Networks(names))
            except FileNotFoundError:
                skip_or_fail("iproute2 is not installed")
                raise
            except NotPermittedError as error:
                pytest.skip(str(error))

        yield made


@pytest.fixture
def networks(machines: Callable[..., Networks]) -> Networks:
    """A machine for every node."""
    return machines("head", "middle", "tail")


@pytest.fixture
def nc(skip_or_fail: Callable[[str], None]) -> str:
    return _needed("nc", skip_or_fail)


@pytest.fixture
def telnet(skip_or_fail: Callable[[str], None]) -> str:
    return _needed("telnet", skip_or_fail)


def _needed(program: str, skip_or_fail: Callable[[str], None]) -> str:
    found = shutil.which(program)
    if found is None:
        skip_or_fail(f"{program} is not installed")
    assert found is not None
    return found
