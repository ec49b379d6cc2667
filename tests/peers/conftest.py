"""Old SDKs as fixtures. Where their environments cannot be made the tests skip loudly, and fail in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dialogue import PeerProcess
from environments import PEERS, PeerUnavailable, interpreter, setup_seconds

BUILD_AND_TEST_S = 600
_unavailable: dict[str, str] = {}
_used: dict[str, float] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Making an environment happens inside the first test that needs it, so these tests get more time."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.peers)
            item.add_marker(pytest.mark.timeout(BUILD_AND_TEST_S))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for version, seconds in _used.items():
        terminalreporter.write_line(
            f"peers: bittensor {version} (its environment took {seconds:.1f} s to make)"
        )
    for version, reason in _unavailable.items():
        terminalreporter.write_line(f"PEERS NOT TESTED: bittensor {version}: {reason}", red=True, bold=True)


def python_of(version: str) -> Path:
    """The interpreter of an old SDK; skips, or fails in CI, when there is none."""
    if version not in _unavailable:
        try:
            python = interpreter(PEERS[version])
            _used[version] = setup_seconds(PEERS[version])
            return python
        except PeerUnavailable as error:
            _unavailable[version] = str(error)
    reason = f"no environment for bittensor {version}: {_unavailable[version]}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session", params=list(PEERS))
def dendrite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PeerProcess]:
    """A process with a real Dendrite of each old SDK; one process serves the whole run."""
    python = python_of(request.param)
    with PeerProcess(python, "dendrite_client.py", tmp_path_factory.mktemp("peer")) as process:
        assert process.greeting["version"] == request.param
        yield process
