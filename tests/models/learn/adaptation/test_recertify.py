"""The operating point certified anew: enough agreeing images certify it, few or contradicting ones do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from models.certify import load
from models.core import Evidence
from models.description import Description, decide
from models.learn.adaptation.items import Item
from models.learn.adaptation.recertify import FILE, recertify

TWO = Description("two", ({"kind": "first", "memory": "/somewhere"}, {"kind": "second"}))


@dataclass
class Grey:
    """Says how bright a picture is, in log-odds; `wrong` what it says the other way round."""

    name: str
    wrong: frozenset[int] = frozenset()
    version: str = "v2"
    gain: float = 1.0

    def prepare(self, image):
        return image.convert("L").resize((1, 1)).getpixel((0, 0))

    def evidence(self, batch):
        odds = [self.gain * (value - 128) / 16 * (-1 if value in self.wrong else 1) for value in batch]
        return [Evidence(self.name, self.version, each) for each in odds]


def build(wrong=()):
    def made(spec, device):
        assert "memory" not in spec  # it knows labelled pictures by heart
        first = spec["kind"] == "first"
        return Grey(spec["kind"], frozenset(wrong if first else ()), gain=1.0 if first else 3.0)

    return made


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grey")
    for value in (40, 90, 160, 220):
        Image.new("L", (8, 8), value).convert("RGB").save(folder / f"{value}.png")
    return folder


def items(folder, count):
    rng = np.random.default_rng(0)
    values = rng.choice([40, 90, 160, 220], count)
    return [
        Item(f"{n:08x}".ljust(64, "0"), folder / f"{value}.png", bool(value > 128))
        for n, value in enumerate(values)
    ]


def test_enough_labelled_pictures_bring_early_exits_back(pictures, tmp_path):
    learned = recertify(TWO, items(pictures, 260), tmp_path, build=build())
    assert learned.made and learned.why.startswith("certified") and "at least 0.9" in learned.why
    assert learned.metrics["mcc_all"] == 1.0 > learned.metrics["mcc_least"] > 0.85
    certificate = load(tmp_path / FILE)
    assert [(one.name, one.version) for one in certificate.point.members] == [
        ("first", "v2"),
        ("second", "v2"),
    ]
    held = Description(TWO.name, TWO.tiers, certificate=str(tmp_path / FILE))
    assert decide(held, [("first", "v2"), ("second", "v2")])[1] is None
    assert "void" in str(decide(held, [("first", "v3"), ("second", "v2")])[1])


def test_few_pictures_say_how_many_it_would_take(pictures, tmp_path):
    learned = recertify(TWO, items(pictures, 60), tmp_path, build=build())
    assert not learned.made and "without any disagreement" in learned.why
    assert load(tmp_path / FILE).never


def test_a_first_member_that_is_surely_wrong_is_not_left_after(pictures, tmp_path):
    learned = recertify(TWO, items(pictures, 260), tmp_path, build=build(wrong=(40, 220)))
    assert not learned.made


def test_guesses_and_unreadable_files_do_not_count(pictures, tmp_path):
    known = items(pictures, 260)
    guessed = [Item(one.key, one.path, one.roadwork, "pseudo", weight=0.3) for one in known]
    missing = [Item("f" * 64, tmp_path / "gone.png", True)]
    assert recertify(TWO, [*guessed, *missing], tmp_path, build=build()).metrics["images"] == 0
