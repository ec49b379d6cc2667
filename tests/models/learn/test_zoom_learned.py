"""What a closer look learns from: parts of challenges, a head that finds the telling one, honest figures."""

from __future__ import annotations

import numpy as np
import pytest

from models.learn.data import read
from models.learn.judge import Answers
from models.learn.zoom.head import by_fold, fit_reward, search
from models.learn.zoom.looks import PARTS, Looks, load_looks, look
from models.learn.zoom.steps import ONE_ROUND, adaptive, steps
from models.scenes import write_scenes
from models.zoom.refine import Effort


def made(groups=24, per=8, telling=True):
    """Works show in one part only, strongly; the whole knows little."""
    rng = np.random.default_rng(1)
    count = groups * per
    roadwork = np.repeat(np.arange(groups) % 2 == 0, per)
    odds = rng.normal(-1.5, 0.7, (count, 1 + 2 * PARTS))
    odds[:, 0] = rng.normal(np.where(roadwork, 1.5, -1.5), 1.5)
    if telling:
        odds[np.flatnonzero(roadwork), 1 + rng.integers(0, PARTS, roadwork.sum())] += 6
    columns = (
        np.full(count, "s"),
        np.repeat([f"g{n}" for n in range(groups)], per),
        np.full(count, "native"),
    )
    return Looks(odds, Answers(odds[:, 0], roadwork, *columns))


@pytest.fixture(scope="module")
def looks():
    return made()


def test_the_head_finds_the_part_that_tells(looks):
    found = search(looks, fit_reward(looks), ONE_ROUND)
    assert ((found.log_odds > 0) == looks.answers.roadwork).mean() > 0.95
    assert (found.looks == PARTS).all()
    held = by_fold(looks, ONE_ROUND)
    assert ((held.log_odds > 0) == looks.answers.roadwork).mean() > 0.9


def test_a_step_that_helps_gains_beyond_the_interval_and_noise_does_not(looks):
    helped = {(each.name, each.where): each for each in steps(looks, 10.0)}
    best = helped["best of five", "everywhere"]
    assert best.verdict == "gains" and best.cost_ms == pytest.approx(10.0 * PARTS) and best.per_ms > 0
    unsure = helped["best of five", "within 1"]
    assert unsure.share < 1 and unsure.cost_ms < best.cost_ms
    noise = [each.verdict for each in steps(made(telling=False), 10.0)]
    assert "gains" not in noise


def test_half_of_the_searches_end_with_their_first_round(looks):
    found = search(looks, fit_reward(looks), adaptive(looks))
    assert set(found.looks) == {float(PARTS), 2.0 * PARTS}
    assert 0.3 < (found.looks == PARTS).mean() < 0.7
    assert (search(looks, fit_reward(looks), Effort(most=7, depth=2, sure=1.0)).looks == 7).all()


def test_looks_are_taken_of_every_challenge_and_kept(tmp_path):
    write_scenes(tmp_path / "scenes", 4, seed=9)
    asked = []

    def judge(images):
        asked.append(len(images))
        return np.array([float(np.asarray(image).mean()) for image in images])

    found = look(judge, read(tmp_path / "scenes"))
    assert found.log_odds.shape == (len(found), 1 + 2 * PARTS)
    assert set(asked) == {1 + PARTS, PARTS}
    found.save(tmp_path / "looks.npz")
    kept = load_looks(tmp_path / "looks.npz")
    assert np.array_equal(kept.log_odds, found.log_odds)
    assert np.array_equal(kept.pick(np.arange(2)).answers.sequences, found.answers.sequences[:2])
