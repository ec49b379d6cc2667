"""What the region head is taught, and that it learns it: on rendered scenes, with a tiny random backbone."""

import numpy as np
import pytest
import torch
from PIL import Image

from models.learn.data import Example, read
from models.learn.fit import make_stream
from models.learn.judge import ONCE, Answers
from models.learn.network import open_network
from models.learn.recipe import Recipe
from models.learn.region_fit import Variant, loss_of, map_challenges, map_lessons, train_head
from models.learn.region_pair import compare, weigh
from models.learn.region_views import IS, NOT, UNKNOWN, make_lesson, traced_cells
from models.regions.look import look
from models.regions.network import Backbone, Head
from models.scenes import render_traced, write_scenes
from models.scenes.stencil import LABELS

torch.set_num_threads(1)
SIDE = 96


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 12, seed=4)
    return [
        Example(each.path, each.roadwork, "mi3", each.sequence, "crop" if each.roadwork else "")
        for each in read(folder)
    ]


@pytest.fixture(scope="module")
def lessons(examples):
    stream = make_stream(examples, Recipe(), seed=0)
    return [make_lesson(stream, SIDE, 5000, number) for number in range(40)]


def test_a_lesson_is_the_same_whenever_it_is_made(examples, lessons):
    again = make_lesson(make_stream(examples, Recipe(), seed=0), SIDE, 5000, 7)
    assert np.array_equal(again.look.pixels, lessons[7].look.pixels)
    assert np.array_equal(again.cells, lessons[7].cells)


def test_what_is_known_of_cells_never_contradicts_the_image(lessons):
    for lesson in lessons:
        assert lesson.cells.shape[1:] == tuple(edge // 16 for edge in lesson.look.pixels.shape[1:])
        for image, cells in zip(lesson.image, lesson.cells, strict=True):
            if image == NOT:
                assert (cells == NOT).all()
            if image == IS:
                assert (cells != NOT).any()
            if (cells == IS).any():
                assert image == IS
            if image == UNKNOWN:
                assert (cells == UNKNOWN).any()
    kinds = {(int(lesson.image[0]), bool((lesson.cells[0] == UNKNOWN).all())) for lesson in lessons}
    assert kinds >= {(NOT, False), (IS, True), (IS, False)}


def test_a_trace_names_the_cells_that_show_each_thing():
    image, labels = render_traced(11, True)
    cells = traced_cells(labels, look(image, 320))
    ink = np.asarray(labels)
    for index in range(1, len(LABELS)):
        assert (cells[index] != NOT).any() == (ink == index + 1).any()
    assert ((cells[1:] == IS).any(axis=0) <= (cells[0] == IS)).all()


def test_the_head_learns_where_works_are(lessons):
    backbone = Backbone(open_network(None, 3, width=0.35))
    data = map_lessons(backbone, iter(lessons))
    head = Head(*backbone.channels)

    def loss():
        with torch.inference_mode():
            parts = [
                loss_of(head((each.maps[0].float(), each.maps[1].float())), each.image, each.cells, 1.0)
                for each in data
            ]
        return float(torch.stack(parts).mean())

    before = loss()
    train_head(head, data, Variant(1.0, 60, batch=8, rate=5e-2), seed=0)
    assert loss() < 0.9 * before


def test_no_steps_leave_a_head_as_it_was(lessons):
    backbone = Backbone(open_network(None, 3, width=0.35))
    head = Head(*backbone.channels)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    train_head(head, map_lessons(backbone, iter(lessons[:8])), Variant(1.0, 0), seed=0)
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


def test_held_out_answers_come_in_the_order_of_the_challenges(examples):
    backbone = Backbone(open_network(None, 3, width=0.35))
    head = Head(*backbone.channels)
    held = map_challenges(backbone, examples[:4], ONCE, SIDE)
    scores = held.scores(head, 1.0)
    assert len(scores) == 12 == len(held.maps)
    assert held.answers.roadwork.tolist() == [each.roadwork for each in examples[:4] for _ in range(3)]
    assert np.isfinite(scores).all()


def answers(scores, roadwork):
    count = len(scores)
    names = np.array([f"clip {index // 4}" for index in range(count)])
    regimes = np.array([["augmented", "letterbox", "native"][index % 3] for index in range(count)])
    return Answers(np.asarray(scores), roadwork, np.full(count, "mi3"), names, regimes)


def test_two_members_that_err_apart_are_better_together():
    random = np.random.default_rng(3)
    roadwork = random.random(240) < 0.5
    truth = np.where(roadwork, 1.2, -1.2)
    pair = (
        answers(truth + random.normal(0, 2, 240), roadwork),
        answers(truth + random.normal(0, 2, 240), roadwork),
    )
    weights = weigh(pair)
    told = compare(pair, weights)  # bootstraps 3 x 1000 times
    assert weights.classifier > 0.1 and weights.regions > 0.1
    assert told["both"]["auc"] > max(told["classifier"]["auc"], told["regions"]["auc"])


def test_answers_to_different_challenges_are_not_weighed_together():
    roadwork = np.arange(24) % 2 == 0
    with pytest.raises(ValueError, match="same challenges"):
        weigh((answers(np.zeros(24), roadwork), answers(np.zeros(24), ~roadwork)))


def test_a_picture_that_is_all_works_is_unknown_everywhere_but_pasting_says_where(examples):
    stream = make_stream(examples, Recipe(), seed=1)
    pasted = [
        lesson
        for lesson in (make_lesson(stream, SIDE, 5000, number) for number in range(24))
        if lesson.image[0] == IS and (lesson.cells == UNKNOWN).any() and (lesson.cells == NOT).any()
    ]
    assert pasted and all((lesson.cells[0] == NOT).mean() > 0.05 for lesson in pasted)


def test_a_patch_fits_into_a_frame_of_any_shape(examples):
    from models.learn.views import paste

    rng = np.random.default_rng(0)
    for size in ((200, 40), (40, 200), (64, 64)):
        for _ in range(8):
            shown, _ = paste(Image.new("RGB", size), False, lambda works, rng: examples[0], rng)
            assert shown.size == size
