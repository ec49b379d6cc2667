"""Trouble under load, with the real SGLang."""

from __future__ import annotations

import pytest
from faults_suite import *  # noqa: F403


@pytest.fixture
def protocol() -> str:
    """The tiny model's first 20 log-probabilities rarely hold a yes or no; this route reads all of them."""
    return "decisions"
