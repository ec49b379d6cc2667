"""`make test-sglang` names SGLang's own Python in SGLANG_PYTHON; without it nothing here is collected."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
collect_ignore_glob = [] if os.environ.get("SGLANG_PYTHON") else ["test_*"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """A random model's folder, made once."""
    folder = tmp_path_factory.mktemp("tiny")
    from real_sglang import in_its_environment

    in_its_environment("tiny.py", str(folder))
    return folder


@pytest.fixture(scope="session")
def vocabulary(tiny) -> int:
    """Its size: SGLang 0.5.23 dies of a question for more log-probabilities than there are tokens."""
    return json.loads((tiny / "config.json").read_text())["text_config"]["vocab_size"]


@pytest.fixture(scope="session")
def supervised(tiny, tmp_path_factory):
    from real_sglang import real_server

    with real_server(tiny, tmp_path_factory.mktemp("host")) as one:
        yield one
