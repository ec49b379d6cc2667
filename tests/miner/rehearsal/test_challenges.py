"""What is drawn from which pictures."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from rehearsal_kit import write_pictures

from miner.rehearsal import challenges
from miner.rehearsal.challenges import REGIMES, Draws, NoImages, pictures_in, rendered_scenes


@pytest.fixture
def pictures(tmp_path):
    return pictures_in(write_pictures(tmp_path / "pictures"))


def test_half_of_the_challenges_are_roadwork(pictures):
    drawn = [Draws(pictures, seed=5).draw(number) for number in range(300)]
    assert 120 < sum(c.label for c in drawn) < 180
    regimes = Counter(c.regime for c in drawn)
    assert set(regimes) == set(REGIMES)
    assert min(regimes.values()) > 70


def test_labels_go_with_their_pictures(pictures):
    for number in range(20):
        challenge = Draws(pictures, ["native"], seed=1).draw(number)
        red, _, blue = Image.open(io.BytesIO(challenge.image)).getpixel((5, 5))
        assert (red > blue + 50) == bool(challenge.label)


def test_a_seed_fixes_every_challenge_in_any_order(pictures):
    forwards = [Draws(pictures, seed=3).draw(number) for number in range(12)]
    backwards = [Draws(pictures, seed=3).draw(number) for number in reversed(range(12))]
    assert forwards == backwards[::-1]
    assert forwards != [Draws(pictures, seed=4).draw(number) for number in range(12)]


@pytest.mark.parametrize(
    ("regime", "size"), [("native", (96, 64)), ("augmented", (224, 224)), ("letterbox", (224, 224))]
)
def test_a_regime_shows_pictures_its_way(pictures, regime, size):
    challenge = Draws(pictures, [regime]).draw(0)
    assert challenge.regime == regime
    assert Image.open(io.BytesIO(challenge.image)).size == size
    assert (challenge.level == -1) == (regime == "native")


def test_a_folder_without_one_of_the_labels_is_refused(tmp_path):
    folder = write_pictures(tmp_path / "pictures")
    for path in (folder / "none").iterdir():
        path.unlink()
    (folder / "none" / "notes.txt").write_text("not a picture")
    with pytest.raises(NoImages, match="none/ has none"):
        pictures_in(folder)


def test_scenes_are_rendered_once_and_serve_as_pictures(tmp_path):
    folder = rendered_scenes(tmp_path / "scenes", count=4)
    assert {label: len(paths) for label, paths in pictures_in(folder).items()} == {0: 2, 1: 2}
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jpg")}
    rendered_scenes(folder, count=4)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.jpg")} == before


def test_half_rendered_scenes_are_rendered_again(tmp_path, monkeypatch):
    def stop(folder, count, seed):
        (folder / "roadwork").mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("models.scenes.write_scenes", stop)
        rendered_scenes(tmp_path / "scenes", count=2)
    assert pictures_in(rendered_scenes(tmp_path / "scenes", count=2))


def test_real_pictures_are_looked_for_beside_the_repository(tmp_path, monkeypatch):
    repository = Path(__file__).parents[3]
    assert repository.parent / "shared" / "data" / "val" == challenges.REAL_IMAGES
    monkeypatch.setattr(challenges, "REAL_IMAGES", tmp_path)
    assert challenges.default_images(tmp_path / "data") == tmp_path
