"""A miner with a VLM server of its own: started, shown, and ended with it, however it ends."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import psutil
import pytest
from neurons_kit import Miner, Stage, eventually

from miner.rehearsal.scenery import free_port

pytestmark = pytest.mark.timeout(240)

FAKE = Path(__file__).parents[1] / "vlm" / "fake_server.py"
MODULE = "import runpy, sys\nrunpy.run_path({!r}, run_name='__main__')\n"


@pytest.fixture
def miner(stage: Stage) -> Miner:
    """Its SGLang is the fake, under the real one's module name."""
    package = stage.folder / "site" / "sglang"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "launch_server.py").write_text(MODULE.format(str(FAKE)))
    server = {
        "name": "vlm", "model": "m", "model_path": "nowhere", "port": free_port(), "gate_port": free_port(),
        "device": "cpu", "check_s": 0.2, "env": {"PYTHONPATH": str(package.parent)},
    }  # fmt: skip
    hopeless = {**server, "name": "hopeless", "port": free_port(), "gate_port": free_port(), "device": "cuda"}
    hopeless["gpus"] = [63]
    file = stage.folder / "servers.json"
    file.write_text(json.dumps({"servers": [server, hopeless]}))
    return stage.start(servers__file=file, servers__python=sys.executable).await_ready()


def server_of(miner: Miner) -> psutil.Process:
    told = miner.eventually(lambda told: told["servers"][0]["state"] == "ready")
    return psutil.Process(told["servers"][0]["pid"])


def ends(miner: Miner, number: signal.Signals) -> None:
    """Neither is left."""
    server = server_of(miner)
    psutil.Process(miner.pid).send_signal(number)
    miner.await_end()

    def gone() -> bool:
        return not server.is_running() or server.status() == psutil.STATUS_ZOMBIE

    eventually(gone, "the server ends too", lambda: miner.said)


def test_it_is_started_shown_and_ended_and_one_that_cannot_be_is_refused_and_costs_nothing(miner: Miner):
    server = server_of(miner)
    told = miner.status()
    assert told["ready"] and server.is_running()
    assert told["servers"][1]["state"] == "refused"
    assert "GPU 63 is not seen by nvidia-smi" in told["servers"][1]["detail"]
    assert miner.metric("svm_server_state", server="vlm", state="ready") == 1
    assert [one["name"] for one in miner.command("status")["servers"]] == ["vlm", "hopeless"]
    ends(miner, signal.SIGTERM)


def test_a_miner_that_is_killed_takes_it_along(miner: Miner):
    ends(miner, signal.SIGKILL)
