"""For all tests: an example of hypothesis may take as long as it likes, since the machine may be busy; and
which tests have the machine to themselves."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any speed", deadline=None)
settings.load_profile("any speed")

if "PYTEST_XDIST_WORKER" in os.environ:  # one core a worker: more threads than that would only wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = Path(__file__).parent
ALONE = (
    "deploy",
    "miner/engine",
    "miner/page",
    "miner/rehearsal",
    "miner/swap",
    "miner/test_hostile.py",
    "miner/wire",
    "neurons",
    "peers",
    "vlm",
)
"""Whole daemons, browsers, servers, sockets: they wait by the wall clock, so nothing runs beside them."""
TOGETHER = (
    *(f"deploy/test_{name}.py" for name in ("grafana", "kubernetes", "operations_guide", "prometheus")),
    *(f"deploy/test_{name}.py" for name in ("systemd_units", "systems_page")),
    *(f"miner/engine/test_{name}.py" for name in ("cascades", "deferred", "fairness", "forecast", "frames")),
    *(f"miner/engine/test_{name}.py" for name in ("passed", "pilot", "queues")),
    *(f"miner/page/test_{name}.py" for name in ("course_shown", "histories")),
    *(f"miner/rehearsal/test_{name}.py" for name in ("challenges", "deck", "scores")),
    *(f"miner/wire/test_{name}.py" for name in ("admission", "auth", "body", "replay", "synapse")),
    "peers/test_environments.py",
    *(f"vlm/test_{name}.py" for name in ("breaker", "labels", "servers_check", "servers_flags")),
)
"""Among those what serves nobody and waits by no clock but a virtual one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    alone = tuple(HERE / name for name in ALONE)
    together = {HERE / name for name in TOGETHER}
    for item in items:
        if item.path not in together and any(item.path.is_relative_to(each) for each in alone):
            item.add_marker(pytest.mark.alone)
