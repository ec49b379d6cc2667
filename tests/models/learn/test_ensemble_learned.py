"""More networks of the classifier's recipe: what they say out of fold goes with what the others said."""

from dataclasses import fields, replace

import numpy as np

from models.learn import crossfit, ensemble
from models.learn.data import read
from models.learn.fit import fit
from models.learn.judge import ask
from models.learn.network import save
from models.learn.recipe import Recipe
from models.scenes import write_scenes

TINY = Recipe(side=64, batch=8, steps=2, warmup=1, checkpoints=(1.0,), folds=2)


def quiet(_):
    pass


def test_their_mean_answers_the_same_challenges_in_the_same_order(tmp_path):
    write_scenes(tmp_path / "scenes", 16, seed=77)
    scenes = [
        replace(each, source="drawn", sequence=f"{index % 4}")
        for index, each in enumerate(read(tmp_path / "scenes"))
    ]
    first = crossfit.cross_fit(scenes, [], None, TINY, 0, quiet)
    shown = []

    def trained(folder, seed, training):
        shown.append({each.sequence for each in training})
        save(fit(training, None, TINY, seed, say=quiet, width=0.35).network, folder)
        return folder

    more = ensemble.cross_fit(scenes, 2, 2, [1, 2], tmp_path, trained, quiet)
    for column in fields(more.answers):
        if column.name != "scores":
            assert np.array_equal(getattr(more.answers, column.name), getattr(first.answers, column.name))
    held = [set(part) for part in ([each.sequence for each in fold] for fold in crossfit.held_out(scenes, 2))]
    assert shown == [held[1]] * 2 + [held[0]] * 2  # nobody judges what it was trained on
    fold = crossfit.held_out(scenes, 2)[0]
    alone = [ask(ensemble._judge(tmp_path / f"fold-1-seed-{seed}"), fold, crossfit.ONCE) for seed in (1, 2)]
    mean = np.sort((alone[0].scores + alone[1].scores) / 2)
    assert np.allclose(np.sort(more.answers.scores[: len(mean)]), mean, atol=1e-6)
