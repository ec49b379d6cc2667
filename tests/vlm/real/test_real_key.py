"""A key that SGLang reads from its own file, prints in its log, and that nobody gets to see."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from loguru import logger
from real_sglang import real_server

from models.vlm.secret import Secret

KEY = "not-to-be-seen-4711"


@pytest.fixture(scope="module")
def lines():
    found: list[str] = []
    sink = logger.add(lambda message: found.append(str(message)), level=0)
    yield found
    logger.remove(sink)


def test_a_key_is_asked_for_and_is_in_no_log_and_no_command_line(tiny, tmp_path, lines):
    with real_server(tiny, tmp_path, Secret(KEY), name="locked", key_env="LOCKED_KEY") as one:
        get = httpx.Client(base_url=one.spec.address, trust_env=False).get
        statuses = [
            get("/v1/models", headers=headers).status_code
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {KEY}"})
        ]
        command = Path(f"/proc/{one.health.pid}/cmdline").read_text()
    assert statuses == [401, 401, 200]
    assert "locked.yaml" in command and KEY not in command
    assert any("api_key" in line for line in lines)
    assert not any(KEY in line for line in lines)
