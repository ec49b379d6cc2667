import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.certify import Certificate, CertificateError, Member, OperatingPoint, load
from models.certify.certificate import Exit, Side

POINT = OperatingPoint(
    "day",
    (
        Member("small", "sha:1", "fp32", "224x224", "", "sha:c1"),
        Member("vlm", "sha:2", "bf16", "448x448", "sha:p", "sha:c2"),
    ),
    "sha:f",
)
SIDE = Side(400, 900, 0.002, 0.01, 0.7, 0.95, 299, 420)


def certificate(**changes):
    values = {
        "point": POINT,
        "exits": (Exit("small", -2.5, math.inf),),
        "data": "sha:d",
        "eps": (0.01, 0.02),
        "delta": 0.05,
        "sides": (SIDE, dataclasses.replace(SIDE, needed_at_rate=None)),
        "saved": 0.6,
        "created": "2026-11-23T12:00:00+00:00",
    }
    return Certificate(**(values | changes))


def test_a_file_brings_back_what_was_certified(tmp_path):
    for each in (certificate(), certificate().without_exits()):
        each.save(tmp_path / "c.json")
        assert load(tmp_path / "c.json") == each
    assert "Infinity" not in (tmp_path / "c.json").read_text()


@given(st.floats(1e-6, 1e6), st.floats(-1e6, -1e-6))
def test_thresholds_survive_to_the_last_bit(upper, lower):
    from models.certify.certificate import _exit, _plain

    exit = Exit("small", lower, upper)
    assert _exit(json.loads(json.dumps(_plain(exit)))) == exit


@pytest.mark.parametrize("field", ["version", "precision", "resolution", "prompt", "calibration"])
@pytest.mark.parametrize("place", [0, 1])
def test_any_change_of_a_member_voids_it_and_is_named(field, place):
    members = list(POINT.members)
    members[place] = dataclasses.replace(members[place], **{field: "other"})
    reason = certificate().check(dataclasses.replace(POINT, members=tuple(members)))
    assert members[place].name in reason and field in reason and "other" in reason


def test_other_changes_void_it_too():
    found = certificate()
    assert found.check(POINT) is None
    assert "night" in found.check(dataclasses.replace(POINT, name="night"))
    assert "members" in found.check(dataclasses.replace(POINT, members=POINT.members[::-1]))
    assert "members" in found.check(dataclasses.replace(POINT, members=POINT.members[:1]))
    assert "fusion" in found.check(dataclasses.replace(POINT, fusion="sum"))


def test_every_difference_changes_the_hash():
    others = [dataclasses.replace(POINT, name="x"), dataclasses.replace(POINT, fusion="x")]
    others.append(dataclasses.replace(POINT, members=POINT.members[::-1]))
    assert len({POINT.hash, *(other.hash for other in others)}) == 4


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "\xff"])
def test_a_file_that_is_none_is_refused_by_name(tmp_path, text):
    path = tmp_path / "c.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(CertificateError, match=r"c\.json"):
        load(path)
    with pytest.raises(CertificateError):
        load(tmp_path / "missing.json")


def test_a_member_exchanged_in_the_file_is_noticed(tmp_path):
    path = tmp_path / "c.json"
    certificate().save(path)
    path.write_text(path.read_text().replace("sha:2", "sha:3"))
    with pytest.raises(CertificateError, match="not the one that was certified"):
        load(path)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="enclose 0"):
        Exit("small", 1.0, 2.0)
    with pytest.raises(ValueError, match="exits must be after"):
        certificate(exits=())
    with pytest.raises(ValueError, match="eps and delta"):
        certificate(delta=0.0)
    with pytest.raises(ValueError, match="names of their own"):
        OperatingPoint("x", (POINT.members[0], POINT.members[0]))


def test_sentences():
    assert "70% / 70%" in certificate().sentence() and "1.00% / 2.00%" in certificate().sentence()
    assert "299" in certificate().without_exits().sentence()
