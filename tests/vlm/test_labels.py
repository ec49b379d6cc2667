"""From a first token's log-probabilities to P(yes)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.vlm.labels import Labels, LowMass, Reading, read, read_probabilities, spelled
from models.vlm.member import Absent

PLAIN = Labels()


def top(*listed: tuple[str, float]):
    return [{"token": word, "bytes": list(word.encode()), "logprob": math.log(p)} for word, p in listed]


def absent(what) -> str:
    with pytest.raises(Absent) as caught:
        what()
    return caught.value.reason


def test_every_spelling_of_a_label_counts():
    said = read(top(("Yes", 0.3), (" yes", 0.2), ("**YES**", 0.1), ("▁no", 0.15), ("No.", 0.05)), PLAIN)
    assert said.log_odds == pytest.approx(math.log(0.6 / 0.2))
    assert said.mass == pytest.approx(0.8)


def test_words_that_contain_a_label_do_not_count():
    said = read(top(("yes", 0.4), ("not", 0.3), ("yesterday", 0.1), ("no", 0.1)), PLAIN)
    assert said.mass == pytest.approx(0.5)


def test_other_words_may_be_the_labels():
    said = read(top(("Ja", 0.5), ("nein", 0.25)), Labels(yes=("ja",), no=("nein", "nö")))
    assert said.log_odds == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match="no word may mean both"):
        Labels(yes=("Ja",), no=("ja ",))


def test_a_label_that_is_not_listed_has_at_most_the_last_ones_share_and_what_is_left_over():
    many = read(top(("yes", 0.5), ("maybe", 0.1)), PLAIN)
    assert many.log_odds == pytest.approx(math.log(0.5 / 0.1))
    few = read(top(("yes", 0.9), ("maybe", 0.08)), PLAIN)
    assert few.log_odds == pytest.approx(math.log(0.9 / 0.02))


def test_a_token_repeated_by_the_server_counts_once_and_bytes_beat_the_text():
    listed = [*top(("yes", 0.5), ("no", 0.2)), *top(("yes", 0.5))]
    assert read(listed, PLAIN).mass == pytest.approx(0.7)
    piece = {"token": "yes", "bytes": [0xE2, 0x96], "logprob": -1.0}
    assert absent(lambda: read([piece], PLAIN)) == "label_mass:0"


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ([], "no_logprobs"),
        (top(("maybe", 0.9)), "label_mass:0"),
        ([{"token": "yes"}], "shape"),
        ([{"token": "yes", "logprob": float("nan")}], "shape"),
        ([{"token": "yes", "logprob": 0.5}], "shape"),
        (["yes"], "shape"),
    ],
)
def test_what_cannot_be_read_is_absent(listed, reason):
    assert absent(lambda: read(listed, PLAIN)) == reason


@given(st.lists(st.floats(1e-12, 1.0), min_size=4, max_size=4))
def test_the_reading_is_the_ratio_of_sums_and_never_more_than_all(weights):
    total = sum(weights)
    shares = [weight / total for weight in weights]
    said = read(top(*zip(("Yes", " yes", "No", " no"), shares, strict=True)), PLAIN)
    assert said.log_odds == pytest.approx(math.log(sum(shares[:2]) / sum(shares[2:])), abs=1e-6)
    assert 0 < said.mass <= 1


@given(st.floats(-40, 40), st.floats(0, 1))
def test_low_mass_never_makes_more_certain(log_odds, mass):
    wide = LowMass(least=1.0, rule="wide").apply(Reading(log_odds, mass))
    assert abs(wide.log_odds) <= abs(log_odds) + 1e-9
    assert wide.log_odds * log_odds >= -1e-9


def test_low_mass_is_absent_by_default():
    assert absent(lambda: LowMass(least=0.25).apply(Reading(3.0, 0.1))) == "label_mass:0.1"
    assert LowMass(least=0.25).apply(Reading(3.0, 0.3)) == Reading(3.0, 0.3)


@pytest.mark.parametrize("wrong", [(None, 0.5, 1.0), (0.0, 0.0, 0.0), (2.0, 0.1, 1.0), (True, 0.1, 1.0)])
def test_probabilities_of_a_server_are_checked(wrong):
    assert absent(lambda: read_probabilities(*wrong)) == "shape"
    assert math.isfinite(read_probabilities(1.0, 0.0, 1.0).log_odds)


@pytest.mark.parametrize("token", ["Yes", " yes", "**YES**", "yes.", "Ġyes", '"yes"'])
def test_spellings(token):
    assert spelled(token) == "yes"
