"""Old SDKs as fixtures. Where their environments cannot be made the tests skip loudly, and fail in CI."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from availability import python_of, unavailable, used
from environments import PEERS, start
from harness.process import Talk

BUILD_AND_TEST_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Making an environment happens inside the first test that needs it, so these tests get more time."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.peers)
            item.add_marker(pytest.mark.timeout(BUILD_AND_TEST_S))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for version, seconds in used.items():
        terminalreporter.write_line(
            f"peers: bittensor {version} (its environment took {seconds:.1f} s to make)"
        )
    for version, reason in unavailable.items():
        terminalreporter.write_line(f"PEERS NOT TESTED: bittensor {version}: {reason}", red=True, bold=True)


@pytest.fixture(scope="session", params=list(PEERS))
def dendrite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """A process with a real Dendrite of each old SDK; one process serves the whole run."""
    python = python_of(request.param)
    with start(python, "dendrite_client.py", tmp_path_factory.mktemp("peer")) as process:
        assert process.greeting["version"] == request.param
        yield process
