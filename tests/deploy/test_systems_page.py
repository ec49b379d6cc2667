"""docs/systems.md: every system of the plan has its row, and what a row names is there."""

from __future__ import annotations

import re

import pytest
from deploy_kit import ROOT

TEXT = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
PLAN = {"A": 8, "B": 8, "C": 11, "D": 5, "E": 4, "F": 9}
"""Rows of the plan by section."""


@pytest.mark.parametrize("section", PLAN)
def test_every_system_has_a_row(section):
    found = set(re.findall(rf"\b({section}\d+)\b", TEXT))
    assert found >= {f"{section}{number}" for number in range(1, PLAN[section] + 1)}


def test_what_a_row_names_is_there():
    named = set(re.findall(r"`((?:tests|bench|models|deploy|systemd)/[\w./-]+)`", TEXT))
    assert len(named) > 40 and not [path for path in named if not (ROOT / path).exists()]
    pages = set(re.findall(r"\]\(([\w-]+\.md)", TEXT))
    assert not [page for page in pages if not (ROOT / "docs" / page).is_file()]
