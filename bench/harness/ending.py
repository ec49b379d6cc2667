"""How a bench ends: its figures in a file, its misses on the last line, and the exit status they make."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def conclude(record: Any, misses: Sequence[str], *, file: Path | None, check: bool) -> int:
    """Write `record` as JSON where `file` is given, say what was missed; 1 if `check` and something was."""
    if file:
        file.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print("MISSED: " + "; ".join(misses) if misses else "all targets met")
    return int(check and bool(misses))
