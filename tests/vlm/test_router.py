"""VLM servers behind the router that deploy/kubernetes/router.yaml starts: one killed under load."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
import yaml
from contract_suite import Live, plain_pictures, soon

from models.vlm import ask_by

ROOT = Path(__file__).resolve().parents[2]
FAKE = Path(__file__).with_name("fake_server.py")
MODEL = "vlm-b"
PICTURES = plain_pictures(20)
AT_ONCE, SLOW_S = 8, 0.2
pytestmark = [
    pytest.mark.skipif(find_spec("smg") is None, reason="SMG IS NOT INSTALLED: the router is NOT TESTED"),
    pytest.mark.timeout(180),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def policy() -> str:
    """The one that is deployed."""
    parts = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "router.yaml").read_text())
    deployment = next(part for part in parts if part["kind"] == "Deployment")
    words = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    return next(word.partition("=")[2] for word in words if word.startswith("--policy="))


def until_answers(url: str, path: str) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            if httpx.get(url + path, trust_env=False, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < end, f"nobody answers at {url}"
        time.sleep(0.1)


def asked(urls):
    """How many questions each server was asked so far."""
    return [httpx.get(url + "/fake/asked", trust_env=False).json()["asked"] for url in urls]


@pytest.fixture
def servers(tmp_path):
    """The router's address, its two servers' processes and their addresses."""
    with ExitStack() as stack:
        ports = [free_port(), free_port()]
        fake = json.dumps({"slow_s": SLOW_S})
        workers = [
            stack.enter_context(
                ended([FAKE, "--model-path", MODEL, "--port", port, "--fake", fake], tmp_path)
            )
            for port in ports
        ]
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            until_answers(url, "/health")
        router = free_port()
        words = ["-m", "smg.launch_router", "--worker-urls", *urls, "--policy", policy()]
        more = ["--host", "127.0.0.1", "--port", router, "--prometheus-port", free_port()]
        stack.enter_context(ended([*words, *more], tmp_path))
        address = f"http://127.0.0.1:{router}"
        until_answers(address, "/readiness")
        yield address, workers, urls


class ended(subprocess.Popen):
    """A Python process that is killed at the end of a block; its output goes to a file."""

    def __init__(self, words, folder):
        with (folder / f"{time.monotonic_ns()}.log").open("w") as log:
            super().__init__([sys.executable, *map(str, words)], stdout=log, stderr=log, cwd=folder)

    def __exit__(self, *_):
        self.kill()
        self.wait()


async def test_a_server_killed_under_load_costs_no_answer(servers):
    """Before, while and after it dies every question gets the answer that belongs to its pictures."""
    address, workers, urls = servers
    live = Live(address, MODEL, PICTURES)
    member = ask_by("chat_logprobs", "vlm", live.server(slots=AT_ONCE, dialect="openai"), live.question)
    alone = [await member.evidence([one], soon(), f"alone-{n}") for n, one in enumerate(PICTURES)]
    before, gate = asked(urls), asyncio.Semaphore(AT_ONCE)

    async def ask(number):
        async with gate:
            return await member.evidence([PICTURES[number % len(PICTURES)]], soon(9.0), f"load-{number}")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(number)) for number in range(60)]
        await asyncio.sleep(3 * SLOW_S)
        during = asked(urls)
        workers[0].kill()
    said = [task.result().log_odds for task in tasks]
    assert all(now > then for then, now in zip(before, during, strict=True)), "both were at work"
    assert said == [alone[number % len(PICTURES)].log_odds for number in range(60)]
    assert len({round(value, 6) for value in said}) > 10
