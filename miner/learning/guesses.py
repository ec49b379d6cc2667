"""Labels that nobody gave, into the ledger: where members of three families agree, are sure, and audits bear
them out. The rule is `models.learn.adaptation.pseudo`; here is what it is asked about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from miner.capture.policy import AUDIT
from miner.ledger import Ledger
from miner.ledger.kept import Kept, kept
from miner.ledger.labels import NONE, PSEUDO, ROADWORK, Label, agreed, by_picture, guessed, labels

if TYPE_CHECKING:
    from models.learn.adaptation.items import Item
    from models.learn.adaptation.pseudo import Audited, Guess

FAMILIES = {
    "classifier": "classifier",
    "regions": "detector",
    "detector": "detector",
    "small_vlm": "vlm",
    "vlm": "vlm",
    "vlm_inprocess": "vlm",
    "arbiter": "vlm",
}
"""Kind of member -> what it was made from. A kind that is not here looks with another one's eyes."""
WAIT_S = 30.0


class Guesser:
    """`kinds` gives tier name -> kind of member as the cascade is now; `reviewers` who must agree on a true
    label."""

    def __init__(self, ledger: Ledger, kinds: Callable[[], Mapping[str, str]], *, reviewers: int = 1) -> None:
        self._ledger, self._kinds, self._reviewers = ledger, kinds, reviewers

    def guess(self) -> str:
        """Put the labels that may be believed today in the place of yesterday's; a sentence. Blocks. Raises
        LedgerUnreadable, TimeoutError, or what the ledger's disk does."""
        from models.learn.adaptation.pseudo import admit

        given, rows = by_picture(labels(self._ledger.path)), kept(self._ledger.path)
        truth = _truth(given, self._reviewers)
        kinds = self._kinds()
        guesses = {row.sha256: one for row in rows if (one := guess(row, kinds)) is not None}
        audited = (row for row in rows if row.sha256 in truth and AUDIT in row.reason.split(","))
        audits = audits_of(
            (guesses[row.sha256], truth[row.sha256]) for row in audited if row.sha256 in guesses
        )
        seen = {name for name, said in given.items() if any(one.source != PSEUDO for one in said)}
        free = [one for name, one in guesses.items() if name not in seen and not one.item.held]
        true = [_item(name, roadwork) for name, roadwork in truth.items()]
        found = {one.key: ROADWORK if one.roadwork else NONE for one in admit(free, audits, true)}
        new, gone = self._ledger.run(guessed(found)).result(WAIT_S)
        return f"{len(found)} of {len(free)} pictures on which all agree are believed: {new} new, {gone} gone"


def guess(row: Kept, kinds: Mapping[str, str]) -> Guess | None:
    """What the families say of a kept picture; None unless they agree on it. Its stratum is the answer and
    who gave it: audits vouch for these versions only."""
    from models.learn.adaptation.pseudo import Guess

    data = row.data
    said: dict[str, float] = {}
    for tier, log_odds in data.get("evidence", {}).items():
        family = FAMILIES.get(kinds.get(tier, ""))
        if family is not None:
            said[family] = _doubtful(said.get(family), float(log_odds))
    found = Guess(_item(row.sha256, False), said, "")
    if found.label is None:
        return None
    versions = sorted(f"{tier}:{name}" for tier, name in data.get("versions", {}).items() if tier in kinds)
    stratum = " ".join([ROADWORK if found.label else NONE, *versions])
    return Guess(found.item, said, stratum)


def audits_of(pairs: Iterable[tuple[Guess, bool]]) -> dict[str, Audited]:
    """Stratum -> what persons said of its pictures that were kept at random."""
    from models.learn.adaptation.pseudo import Audited

    images: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for one, truth in pairs:
        images[one.stratum] += 1
        wrong[one.stratum] += one.label != truth
    return {name: Audited(count, wrong[name]) for name, count in images.items()}


def _doubtful(before: float | None, now: float) -> float:
    """Of two members of one family, the one that is less sure; 0 when they contradict each other."""
    if before is None:
        return now
    return min(before, now, key=abs) if before * now > 0 else 0.0


def _truth(given: Mapping[str, list[Label]], reviewers: int) -> dict[str, bool]:
    found = ((name, agreed(said, reviewers)) for name, said in given.items())
    return {name: one.label == ROADWORK for name, one in found if one is not None and one.source != PSEUDO}


def _item(sha256: str, roadwork: bool) -> Item:
    from models.learn.adaptation.items import Item

    return Item(sha256, Path(sha256), roadwork)
