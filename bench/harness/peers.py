"""Servers that others would put a model behind, each in a virtual environment of its own."""

from __future__ import annotations

import site
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "peers"))

from environments import Peer, PeerUnavailable, interpreter, start

from harness.process import Talk

__all__ = ["LITSERVE", "PEERS", "RAY_SERVE", "START_S", "PeerUnavailable", "python_of", "serving"]

FOLDER = Path(__file__).resolve().parents[1] / "peers"
OURS = Path(site.getsitepackages()[0])
"""Torch and transformers are the same build for everybody: what differs is the server."""


def _peer(name: str, version: str, module: str) -> Peer:
    return Peer(version, FOLDER / f"requirements-{name}.txt", module, OURS)


START_S = 300.0
"""Ray's own processes, then torch: a minute on two slow cores, several on busy ones."""
LITSERVE, RAY_SERVE = "LitServe", "Ray Serve"
PEERS = {
    LITSERVE: (_peer("litserve", "0.2.19", "litserve"), "litserve_server.py"),
    RAY_SERVE: (_peer("ray-serve", "2.56.1", "ray"), "ray_serve_server.py"),
}


def python_of(name: str) -> Path:
    """Its interpreter; makes its environment when it is not there. Raises environments.PeerUnavailable."""
    return interpreter(PEERS[name][0])


def serving(name: str, home: Path, model: Path, threads: int, batch: int) -> Talk:
    """The server, ready, with `home` for its log and its files."""
    first = {"model": str(model), "threads": threads, "batch": batch}
    environ = {
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # it would have its replicas run behind everybody else
    }
    return start(python_of(name), FOLDER / PEERS[name][1], home, first, patience_s=START_S, **environ)
