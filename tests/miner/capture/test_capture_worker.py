"""The real worker process, and pictures through it."""

import sys
from io import BytesIO

import pytest
from capture_kit import photograph
from PIL import Image

from miner.capture.child import Child, Refused, WorkerFailed

LIMITS = (4 * 2**20, 25_000_000)


@pytest.fixture(scope="module")
def child():
    child = Child(side=128, blur=False, limits=LIMITS)
    yield child
    child.close()


def test_what_is_kept_is_small_and_bare(child):
    exif = Image.Exif()
    exif[0x010E] = "where she lives"
    scaled = child.scale(photograph(1, (640, 400), exif=exif, comment=b"where she lives"))
    image = Image.open(BytesIO(scaled.jpeg))
    assert image.size == (128, 80) == (scaled.about["width"], scaled.about["height"])
    assert b"where she lives" not in scaled.jpeg and not image.getexif()


def test_look_alikes_have_like_marks(child):
    one, same, other = (
        child.scale(photograph(seed, size)).mark
        for seed, size in ((1, (640, 400)), (1, (320, 200)), (2, (640, 400)))
    )
    assert (one ^ same).bit_count() <= 4 < (one ^ other).bit_count()


def test_no_picture_is_refused_and_the_worker_lives_on(child):
    with pytest.raises(Refused, match="format"):
        child.scale(b"GIF89a" + b"\0" * 100)
    assert child.scale(photograph(3)).jpeg


def test_a_dead_worker_is_replaced(child):
    child.scale(photograph(4))
    child._process.kill()
    with pytest.raises(WorkerFailed):
        child.scale(photograph(4))
    assert child.scale(photograph(4)).jpeg


@pytest.mark.parametrize(
    "program",
    [
        "import time; time.sleep(60)",
        "import sys; sys.stdout.write('x' * 4096); sys.stdout.flush(); sys.stdin.read()",
        "pass",
    ],
)
def test_a_worker_that_hangs_or_talks_nonsense_is_given_up(program):
    broken = Child(
        **{"side": 128, "blur": False, "limits": LIMITS, "within_s": 0.5},
        command=(sys.executable, "-c", program),
    )
    with pytest.raises(WorkerFailed):
        broken.scale(photograph(5, (3000, 2000)))


def test_blurring_makes_what_is_found_coarse(monkeypatch):
    from models.imaging import blur

    image = Image.open(BytesIO(photograph(6))).convert("RGB")
    monkeypatch.setattr(blur, "places", lambda _: [(40, 40, 104, 104)])
    coarse, found = blur.blurred(image)
    assert found == 1
    assert len(set(coarse.crop((40, 40, 104, 104)).get_flattened_data())) <= blur.CELLS**2
    assert coarse.crop((0, 0, 320, 40)).tobytes() == image.crop((0, 0, 320, 40)).tobytes()


def test_the_finders_load_and_look_at_a_picture():
    from models.imaging.keepsake import Limits, keepsake

    kept = keepsake(photograph(7, (640, 480)), Limits(*LIMITS), 256, blur=True)
    assert (kept.width, kept.height) == (256, 192) and kept.blurred >= 0
