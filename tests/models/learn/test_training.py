"""Training on rendered scenes from random weights: small, but every part of it is real."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageClassification

from models.classifier import load_classifier
from models.learn import train
from models.learn.batches import make_pool
from models.learn.crossfit import CrossFit, calibrate, cross_fit, load_cross_fit, row_weights
from models.learn.data import read
from models.learn.evaluate import evaluate
from models.learn.fit import fit, judge_with, make_stream, rate_at
from models.learn.judge import ONCE, Answers, ask, format_table, tabulate
from models.learn.network import Average, norms, open_network, revive_norms, save, write_calibration
from models.learn.recipe import Recipe
from models.learn.regimes import REGIMES
from models.learn.views import ASPECTS, vary_shape
from models.scenes import write_scenes

TINY = Recipe(side=64, batch=8, steps=6, warmup=1, rate=2e-3, checkpoints=(0.5, 1.0), folds=2)
WIDTH = 0.35


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 16, seed=77)
    return [replace(each, source="drawn", sequence=f"{index % 4}") for index, each in enumerate(read(folder))]


def quiet(_):
    pass


@pytest.fixture(scope="module")
def run(scenes):
    torch.set_num_threads(1)
    return fit(scenes, None, TINY, seed=1, say=quiet, width=WIDTH)


def answers(rows):
    scores, labels, sources, sequences, regimes = zip(*rows, strict=True)
    return Answers(
        np.array(scores), np.array(labels), np.array(sources), np.array(sequences), np.array(regimes)
    )


def test_loss_falls(scenes):
    longer = replace(TINY, steps=24)
    losses = fit(scenes, None, longer, seed=1, say=quiet, width=WIDTH).losses
    assert np.mean(losses[-8:]) < np.mean(losses[:4])


def test_same_seed_trains_the_same_network_and_another_seed_another(scenes, run):
    again = fit(scenes, None, TINY, seed=1, say=quiet, width=WIDTH)
    assert np.allclose(again.losses, run.losses, rtol=1e-3)
    other = fit(scenes, None, TINY, seed=2, say=quiet, width=WIDTH)
    assert not np.allclose(other.losses, run.losses, rtol=1e-3)


def test_views_come_by_number_in_any_order(scenes):
    stream = make_stream(scenes, TINY, seed=3)
    later = stream.view(5)
    first = [stream.view(number) for number in range(6)]
    assert first[5].image.tobytes() == later.image.tobytes()
    batches = list(stream.batches(2, 3))
    expected = torch.from_numpy(np.asarray(first[5].image).copy()).permute(2, 0, 1) / 127.5 - 1
    assert torch.allclose(batches[2][0][1], expected, atol=1e-6)
    assert len(batches) == 3 and batches[0][0].shape == (2, 3, TINY.side, TINY.side)


def test_pasting_leaves_both_labels_about_even(scenes):
    drawn = [replace(each, strength="crop") for each in scenes]
    stream = make_stream(drawn, TINY, seed=4)
    share = np.mean([stream.view(number).roadwork for number in range(150)])
    assert 0.35 < share < 0.65


def test_a_named_source_is_drawn_by_its_share(scenes):
    mixed = [replace(each, source="a" if index < 14 else "b") for index, each in enumerate(scenes)]
    pool = make_pool(mixed, {"a": 0.5, "b": 0.5})
    rng = np.random.default_rng(0)
    drawn = [pool.draw(rng).source for _ in range(400)]
    assert 0.4 < drawn.count("b") / 400 < 0.6
    with pytest.raises(ValueError, match="no examples"):
        make_pool([], {})


def test_the_shape_of_a_view_does_not_tell_the_shape_of_the_frame(scenes):
    rng = np.random.default_rng(0)
    wide = scenes[0].load().resize((498, 280))
    tall = scenes[0].load().resize((280, 373))
    shapes = [{vary_shape(image, rng).size for _ in range(120)} for image in (wide, tall)]
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) == len(set(ASPECTS))


def folded(network):
    """BatchNorm as the starting point has it: identity with a bias."""
    with torch.no_grad():
        for index, layer in enumerate(norms(network)):
            layer.weight.fill_(1)
            layer.running_mean.zero_()
            layer.running_var.fill_(1 - layer.eps)
            layer.bias.copy_(torch.randn(len(layer.bias), generator=torch.Generator().manual_seed(index)))
    return network


def test_reviving_keeps_the_function_and_makes_training_mode_mean_the_same():
    network = folded(open_network(None, 0, WIDTH)).eval()
    images = torch.randn(16, 3, 64, 64, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        before = network(pixel_values=images).logits
        revive_norms(network, [images], momentum=0.05)
        after = network(pixel_values=images).logits
        trained = network.train()(pixel_values=images).logits if not _dropout(network) else after
    assert torch.allclose(before, after, atol=1e-4)
    assert torch.allclose(after, trained, rtol=0.2, atol=0.05)
    assert {layer.momentum for layer in norms(network)} == {0.05}
    assert max(float(layer.running_mean.abs().max()) for layer in norms(network)) > 0.01


def _dropout(network):
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return False


def test_average_follows_the_weights():
    network = open_network(None, 0, WIDTH)
    average = Average(network, decay=0.5)
    target = open_network(None, 1, WIDTH)
    for _ in range(40):
        average.update(target)
    name = "classifier.weight"
    assert torch.allclose(average.state[name], target.state_dict()[name], atol=1e-5)


def test_rate_warms_up_and_ends_near_zero():
    recipe = Recipe(steps=100, warmup=10, rate=1.0)
    rates = [rate_at(step, recipe) for step in range(1, 101)]
    assert np.argmax(rates) == 9 and rates[-1] == pytest.approx(0.01)
    assert rates[9:] == sorted(rates[9:], reverse=True)


def test_a_folder_that_is_not_split_is_refused_in_a_sentence(tmp_path, monkeypatch):
    write_scenes(tmp_path / "data", 2, 0)
    monkeypatch.setattr("sys.argv", ["train", "--data", f"{tmp_path}/data", "--out", f"{tmp_path}/out"])
    with pytest.raises(SystemExit, match="has no images in split 'train'"):
        train.main()


def test_saved_checkpoint_loads_in_transformers_and_serves_with_its_calibration(tmp_path, scenes, run):
    save(run.network, tmp_path)
    write_calibration(tmp_path, {"temperature": 2.0, "threshold": 0.6})
    stock = AutoModelForImageClassification.from_pretrained(tmp_path)
    assert stock.config.id2label == {0: "None", 1: "Roadwork"} and stock.config.tf_padding
    tier = load_classifier(tmp_path)
    images = [each.load() for each in scenes[:4]]
    served = [each.log_odds for each in tier.evidence([tier.prepare(image) for image in images])]
    raw = judge_with(run.network)(images)
    assert np.allclose(served, (raw - np.log(0.6 / 0.4)) / 2, atol=0.05)
    _, found = evaluate(tmp_path, scenes[:2])
    assert np.isfinite(found.scores).all()


def test_every_example_is_asked_in_every_regime_and_tabulated(scenes, run):
    found = ask(judge_with(run.network), scenes[:3], ONCE)
    assert len(found.scores) == 9 and sorted(set(found.regimes.tolist())) == sorted(REGIMES)
    lines = tabulate(found, draws=20)
    assert [(line.source, line.regime) for line in lines][:4] == [
        ("all", "all"),
        *(("all", r) for r in REGIMES),
    ]
    table = format_table(lines)
    assert table.count("\n") == 1 + len(lines) and "nan" not in table


def test_cross_fit_judges_every_movable_example_and_survives_a_file(tmp_path, scenes):
    lonely = [replace(each, source="web", sequence="w") for each in scenes if not each.roadwork][:3]
    tiny = replace(TINY, steps=2)
    crossed = cross_fit([*scenes, *lonely], [], None, tiny, 0, quiet)
    assert len(crossed.answers.scores) == len(scenes) * len(REGIMES)
    assert set(crossed.answers.sources.tolist()) == {"drawn"}
    assert crossed.step in {1, 2} and len(crossed.steps) == 4
    crossed.save(tmp_path / "deep" / "crossfit.npz")
    again = load_cross_fit(tmp_path / "deep" / "crossfit.npz")
    assert again.steps == crossed.steps and np.array_equal(again.answers.scores, crossed.answers.scores)
    assert isinstance(again, CrossFit)


def test_calibration_recovers_a_known_distortion():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 40_000)
    labels = rng.random(40_000) < 1 / (1 + np.exp(-true))
    temperature, threshold = calibrate(true * 3 + 1.2, labels, np.full(40_000, 1 / 40_000))
    assert temperature == pytest.approx(3, rel=0.06)
    assert threshold == pytest.approx(1 / (1 + np.exp(-1.2)), abs=0.02)


def test_calibration_of_separable_answers_stays_finite():
    scores, labels = np.array([-9.0, -8, 7, 9]), np.array([False, False, True, True])
    temperature, threshold = calibrate(scores, labels, np.full(4, 0.25))
    assert 0.01 < temperature < 10 and 0 < threshold < 1


def test_row_weights_give_each_label_a_half_and_regimes_the_same():
    rows = [(0.0, True, "a", "1", "native")] * 2 + [(0.0, False, "a", "2", "native")] * 8
    rows += [(0.0, True, "a", "1", "augmented")] * 6 + [(0.0, False, "b", "3", "augmented")] * 2
    found = answers(rows)
    weights = row_weights(found)
    assert weights.sum() == pytest.approx(1)
    assert weights[found.roadwork].sum() == pytest.approx(0.5)
    assert weights[:2].sum() == pytest.approx(weights[10:16].sum())
