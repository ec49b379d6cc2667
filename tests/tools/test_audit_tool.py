"""The audit: what it is made of is listed, a licence that may not be is seen, and advice is passed on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import audit
from sbom import Part, document, extras_of, parts

AUDIT = Path(audit.__file__)


@pytest.fixture(scope="module")
def found():
    return parts(extras=extras_of())


def test_every_direct_dependency_is_listed_and_what_is_optional_and_not_ours_is_not(found):
    names = {part.name for part in found}
    assert {"bittensor", "torch", "starlette", "httptools", "orjson", "hypothesis"} <= names
    assert "ultralytics" not in names and "yolo" not in extras_of()


def test_no_licence_forbids_us_anything(found):
    assert audit.licences(found) == []


@pytest.mark.parametrize(
    ("licence", "forbidden"),
    [
        ("MIT", False),
        ("GPL-3.0-or-later", True),
        ("AGPL-3.0", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("LGPL-2.1", False),
        ("MIT OR GPL-2.0", False),
        ("GNU General Public License (GPL); MIT License", False),
    ],
)
def test_which_licences_are_objected_to(licence, forbidden):
    assert Part("x", "1", licence, ()).forbidden is forbidden


def test_a_licence_that_nobody_states_is_an_objection():
    assert audit.licences([Part("x", "1", "", ())]) == ["x 1 does not say its licence"]


def test_the_sbom_names_everything_once_and_hangs_together(found):
    made = document(found, "0.1.0")
    refs = [each["bom-ref"] for each in made["components"]]
    assert len(set(refs)) == len(refs) == len(found) - 1
    known = {*refs, made["metadata"]["component"]["bom-ref"]}
    assert all({each["ref"], *each["dependsOn"]} <= known for each in made["dependencies"])
    assert made == document(found, "0.1.0"), "the same parts give the same document"
    assert made["bomFormat"] == "CycloneDX" and made["specVersion"] == "1.6"


def advised(tmp_path, told: object) -> list[str]:
    program = tmp_path / "advice"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(told)}'\n")
    program.chmod(0o700)
    return [str(program)]


def test_what_is_known_against_a_part_is_told(tmp_path, found):
    fault = {"id": "PYSEC-1", "fix_versions": ["2"]}
    told = {"dependencies": [{"name": "x", "version": "1", "vulns": [fault]}, {"name": "y", "version": "1"}]}
    assert audit.vulnerabilities(found, advised(tmp_path, told)) == (["x 1: PYSEC-1, mended in 2"], "")


def test_what_could_not_be_asked_is_said_and_is_no_all_clear(tmp_path, found):
    told = {"dependencies": [{"name": "x", "skip_reason": "not found"}]}
    assert audit.vulnerabilities(found, advised(tmp_path, told)) == ([], "1 of 1 could not be looked up")
    assert "cannot be run" in audit.vulnerabilities(found, [str(tmp_path / "nowhere")])[1]
    assert "says nothing" in audit.vulnerabilities(found, ["false"])[1]


def test_the_command_writes_both_files(tmp_path):
    words = ["--sbom", tmp_path / "sbom.json", "--json", tmp_path / "found.json", "--pip-audit", "false"]
    run = subprocess.run([sys.executable, AUDIT, *words], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads((tmp_path / "sbom.json").read_text())["components"]
    assert json.loads((tmp_path / "found.json").read_text())["licences"] == []
