"""`streetvision-miner train`: a training in a process of its own, and its model's way into the registry."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from miner.registry import Refused, Registry
from miner.terminal import echo

DEFAULT, TUNE = "models.learn.train", "models.learn.tune"
RECORD = "training.json"
SOURCE = "train"


def main(arguments: Sequence[str]) -> int:
    """With `--recipe` any backbone is trained, without it the embedded default; `--into FOLDER` lets the
    model into the registry there. Other arguments are the training's own; its exit status, or 1 when the
    registry refuses the model."""
    ours, rest = _parser().parse_known_args(arguments)
    module = TUNE if any(each.split("=")[0] == "--recipe" for each in rest) else DEFAULT
    command = [sys.executable, "-m", module, *rest]
    if ours.into is None or "--help" in rest:
        sys.stdout.flush()
        os.execv(sys.executable, command if ours.out is None else [*command, "--out", str(ours.out)])
    out = ours.out or ours.into.with_name("training")
    status = subprocess.run([*command, "--out", str(out)], check=False).returncode
    if status != 0:
        return status
    try:
        version = enter(out, ours.into, ours.tier, ours.licence)
    except Refused as error:
        echo(f"trained in {out}, and not let into the registry: {error}")
        return 1
    if ours.out is None:
        shutil.rmtree(out, ignore_errors=True)
    echo(f"{ours.tier} {version} is in {ours.into}")
    return 0


def enter(folder: Path, registry: Path, tier: str, licence: str = "") -> str:
    """Let what was trained in `folder` in; the version's name. A miner that runs may hold the registry: a new
    version is only put down beside the others. Raises Refused."""
    return Registry(registry).add(tier, folder, facts(folder) | {"licence": licence})


def facts(folder: Path) -> dict[str, Any]:
    """What its record says of it, for the manifest. Raises Refused."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        line = _judged(record)
        found = {name: line[name] for name in ("mcc", "auc", "tpr", "tnr") if line.get(name) is not None}
        calibration = dict(record["calibration"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise Refused(f"{path} is no record of a training: {error!r}") from error
    return {"source": SOURCE, "metrics": found, "calibration": calibration}


def _judged(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """All sources and regimes together, of the shipped seed on the validation split, or out of fold."""
    judged = record["seeds"][0]["val"] or record["cross_fit"]["out_of_fold"]
    line: Mapping[str, Any] = judged[0]
    return line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--tier", default="classifier")
    parser.add_argument("--licence", default="")
    parser.add_argument("--out", type=Path)
    return parser
