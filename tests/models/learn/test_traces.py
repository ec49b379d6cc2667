"""What members said, collected: the same challenges for all, failures as gaps, and replayed as served."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.calibration import Calibration
from models.cascade import PLAIN, Plan
from models.core import Box, Evidence
from models.fusion import fuse
from models.fusion.registry import fit
from models.fusion.rows import Rows
from models.learn.crossfit import CrossFit
from models.learn.data import read
from models.learn.judge import ONCE, Answers, ask
from models.learn.prefixes import first, fused, fused_out_of_fold
from models.learn.replay import replay
from models.learn.traces import listen, out_of_fold
from models.scenes import write_scenes


class Bright:
    """Brightness as log-odds; sees a box where the picture is."""

    name, version = "bright", "b1"

    def prepare(self, image):
        return float(np.asarray(image).mean())

    def evidence(self, batch):
        box = Box(0, "works", 0.5, 0.1, 0.2, 0.3, 0.4)
        return [
            Evidence(self.name, self.version, each / 50 - 2, features={"mean": each}, boxes=(box,))
            for each in batch
        ]


class Together:
    """A joint tier: an item is a tuple of views."""

    name, version, joint = "together", "t1", True

    def prepare(self, image):
        return image.width

    def evidence(self, batch):
        assert all(isinstance(item, tuple) and len(item) == 1 for item in batch)
        if any(item[0] == 224 for item in batch):
            raise ArithmeticError("not finite")
        return [Evidence(self.name, self.version, 1.5) for _ in batch]


class Guided:
    """Counts the boxes it was shown."""

    name, version, guided = "guided", "g1", True

    def prepare(self, image, boxes):
        return len(boxes)

    def evidence(self, batch):
        return [Evidence(self.name, self.version, float(count)) for count in batch]


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 6, seed=5)
    examples = read(folder)
    return listen([Bright(), Together(), Guided()], examples), examples


def test_the_challenges_are_those_that_ask_makes(heard):
    found, examples = heard

    def judge(images):
        return np.array([Bright().prepare(image) / 50 - 2 for image in images])

    asked = ask(judge, examples, ONCE)
    assert np.array_equal(found.rows.log_odds[:, 0], asked.scores)
    assert np.array_equal(found.regimes, asked.regimes) and np.array_equal(found.rows.groups, asked.sequences)
    assert found.rows.names == {"bright": ("mean",)}
    assert (found.cost_ms >= 0).all()


def test_a_member_that_fails_leaves_a_gap_and_a_guided_one_sees_what_others_saw(heard):
    found, _ = heard
    failed = np.isnan(found.rows.log_odds[:, 1])
    assert np.array_equal(failed, np.isin(found.regimes, ["augmented", "letterbox"]))
    assert (found.rows.log_odds[:, 2] == 1).all()


def test_a_replay_of_the_plain_plan_asks_everybody_and_adds_up(heard):
    found, _ = heard
    again = replay(found, PLAIN)
    assert np.allclose(again.scores, np.nansum(found.rows.log_odds, axis=1))
    assert again.asked.all()
    assert np.allclose(again.cost_ms, found.cost_ms.sum(axis=1))


def test_a_replay_hands_the_fusion_what_was_said(heard):
    found, _ = heard
    seen = []

    def listening(evidence):
        seen.append([(item.tier, item.version, dict(item.features)) for item in evidence])
        return fuse(evidence)

    replay(found, Plan(listening))
    assert [item[0] for item in seen[0]] == ["bright", "guided"]
    assert seen[0][0][1] == "b1" and seen[0][0][2].keys() == {"mean"}


def cross(path, scores, regimes=None):
    count = len(scores)
    rows = Answers(
        np.array(scores),
        np.arange(count) % 2 == 0,
        np.full(count, "s"),
        np.array([str(n // 2) for n in range(count)]),
        np.array(regimes or ["native"] * count),
    )
    CrossFit(rows, (1,), 1).save(path)
    return path


def test_out_of_fold_answers_are_calibrated_and_side_by_side(tmp_path):
    files = {"a": cross(tmp_path / "a.npz", [1.0, -2.0]), "b": cross(tmp_path / "b.npz", [3.0, 4.0])}
    found = out_of_fold(files, {"a": Calibration(2.0), "b": Calibration()})
    assert found.rows.members == ("a", "b")
    assert found.rows.log_odds.tolist() == [[0.5, 3.0], [-1.0, 4.0]]
    assert np.isnan(found.cost_ms).all()


def test_a_member_heard_on_fewer_folds_shortens_all_to_those(tmp_path):
    files = {"a": cross(tmp_path / "a.npz", [1.0, -2.0, 3.0]), "b": cross(tmp_path / "b.npz", [3.0, 4.0])}
    found = out_of_fold(files, dict.fromkeys("ab", Calibration()))
    assert found.rows.log_odds.tolist() == [[1.0, 3.0], [-2.0, 4.0]]


def test_answers_to_other_challenges_are_refused(tmp_path):
    files = {
        "a": cross(tmp_path / "a.npz", [1.0, -2.0]),
        "b": cross(tmp_path / "b.npz", [3.0, 4.0], ["native", "letterbox"]),
    }
    with pytest.raises(ValueError, match=r"b\.npz answers other challenges than .*a\.npz"):
        out_of_fold(files, dict.fromkeys("ab", Calibration()))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    roadwork = np.arange(240) % 2 == 0
    truth = np.where(roadwork, 1.0, -1.0)
    said = np.column_stack([truth * size + rng.normal(0, 1.5, 240) for size in (1.0, 1.5)])
    return Rows(("cheap", "dear"), said, roadwork, np.array([f"g{n // 8}" for n in range(240)]))


def test_prefixes_end_at_everybody_and_do_not_see_who_comes_later(rows):
    fitted = fit("logistic", rows)
    found = fused(fitted, rows)
    assert np.array_equal(found[:, 1], fitted.log_odds(rows))
    moved = replace(rows, log_odds=rows.log_odds * [1.0, -7.0])
    assert np.array_equal(fused(fitted, moved)[:, 0], found[:, 0])
    assert np.isnan(first(rows, 1).log_odds[:, 1]).all()


def test_out_of_fold_prefixes_do_not_know_their_own_labels(rows):
    fitted = fit("logistic", rows)
    found = fused_out_of_fold(fitted, rows)
    shuffled = np.random.default_rng(1).permutation(30)
    noise = replace(rows, roadwork=np.repeat(shuffled % 2 == 0, 8))
    blind = fused_out_of_fold(fitted, noise)
    assert ((found[:, 1] > 0) == rows.roadwork).mean() > 0.8
    assert ((blind[:, 1] > 0) == noise.roadwork).mean() < 0.65
