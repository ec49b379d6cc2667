"""Rows on disk: one .npz of plain arrays, no pickle.

`members` (M,) names; `log_odds` (n, M), NaN where absent; `roadwork` (n,); `sequences` (n,); for a member
with more numbers `features.NAME` (n, d) and `names.NAME` (d,); for scenes `views` (n, V, d). Others are
ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from models.fusion.rows import Rows

NEEDED = ("members", "log_odds", "roadwork", "sequences")


def save_rows(rows: Rows, path: Path) -> None:
    """To a file from which `load_rows` takes them again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    more: dict[str, Any] = {f"features.{name}": each for name, each in rows.features.items()}
    more |= {f"names.{name}": np.array(rows.names[name], dtype=str) for name in rows.features}
    more |= {} if rows.views is None else {"views": rows.views}
    np.savez_compressed(
        path,
        members=np.array(rows.members, dtype=str),
        log_odds=rows.log_odds,
        roadwork=rows.roadwork,
        sequences=rows.groups,
        **more,
    )


def load_rows(path: Path) -> Rows:
    """Raises ValueError, naming the file, for anything else than such a file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return _rows(file)
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise ValueError(f"{path}: no rows to fuse: {error}") from error


def _rows(file: np.lib.npyio.NpzFile) -> Rows:
    missing = [name for name in NEEDED if name not in file]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    members = tuple(map(str, file["members"].tolist()))
    features = {name: f"features.{name}" for name in members if f"features.{name}" in file}
    return Rows(
        members,
        file["log_odds"].astype(np.float64),
        file["roadwork"].astype(bool),
        file["sequences"].astype(str),
        {name: file[key].astype(np.float64) for name, key in features.items()},
        {name: tuple(map(str, file[f"names.{name}"].tolist())) for name in features},
        file["views"].astype(np.float64) if "views" in file else None,
    )
