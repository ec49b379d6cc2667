from functools import cache

import numpy as np
import pytest
import torch
from fusion_kit import world

from models.fusion.inputs import fit_inputs
from models.fusion.meta import subsets, with_gaps
from models.fusion.students import BURN_IN, Lesson, fit_meta, teach
from models.fusion.training import dropped, folds, generator, hold_out

STEPS = BURN_IN + 10


@cache
def lesson():
    rows = world(200, absent=0.2, views=False)
    return Lesson(fit_inputs(rows), *hold_out(rows, 0), 0, STEPS)


USES = subsets(3)


@cache
def together(rho=0.0, *teachers):
    return teach(lesson(), USES, rho, np.array(teachers) if teachers else None).states


def same(one, other):
    return all(map(torch.equal, one.parameters, other.parameters))


@pytest.mark.parametrize("index", [0, 3, 6])
def test_without_mutual_learning_everybody_learns_alone_bit_for_bit(index):
    assert same(together()[index], teach(lesson(), USES[[index]]).states[0])


@pytest.mark.parametrize("index", [0, 4])
def test_the_only_teacher_is_taught_by_nobody(index):
    taught = together(2.0, *np.eye(len(USES))[index])
    assert same(taught[index], together()[index])
    assert sum(same(*pair) for pair in zip(taught, together(), strict=True)) < len(USES)


def test_students_come_closer_to_their_teacher():
    x, there = lesson().inputs(lesson().training)
    x = torch.from_numpy(with_gaps(x, there))

    def apart(states):
        said = [torch.sigmoid(each(x)) for each in states]
        return float(torch.stack([(each - said[-1]).abs().mean() for each in said[:-1]]).mean())

    teacher = np.eye(len(USES))[-1]
    assert apart(together(20.0, *teacher)) < apart(together())


def test_fusion_beats_its_cheapest_member_on_rows_it_never_saw():
    model = fit_meta(world(400, views=False), rhos=(1.0,), steps=60)
    test = world(1200, seed=9, views=False)
    right = ((model.log_odds(test) > 0) == test.roadwork).mean()
    assert right > ((test.log_odds[:, 0] > 0) == test.roadwork).mean() + 0.02


def test_what_it_learns_is_repeatable():
    first, second = (fit_meta(world(100, views=False), rhos=(1.0,), steps=35) for _ in range(2))
    np.testing.assert_array_equal(first.enter, second.enter)
    np.testing.assert_array_equal(first.weights, second.weights)


def test_dropping_takes_a_share_and_never_all():
    there = torch.rand(4000, 3, generator=generator(0)) < 0.8
    left = dropped(there, generator(1))
    assert not (left & ~there).any()
    assert torch.equal(left.any(dim=1), there.any(dim=1))
    assert 0.6 < float(left.sum() / there.sum()) < 0.85


def test_folds_part_no_sequence_and_share_the_labels():
    rows = world(400)
    fold = folds(rows, 5, 0)
    for group in set(rows.groups.tolist()):
        assert len(set(fold[rows.groups == group].tolist())) == 1
    for part in range(5):
        assert 60 <= (fold == part).sum() <= 100
        assert 0.3 < rows.roadwork[fold == part].mean() / rows.roadwork.mean() < 1.7
    with pytest.raises(ValueError, match="100 sequences cannot fill 101 folds"):
        folds(rows, 101, 0)
