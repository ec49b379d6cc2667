"""Trouble under load, with the fake server as a process."""

from __future__ import annotations

import pytest
from faults_suite import *  # noqa: F403
from supervised import Supervised
from test_servers_supervisor import host, spec


@pytest.fixture(scope="module")
def supervised(tmp_path_factory):
    one = spec(fake={"slow_s": 0.03}, check_s=0.2, hang_s=4.5, stop_s=0.5)
    with Supervised(one, host(tmp_path_factory.mktemp("host")), patience_s=110.0) as found:
        yield found


@pytest.fixture
def protocol() -> str:
    """The one that is aborted by our own request ids."""
    return "chat_logprobs"
