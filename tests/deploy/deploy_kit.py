"""What the tests of deployment files share: where they lie, and tools that a machine may not have."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SYSTEMD = ROOT / "systemd"


def tool(name: str, package: str) -> str:
    """Its path; skips the test, saying which package has it, where it is missing."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"no {name} here (Debian package {package}): not tested")
    return path


def run(*words: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    """Its output as text, whatever its exit status."""
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=60, check=False, **options
    )


def documents(path: Path) -> list[Any]:
    """The YAML documents of a file."""
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each is not None]
