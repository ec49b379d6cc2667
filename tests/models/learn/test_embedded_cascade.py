"""The cascade in the repository: it loads, decides, and was made from the members that lie beside it."""

import json

import numpy as np
import pytest
import torch

from models.certify import load as load_certificate
from models.core import Box
from models.deferral import load as load_deferral
from models.description import read as read_description
from models.fusion import registry
from models.learn.cascade.card import render
from models.learn.cascade.whole import decide, open_cascade
from models.learn.metrics import report
from models.scenes import render as draw
from models.weights import CASCADE

RECORD = json.loads((CASCADE / "training.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cascade():
    torch.set_num_threads(1)
    tiers, plan = open_cascade(CASCADE)
    return {tier.name: tier for tier in tiers}, plan


def test_it_was_made_from_the_members_that_are_served(cascade):
    tiers, _ = cascade
    served = [f"{name} {tier.version}" for name, tier in tiers.items()]
    assert served == RECORD["versions"], "a member has changed: run python -m models.learn.cascade again"
    certificate = load_certificate(CASCADE / "certificate.json")
    assert certificate.never and [each.version for each in certificate.point.members] == [
        tier.version for tier in tiers.values()
    ]


def test_card_and_files_agree():
    assert (CASCADE / "README.md").read_text(encoding="utf-8") == render(RECORD)
    chosen = registry.load(CASCADE / "fusion.json")
    assert chosen.kind == RECORD["fusion"]["kind"] and list(chosen.members) == RECORD["members"]
    assert [spec["kind"] for spec in read_description(CASCADE).tiers] == RECORD["members"]
    for rival in (CASCADE / "rivals").glob("*.json"):
        assert registry.load(rival).members == chosen.members
    learned = load_deferral(CASCADE / "deferral.json")
    assert list(learned.gains) == RECORD["members"][1:]
    assert learned.record in RECORD["deferral"], "beaten by the band or not, it says so"


def test_everybody_is_asked_and_it_sees_works_in_scenes(cascade):
    tiers, plan = cascade
    labels = [number % 2 == 0 for number in range(24)]
    scenes = [draw(7_000 + number, roadwork=label) for number, label in enumerate(labels)]
    verdicts = [decide(tiers, plan, scene) for scene in scenes]
    assert all(each.path == tuple(tiers) and not each.certified for each in verdicts)
    assert report(np.array([each.log_odds for each in verdicts]), np.array(labels)).auc > 0.75
    assert all(isinstance(box, Box) for each in verdicts for box in each.boxes)
