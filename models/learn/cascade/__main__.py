"""`python -m models.learn.cascade classifier=DIR/crossfit.npz regions=... --data ../shared/data --out DIR`

What each member said out of fold goes in; out come fusion.json, its rivals, certificate.json, cascade.json
and the card. The members must be trained before, each by its own command, and lie where they are served from.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.calibration import Calibration
from models.certify import Certificate, Member, OperatingPoint
from models.core import Tier
from models.description import FILE
from models.fusion.registry import BASELINE, save
from models.learn.cascade.card import write_card
from models.learn.cascade.decide import Fusions, attempt, fuse, sentence
from models.learn.cascade.deferrals import Tried, try_out, with_pictures
from models.learn.cascade.figures import Figures, by_class, difference, figures
from models.learn.cascade.margins import leave, widest
from models.learn.data import read
from models.learn.traces import Heard, listen, out_of_fold
from models.members import LOADERS, load
from models.weights import CASCADE

NAME = "embedded"
FUSION, CERTIFICATE, DEFERRAL = "fusion.json", "certificate.json", "deferral.json"
KINDS = (BASELINE, "sum", "residual", "meta")
TIMED = 24
"""Images whose challenges are timed on the served members."""
AUDIT = 0.01
CHEAPER = 3.0
"""How many times cheaper than asking everybody a cascade should be."""
TENTH = 0.1
"""Share of the other members' cost that is left to them where the first alone takes all that."""


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    record = make(options)
    (options.out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    write_card(options.out, record)
    say(f"written to {options.out}")


def make(options: argparse.Namespace) -> dict[str, Any]:
    """Choose, write the files; the record that becomes `training.json`."""
    started = time.monotonic()
    files = dict(options.members)
    tiers = [load({"kind": name}, "cpu") for name in files]
    heard = out_of_fold(files, {tier.name: applied(tier) for tier in tiers})
    heard = with_pictures(heard, options.data)
    costs = timed(tiers, options.data)
    say(f"{len(heard)} challenges; CPU ms per image: {dict(zip(files, costs, strict=True))}")
    fusions = fuse(heard.rows, KINDS, options.seed, say)
    print(fusions.choice.table())
    chosen = fusions.choice.fitted
    point = OperatingPoint(NAME, tuple(Member(tier.name, tier.version) for tier in tiers), chosen.digest)
    certificate = attempt(point, fusions.prefixes, heard.rows, costs)
    write(options.out, fusions, certificate, list(files))
    banded = margin(heard, fusions, costs)
    learned = deferral(options.out, heard, fusions, costs, banded, options.seed)
    return {
        "command": f"python -m models.learn.cascade {' '.join(f'{name}=FILE' for name in files)} --data DATA",
        "members": list(files),
        "versions": [f"{tier.name} {tier.version}" for tier in tiers],
        "cost_ms": dict(zip(files, costs, strict=True)),
        "rows": len(heard),
        "sequences": len(np.unique(heard.rows.groups)),
        "fusion": {"kind": chosen.kind, "why": fusions.choice.sentence(), **chosen.comparison},
        "out_of_fold": [each.to_json() for each in compare(heard, fusions)],
        "margin": banded,
        "deferral": [asdict(each) for each in learned],
        "certificate": sentence(certificate, heard.rows),
        "wall_minutes": round((time.monotonic() - started) / 60, 1),
    }


def applied(tier: Tier) -> Calibration:
    """What a member of ours puts on its raw log-odds."""
    found: Calibration = tier.calibration  # type: ignore[attr-defined] # all that are cross-fitted have one
    return found


def timed(tiers: Sequence[Tier], data: Path) -> list[float]:
    """Mean CPU milliseconds of each served member on a few training images."""
    examples = read(data, "train")
    heard = listen(tiers, examples[:: max(1, len(examples) // TIMED)])
    return [round(each, 2) for each in heard.cost_ms.mean(axis=0).tolist()]


def compare(heard: Heard, fusions: Fusions) -> list[Figures]:
    """Each member alone and each fusion of them all, out of fold."""
    alone = [(name, heard.rows.log_odds[:, index]) for index, name in enumerate(heard.rows.members)]
    fused = [(f"{kind}, all members", said) for kind, said in fusions.choice.said.items()]
    return [figures(name, heard.answers(scores)) for name, scores in (*alone, *fused)]


def margin(heard: Heard, fusions: Fusions, costs: Sequence[float]) -> dict[str, Any]:
    """The band of the simplest deferral that is `CHEAPER` times cheaper than everybody, or as near to that as
    the first member lets it come, and what it loses."""
    rows = heard.rows
    budget = max(sum(costs) / CHEAPER, costs[0] + TENTH * sum(costs[1:]))
    band = widest(fusions.prefixes, rows.roadwork, costs, budget)
    found = leave(fusions.prefixes, band)
    loss, interval = difference(heard.answers(found.scores), heard.answers(fusions.prefixes[:, -1]))
    spent = by_class(found.cost_ms(np.array(costs)), rows.roadwork)
    return {
        "band": band,
        "budget_ms": budget,
        "cost_ms": spent,
        "mcc_over_all": loss,
        "mcc_over_all_95": interval,
    }


def deferral(
    folder: Path, heard: Heard, fusions: Fusions, costs: Sequence[float], banded: dict[str, Any], seed: int
) -> list[Tried]:
    """Learned deferral at the band's cost; the best goes into its file, with what it does against the band.
    Whether it is used is for `cascade.json` to say."""
    answers = heard.answers(leave(fusions.prefixes, banded["band"]).scores)
    tried, best = try_out(heard, fusions.choice.fitted, costs, answers, banded["cost_ms"], seed)
    for each in tried:
        low, high = each.over_band_95
        say(f"deferral by {each.kind}: MCC {each.over_band:+.3f} [{low:+.3f} {high:+.3f}] over the band")
    best.save(folder / DEFERRAL)
    return tried


def write(folder: Path, fusions: Fusions, certificate: Certificate, members: Sequence[str]) -> None:
    """All files but the record."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = fusions.choice.fitted
    save(chosen, folder / FUSION)
    for kind, fitted in fusions.fitted.items():
        if kind != chosen.kind:
            save(fitted, folder / "rivals" / f"{kind}.json")
    certificate.save(folder / CERTIFICATE)
    content = {
        "name": NAME,
        "tiers": [{"kind": name} for name in members],
        "fusion": FUSION,
        "certificate": CERTIFICATE,
        "deferral": None,
        "audit": AUDIT,
    }
    (folder / FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def _member(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if name not in LOADERS or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{text}: KIND=FILE.npz, KIND one of {', '.join(LOADERS)}")
    return name, Path(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.learn.cascade", description=__doc__)
    parser.add_argument(
        "members", nargs="+", type=_member, help="KIND=FILE.npz, cheap to dear: answers out of fold"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--out", type=Path, default=CASCADE, help="folder of the cascade")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
