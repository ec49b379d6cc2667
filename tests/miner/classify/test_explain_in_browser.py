"""The explain page in a real Chromium: boxes lie on their picture, and foreign text runs nothing."""

import base64
import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from miner.classify.artist import Drawn
from miner.classify.output import Run
from miner.classify.page import card, closing, opening
from miner.classify.scenes import Row, Scene
from models.core import Box, Verdict

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here: the page is not looked at in a browser"
)
HOSTILE = "<svg onload=\"document.title='owned'\">'\"&.jpg"
PINK = (255, 47, 208)


def picture(width, height):
    out = BytesIO()
    Image.new("RGB", (width, height), (40, 90, 60)).save(out, "JPEG")
    return base64.b64encode(out.getvalue()).decode()


def browse(folder, *flags):
    verdict = Verdict("1", 0.9, log_odds=2.2, path=("t",), boxes=(Box(0, HOSTILE, 0.9, 0.25, 0.5, 0.5, 0.9),))
    row = Row(Scene((Path(HOSTILE),)), verdict)
    drawn = Drawn(picture(360, 180), "", 1600, 800)
    text = opening([row], Run({"t": "1"}, "cpu", 1.0)) + card(row, [drawn]) + closing(heat=False)
    (folder / "page.html").write_text(text)
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-dev-shm-usage",
    ]
    command += [f"--user-data-dir={folder}/profile", *flags, (folder / "page.html").as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout


def test_foreign_text_stays_text(tmp_path):
    document = browse(tmp_path, "--dump-dom")
    assert "<title>What the classifier says</title>" in document and "owned" in document
    assert document.count("<svg") == 1 and "&lt;svg onload" in document


def test_a_box_lies_on_its_part_of_the_picture(tmp_path):
    shot = tmp_path / "shot.png"
    browse(tmp_path, f"--screenshot={shot}", "--window-size=1200,700", "--hide-scrollbars")
    image = Image.open(shot).convert("RGB")
    pixels = image.load()
    green, pink = [], []
    for x in range(image.width):
        for y in range(image.height):
            red, middle, blue = pixels[x, y]
            if abs(red - 40) + abs(middle - 90) + abs(blue - 60) < 12:
                green.append((x, y))
            elif (red, middle, blue) == PINK:
                pink.append((x, y))
    left, right = min(x for x, _ in green), max(x for x, _ in green)
    top, bottom = min(y for _, y in green), max(y for _, y in green)
    width, height = right - left, bottom - top
    assert width == pytest.approx(360, abs=4) and height == pytest.approx(180, abs=4)
    assert min(x for x, _ in pink) - left == pytest.approx(0.25 * width, abs=3)
    assert max(x for x, _ in pink) - left == pytest.approx(0.5 * width, abs=3)
    assert max(y for _, y in pink) - top == pytest.approx(0.9 * height, abs=3)
