"""How far labels can be trusted: agreement, suspicious ones, and those from elsewhere."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_kit import NOW, digest, keep, opened
from sklearn.metrics import cohen_kappa_score

from miner.ledger import LEDGER_NAME
from miner.ledger.labels import Label, labels
from miner.records import Exchange
from miner.review.agreement import agreement, kappa
from miner.review.issues import issues
from miner.review.sent import SentLabels, believed
from miner.review.validator_log import LogUnreadable, import_log
from miner.settings import load
from models.learn.label_issues import label_issues


@given(st.lists(st.tuples(st.sampled_from(["roadwork", "none"]), st.sampled_from(["roadwork", "none"]))))
def test_kappa_is_cohens(pairs):
    ours = kappa(pairs)
    if not pairs or len({word for pair in pairs for word in pair}) == 1:
        assert ours is None
    else:
        assert ours == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))


def test_agreement_is_on_what_both_have_decided():
    def label(sha256, word, reviewer, at_ns=1):
        return Label(at_ns, sha256, word, "review", reviewer)

    given = [
        *(label("a", "roadwork", "ann"), label("a", "roadwork", "bob")),
        *(label("b", "none", "ann"), label("b", "roadwork", "bob")),
        *(label("b", "roadwork", "ann", at_ns=2), label("c", "none", "ann"), label("c", "none", "bob")),
        *(label("d", "unsure", "ann"), label("d", "none", "bob"), label("e", "none", "cid")),
    ]
    (one,) = agreement(given)
    assert (one.first, one.second, one.count, one.agreed, one.kappa) == ("ann", "bob", 3, 1.0, 1.0)


def test_flipped_labels_are_found():
    luck = random.Random(3)
    truth = [luck.random() < 0.5 for _ in range(400)]
    given = [(0.95 if each else 0.05) + luck.uniform(-0.04, 0.04) for each in truth]
    flipped = set(luck.sample(range(400), 20))
    found = label_issues([each != (place in flipped) for place, each in enumerate(truth)], given)
    assert len(flipped & set(found)) >= 19 and len(set(found) - flipped) <= 2
    assert label_issues([True] * 30, [0.1] * 30) == [], "one class alone says nothing"


def test_a_suspicious_label_is_named_with_who_gave_it(tmp_path):
    ledger = opened(tmp_path)
    for n in range(60):
        roadwork = n % 2 == 0
        sha256 = keep(tmp_path, ledger, f"{n}", prediction=0.9 if roadwork else 0.1)
        word = "roadwork" if roadwork != (n == 4) else "none"
        ledger.label(sha256, word, source="review", reviewer="ann" if n != 4 else "bob")
    ledger.write(())
    (worst,) = issues(tmp_path / LEDGER_NAME)
    assert (worst.sha256, worst.label, worst.reviewer) == (digest("4"), "none", "bob")


def exchange(name, prediction=0.5, at_ns=NOW, notes=()):
    return Exchange(
        **{"id": name, "at_ns": at_ns, "hotkey": "ours", "caller": "validator", "address": ""},
        **{"client_version": "", "status": 200, "outcome": "answered", "sha256": digest(name)},
        **{"prediction": prediction, "notes": notes},
    )


def test_labels_sent_along_enter_the_ledger_where_they_are_the_truth(tmp_path):
    ledger = opened(tmp_path)
    batch = [
        exchange("a", notes=("testnet_label:1", "cached")),
        exchange("b", notes=("testnet_label:0",)),
        exchange("c"),
    ]
    SentLabels(ledger, believed=False).write(batch)
    ledger.write(batch)
    assert labels(tmp_path / LEDGER_NAME) == []
    SentLabels(ledger, believed=True).write(batch)
    ledger.write(())
    found = {one.sha256: (one.label, one.source, one.reviewer) for one in labels(tmp_path / LEDGER_NAME)}
    assert found == {
        digest("a"): ("roadwork", "testnet", "validator"),
        digest("b"): ("none", "testnet", "validator"),
    }


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], False),
        (["--subtensor.network", "test", "--netuid", "323"], True),
        (["--subtensor.network", "local"], True),
        (["--review.sent_labels", "always"], True),
        (["--subtensor.network", "test", "--review.sent_labels", "never"], False),
    ],
)
def test_on_the_main_network_they_are_not_believed(flags, expected):
    assert believed(load(flags, {})) is expected


def ours(data):
    """Answers: a unique one, the same number twice for two pictures, and for one picture."""
    ledger = opened(data)
    answers = [
        exchange("unique", 0.123456789012345),
        *(exchange("twin 1", 0.25), exchange("twin 2", 0.25, NOW + 10**9)),
        *(exchange("again", 0.75), exchange("again", 0.75, NOW + 10**9)),
        exchange("old", 0.875, NOW - 10**13),
        exchange("split", 0.375),
    ]
    ledger.write(answers)
    return ledger


ROWS = [
    {"timestamp": NOW / 1e9 + 5, "prediction": 0.123456789012345, "label": 1, "validator": "5V"},
    {"timestamp": NOW / 1e9, "prediction": 0.25, "label": 0},
    {"timestamp": NOW / 1e9, "prediction": 0.75, "label": 0},
    {"timestamp": NOW / 1e9, "prediction": 0.875, "label": 0},
    {"timestamp": NOW / 1e9, "prediction": 0.375, "label": 0, "validator": "5V"},
    {"timestamp": NOW / 1e9, "prediction": 0.375, "label": 1, "validator": "5W"},
    {"timestamp": NOW / 1e9, "prediction": 0.1234567890123451, "label": 0},
    {"timestamp": NOW / 1e9, "prediction": -1.0, "label": 0},
    {"timestamp": "yesterday", "prediction": 0.75, "label": 0},
]


def as_csv(rows):
    names = ("timestamp", "prediction", "label", "validator")
    return "\n".join([",".join(names), *(",".join(str(row.get(name, "")) for name in names) for row in rows)])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.csv", as_csv(ROWS)),
        ("log.json", json.dumps(ROWS)),
        ("log.jsonl", "\n".join(json.dumps(row) for row in ROWS)),
    ],
)
def test_a_validators_log_is_joined_on_the_exact_prediction(tmp_path, name, text):
    ledger = ours(tmp_path)
    (tmp_path / name).write_text(text)
    for _ in range(2):
        report = import_log(tmp_path / name, ledger)
        ledger.write(())
        assert (report.rows, report.joined, report.ambiguous) == (9, 2, 3)
        assert (report.unmatched, report.useless) == (2, 2)
    found = {one.sha256: (one.label, one.source) for one in labels(tmp_path / LEDGER_NAME)}
    assert found == {digest("unique"): ("roadwork", "validator"), digest("again"): ("none", "validator")}
    assert len(labels(tmp_path / LEDGER_NAME)) == 2, "a second import adds nothing"


@pytest.mark.parametrize("text", ["not json", "[1, 2", "\x00"])
def test_what_is_no_log_is_said(tmp_path, text):
    (tmp_path / "log.json").write_text(text)
    with pytest.raises(LogUnreadable):
        import_log(tmp_path / "log.json", ours(tmp_path))
