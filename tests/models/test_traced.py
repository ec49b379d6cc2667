"""A trace of the models sees what other threads do, not only the one that asked for it."""

from __future__ import annotations

import json
import threading

import torch

from models.traced import trace


def test_operators_of_other_threads_are_seen_with_their_shares(tmp_path):
    over, ones = threading.Event(), torch.ones(64, 64)

    def lane() -> None:
        while not over.wait(0.002):
            torch.mm(ones, ones)

    thread = threading.Thread(target=lane)
    thread.start()
    try:
        top = trace(0.3, tmp_path / "trace.json")
    finally:
        over.set()
        thread.join()
    assert "aten::mm" in [name for name, _ in top]
    assert 0 < sum(share for _, share in top) <= 1.001
    assert (tmp_path / "trace.json").stat().st_mode & 0o777 == 0o600
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert any(event.get("name") == "aten::mm" for event in events)
