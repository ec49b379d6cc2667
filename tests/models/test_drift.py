"""Whether a stream has changed."""

import json
import subprocess
import sys

import numpy as np
import pytest

from models.drift import last_change


def test_a_change_is_noticed_soon_and_its_size_told():
    rng = np.random.default_rng(0)
    values = [*rng.normal(0, 1, 800), *rng.normal(2, 1, 400)]
    found = last_change(values)
    assert 800 <= found.at < 1200
    assert found.before == pytest.approx(0, abs=0.3)
    assert found.after == pytest.approx(2, abs=0.3)


def test_errors_that_become_more_are_noticed():
    rng = np.random.default_rng(1)
    found = last_change([*(rng.random(800) < 0.05).astype(float), *(rng.random(600) < 0.4).astype(float)])
    assert found.after > found.before + 0.2


def test_a_quiet_stream_rings_rarely():
    rng = np.random.default_rng(2)
    assert sum(last_change(list(rng.normal(0, 1, 800))) is not None for _ in range(40)) <= 3
    assert last_change([]) is None


def test_the_process_answers_in_json():
    asked = {"delta": 0.002, "streams": {"steady": [0.0] * 300, "jump": [0.0] * 300 + [1.0] * 300}}
    done = subprocess.run(
        [sys.executable, "-m", "models.drift"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["steady"] is None
    assert found["jump"]["after"] > 0.9
