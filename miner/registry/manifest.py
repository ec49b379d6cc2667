"""What is known of one version: where it came from, what it is allowed to, how well it did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from miner.registry.door import Refused

NAME = "manifest.json"
FORBIDDEN_OPTIONS = ("kind", "path", "revision", "backbone", "servers")
"""Options of a tier that name other files or places: a model in the registry brings all it needs."""


_OURS = ("tier", "version", "created", "facts", "files")


@dataclass(frozen=True, slots=True)
class Facts:
    """What whoever brings a model may say of it; all of it optional.

    `source`       where from ("folder night", "hub owner/name", "retrain"); `revision` its commit there.
    `licence`      SPDX name or a sentence.
    `calibration`  the calibration's numbers; `certificate` the file or digest of one that names it.
    `metrics`      name -> number, e.g. {"mcc": 0.69}.
    `parent`       the version it was trained from.
    `options`      of the tier's loader, e.g. {"label": "Roadwork", "threshold": 0.4}.
    """

    source: str = ""
    revision: str = ""
    licence: str = ""
    calibration: Mapping[str, float] = field(default_factory=dict)
    certificate: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    parent: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        texts = (self.source, self.revision, self.licence, self.certificate, self.parent)
        maps = (self.calibration, self.metrics, self.options)
        if not all(isinstance(text, str) for text in texts) or not all(isinstance(m, Mapping) for m in maps):
            raise Refused(f"{NAME}: texts must be texts, and calibration, metrics and options objects")
        if bad := sorted(set(self.options) & set(FORBIDDEN_OPTIONS)):
            raise Refused(f"{NAME}: options may not say {bad[0]}, which names something outside the model")


@dataclass(frozen=True, slots=True)
class Manifest:
    """`files` name -> SHA-256 of everything in the folder but the manifest; `created` wall clock in
    nanoseconds."""

    tier: str
    version: str
    created: int
    files: Mapping[str, str]
    facts: Facts = field(default_factory=Facts)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        return cls(**{**data, "facts": facts(data["facts"])})


def facts(data: Mapping[str, Any]) -> Facts:
    """Raises Refused for what is no fact."""
    unknown = sorted(set(data) - set(Facts.__dataclass_fields__))
    if unknown:
        raise Refused(f"{NAME}: {unknown[0]!r} is no fact; there are {', '.join(Facts.__dataclass_fields__)}")
    return Facts(**data)


def brought(folder: Path) -> tuple[Facts, dict[str, str] | None]:
    """What a source's own manifest says: facts, and the files' SHA-256 if it promises any.

    Those made here (tier, version, created) may be among it and are not believed. Raises Refused."""
    path = folder / NAME
    if not path.is_file():
        return Facts(), None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        inner = dict(said.get("facts", {}))
        outer = {key: value for key, value in said.items() if key not in _OURS}
        files = said.get("files")
        promised = None if files is None else {str(name): str(digest) for name, digest in files.items()}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise Refused(f"{NAME} is not a JSON object of facts: {error}") from error
    return facts({**inner, **outer}), promised


def name_of(files: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits over all files and options: the same model has the same name, whoever brings
    it and when."""
    text = json.dumps([sorted(files.items()), sorted(options.items())], separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:12]
