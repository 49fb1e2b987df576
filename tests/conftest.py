"""What holds for every test: no network beyond this machine, and on CI no test left out quietly."""

import gc
import ipaddress
import logging
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings

from tests.support.memory import memory
from tests.support.postgres import Server, in_a_thread, make_template

ON_CI = bool(os.environ.get("MDINGEST_CI"))
MAY_SKIP = "not possible here: "
"""How the reason of a skip begins that even CI accepts: the machine can't, not 'was not installed'."""

LONGEST_FIRST = ("e2e", "property", "integration", "contract", "unit")
"""Directories, by how long one of their files takes."""

if (place := memory()) is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(place))
"""Where pytest makes the folders of the tests. How a slow or full disk is borne has tests of its own."""

settings.register_profile(
    "mdingest",
    deadline=None,  # two shared cores: a slow example says nothing about the code
    derandomize=ON_CI,  # a CI run is about the change, not about luck; elsewhere we look further
    phases=[Phase.explicit, Phase.generate]
    if ON_CI
    else list(Phase),  # shrinking takes minutes; the blob does
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("mdingest")

gc.disable()  # a collector that looks at all modules and tests while they are loaded finds nothing


def pytest_collection_finish() -> None:
    """From here on it looks at what tests make only: a third less to start, and less for each test."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A command that a test runs in this process configures logging onto that test's stderr."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL with the template of `database` in it. Not to be killed: others use it too."""
    with Server() as server:
        in_a_thread(make_template(server))
        yield server


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that all workers end at the same time; the order of a file's own tests stays."""

    def rank(item: pytest.Item) -> int:
        kind = item.path.relative_to(Path(__file__).parent).parts[0]
        return LONGEST_FIRST.index(kind) if kind in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=rank)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail on CI what is skipped, `importorskip` included, unless the machine really can't."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for whole modules."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not ON_CI or report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(MAY_SKIP):
        report.outcome = "failed"
        report.longrepr = f"{reason}: CI runs every test; a reason it accepts begins with {MAY_SKIP!r}"


def _only_this_machine(event: str, args: tuple[object, ...]) -> None:
    if event == "socket.connect" and isinstance(args[1], tuple):
        host = str(args[1][0])
    elif event == "socket.getaddrinfo" and args[0]:
        host = args[0].decode() if isinstance(args[0], bytes) else str(args[0])
    else:
        return
    if host == "localhost":
        return
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise PermissionError(f"tests resolve no name but localhost: {host}") from None
    if not (address.is_loopback or address.is_unspecified):
        raise PermissionError(f"tests connect to this machine only: {host}")


sys.addaudithook(_only_this_machine)
