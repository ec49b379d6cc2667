"""What a reviewer is shown, in which order, and what becomes of the labels."""

import pytest
from review_kit import NOW, digest, keep, opened, said

from miner.capture import labelled
from miner.ledger import LEDGER_NAME
from miner.recorder import Recorder
from miner.review.desk import Desk
from miner.review.line import line


@pytest.fixture
def ledger(tmp_path):
    return opened(tmp_path)


def shown(data, reviewer="ann", reviewers=1, limit=20):
    items, _ = line(data / LEDGER_NAME, limit, reviewer, reviewers)
    return [item.sha256 for item in items]


def test_hardest_first_with_the_audit_in_between(tmp_path, ledger):
    hard = [keep(tmp_path, ledger, f"hard {n}", n / 10) for n in range(6)]
    audits = [keep(tmp_path, ledger, f"audit {n}", 9.0, reason="audit", at_ns=NOW + n) for n in range(2)]
    assert shown(tmp_path) == [*hard[:3], audits[0], *hard[3:6], audits[1]]
    assert shown(tmp_path, limit=2) == hard[:2]
    assert line(tmp_path / LEDGER_NAME, 2)[1] == 8


def test_what_is_labelled_is_left_out_and_undo_brings_it_back(tmp_path, ledger):
    first, second = keep(tmp_path, ledger, "one", 0.1), keep(tmp_path, ledger, "two", 0.2)
    desk = Desk(ledger)
    said(ledger, desk.label(first, "roadwork", "ann", 1.5))
    assert shown(tmp_path) == [second]
    assert [(one.sha256, one.roadwork, one.source) for one in labelled(tmp_path)] == [(first, True, "review")]
    assert said(ledger, desk.undo("bob")) is None, "nobody takes back another's"
    assert said(ledger, desk.undo("ann")) == first
    assert said(ledger, desk.undo("ann")) is None
    assert shown(tmp_path) == [first, second] and labelled(tmp_path) == []


def test_truth_from_elsewhere_needs_no_person_but_our_own_guess_does(tmp_path, ledger):
    told, guessed = keep(tmp_path, ledger, "told"), keep(tmp_path, ledger, "guessed")
    ledger.label(told, "none", source="testnet", reviewer="v")
    ledger.label(guessed, "none", source="pseudo", reviewer="models")
    ledger.write(())
    assert shown(tmp_path) == [guessed]


def test_where_two_must_agree_a_second_person_is_asked_first_about_what_one_has_seen(tmp_path, ledger):
    easy, hard = keep(tmp_path, ledger, "easy", 3.0), keep(tmp_path, ledger, "hard", 0.0)
    desk = Desk(ledger, reviewers=2)
    said(ledger, desk.label(easy, "none", "ann"))
    assert shown(tmp_path, "ann", 2) == [hard]
    assert shown(tmp_path, "bob", 2) == [easy, hard]
    said(ledger, desk.label(easy, "none", "bob"))
    assert shown(tmp_path, "cid", 2) == [hard]
    assert [one.sha256 for one in labelled(tmp_path, reviewers=2)] == [easy]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sha256": "../../x"}, "sha256"),
        ({"label": "maybe"}, "roadwork, none, unsure"),
        ({"reviewer": ""}, "1 to 64"),
        ({"reviewer": "a\nb"}, "printable"),
        ({"seconds": float("nan")}, "seconds"),
        ({"seconds": "1"}, "seconds"),
    ],
)
def test_nonsense_is_refused_in_words(ledger, given, words):
    with pytest.raises(ValueError, match=words):
        Desk(ledger).label(
            **({"sha256": "0" * 64, "label": "none", "reviewer": "ann", "seconds": 1.0} | given)
        )


async def test_the_commands_answer_when_it_is_on_disk(tmp_path, ledger):
    sha256 = keep(tmp_path, ledger, "one", prediction=0.61)
    recorder = Recorder([ledger], tick_s=0.01)
    recorder.start()
    commands = Desk(ledger).commands
    found = await commands["review_next"](limit=5, reviewer="ann")
    assert found["waiting"] == 1
    assert found["items"][0] | {"propensity": 0} == {
        **{"sha256": sha256, "prediction": 0.61, "reason": "near the threshold", "at": NOW / 1e9},
        "propensity": 0,
    }
    await commands["review_label"](sha256=sha256, label="none", reviewer="ann", seconds=2)
    assert (await commands["review_next"](limit=5, reviewer="ann")) == {"items": [], "waiting": 0}
    assert await commands["review_undo"](reviewer="ann") == sha256
    with pytest.raises(ValueError, match="no picture"):
        await commands["review_label"](sha256=digest("unknown"), label="none", reviewer="ann", seconds=2)
    with pytest.raises(ValueError, match="limit"):
        await commands["review_next"](limit=10**9)
    recorder.stop()
