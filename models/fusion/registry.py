"""The kinds of fusion by name, fitted, saved and loaded. A new kind is one file and one line in KINDS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from models.calibration import Calibration, clamp
from models.core import Evidence
from models.fusion import simple
from models.fusion.pack import pack, unpack
from models.fusion.rows import Floats, Rows, from_evidence

KINDS: Mapping[str, tuple[str, str]] = {
    "sum": ("models.fusion.total", "Total"),
    "logistic": ("models.fusion.logistic", "Logistic"),
    "wide": ("models.fusion.wide", "Wide"),
    "meta": ("models.fusion.meta", "Meta"),
    "residual": ("models.fusion.residual", "Residual"),
    "attention": ("models.fusion.attention", "Attention"),
}
"""Name -> the module that has `fit(rows, seed)`, and the frozen dataclass that it returns. Plain first."""

BASELINE = "logistic"


class Model(Protocol):
    """What a kind learns: rows in, (n,) log-odds out, finite whatever comes in."""

    @property
    def members(self) -> tuple[str, ...]: ...

    def log_odds(self, rows: Rows) -> Floats: ...


@dataclass(frozen=True)
class Fitted:
    """A fusion as it serves: the `model` of a `kind`, then `calibration`, with the shift to `prior` in it.

    `names` member -> the features that the model reads; `comparison` how it was chosen, of no effect.
    """

    kind: str
    model: Model
    calibration: Calibration = field(default_factory=Calibration)
    prior: float = 0.5
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    comparison: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def members(self) -> tuple[str, ...]:
        """Cheap to dear."""
        return self.model.members

    @cached_property
    def digest(self) -> str:
        """Of everything that has an effect: kind and sha256 in hex."""
        text = json.dumps(self._content(), sort_keys=True, separators=(",", ":"))
        return f"{self.kind}:{sha256(text.encode()).hexdigest()}"

    def log_odds(self, rows: Rows) -> Floats:
        """(n,) calibrated; the prior's where nobody spoke."""
        return np.array([self.calibration.apply(each) for each in self.model.log_odds(rows).tolist()])

    def fuse(self, evidence: Sequence[Evidence]) -> float | None:
        """The fused log-odds, finite, or None when nobody has spoken.

        Members that it was not fitted on are left out; when only such have spoken, their sum stands.
        """
        heard = [item for item in evidence if item.log_odds == item.log_odds]
        if not any(item.tier in self.members for item in heard):
            return simple.fuse(heard)
        rows = from_evidence(self.members, heard, self.names)
        return clamp(self.calibration.apply(float(self.model.log_odds(rows)[0])))

    def calibrated(self, calibration: Calibration, prior: float = 0.5) -> Fitted:
        """With this calibration, which was fitted at equal priors, moved so that 0 is the best decision where
        a share `prior` of the requests shows roadwork."""
        return replace(self, calibration=calibration.at_prior(prior), prior=prior)

    def _content(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "calibration": pack(self.calibration),
            "prior": self.prior,
            "names": pack(self.names),
            "model": pack(self.model),
        }

    def to_json(self) -> dict[str, Any]:
        return {**self._content(), "comparison": dict(self.comparison), "digest": self.digest}


def fit(kind: str, rows: Rows, seed: int = 0) -> Fitted:
    """Uncalibrated. Raises ValueError for an unknown kind, rows of one label, and what a kind refuses."""
    module = import_module(_kind(kind)[0])
    if rows.roadwork.all() or not rows.roadwork.any():
        raise ValueError("rows of both labels are needed to fit a fusion")
    names = {name: tuple(rows.names[name]) for name in rows.features}
    return Fitted(kind, cast(Model, module.fit(rows, seed)), names=names)


def _kind(kind: str) -> tuple[str, str]:
    if kind not in KINDS:
        raise ValueError(f"there is no fusion {kind!r}; there are {', '.join(KINDS)}")
    return KINDS[kind]


def save(fitted: Fitted, path: Path) -> None:
    """One JSON file; `load` takes it again, to the same outputs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fitted.to_json(), allow_nan=False) + "\n", encoding="utf-8")


def load(path: Path) -> Fitted:
    """Raises ValueError, naming the file, for anything that `save` did not write or somebody changed."""
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"{path}: not a fusion: {error}") from error


def from_json(data: Mapping[str, Any]) -> Fitted:
    """The inverse of `Fitted.to_json`. Raises what `load` turns into a ValueError that names the file."""
    module, name = _kind(data["kind"])
    fitted = Fitted(
        data["kind"],
        unpack(getattr(import_module(module), name), data["model"]),
        unpack(Calibration, data["calibration"]),
        data["prior"],
        {member: tuple(each) for member, each in data["names"].items()},
        data["comparison"],
    )
    if fitted.digest != data["digest"]:
        raise ValueError("its digest does not fit its content")
    _try_out(fitted)
    return fitted


def _try_out(fitted: Fitted) -> None:
    """Arrays that do not fit one another show here, not at the first request."""
    views = {f"view{index}": 1.0 for index in range(2)}
    said = [
        Evidence(name, "", 1.0, features=views | dict.fromkeys(fitted.names.get(name, ()), 1.0))
        for name in fitted.members
    ]
    found = fitted.fuse(said)
    if found is None or found != found:
        raise ValueError("it does not come to a decision")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")
