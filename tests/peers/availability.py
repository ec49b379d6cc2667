"""Which old SDKs there are on this machine, and what to do where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from environments import PEERS, PeerUnavailable, interpreter, setup_seconds

unavailable: dict[str, str] = {}
"""Version -> why there is no environment for it; asked once per run."""
used: dict[str, float] = {}
"""Version -> seconds that making its environment took."""


def python_of(version: str) -> Path:
    """The interpreter of an old SDK; skips, or fails in CI, when there is none."""
    if version not in unavailable:
        try:
            python = interpreter(PEERS[version])
            used[version] = setup_seconds(PEERS[version])
            return python
        except PeerUnavailable as error:
            unavailable[version] = str(error)
    reason = f"no environment for bittensor {version}: {unavailable[version]}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
