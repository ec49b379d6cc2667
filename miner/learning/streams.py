"""What is watched for drift: a few numbers of each challenge, and of each review, oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from miner.ledger import Judged
from models import audit
from models.recall import novelty

AUDIT, NOVELTY, CONFIDENCE, MISTAKES = "audit", "novelty", "confidence", "mistakes"
WORDS = {
    AUDIT: "audited early exits that were wrong",
    NOVELTY: "how unlike the reference pictures are",
    CONFIDENCE: "how sure the answers are",
    MISTAKES: "reviewed answers that were wrong",
}
WORSE = {AUDIT: 1, NOVELTY: 1, CONFIDENCE: -1, MISTAKES: 1}
"""Which way is bad: a stream that changes for the better is no alarm."""
MOST_SURE = 8.0


@dataclass(frozen=True, slots=True)
class Stream:
    """`values` oldest first, `at_ns` when each was asked."""

    values: tuple[float, ...]
    at_ns: tuple[int, ...]


def streams(answered: Sequence[Judged], truth: Mapping[str, bool]) -> dict[str, Stream]:
    """Of answered challenges, oldest first; `truth` the labels known by SHA-256."""
    rows: dict[str, list[tuple[float, int]]] = {name: [] for name in WORDS}
    for one in answered:
        for name, value in _values(one, truth):
            rows[name].append((value, one.at_ns))
    return {name: _stream(found) for name, found in rows.items() if found}


def _values(one: Judged, truth: Mapping[str, bool]) -> Iterable[tuple[str, float]]:
    if one.log_odds is None:
        return
    yield CONFIDENCE, min(abs(one.log_odds), MOST_SURE)
    strange, audited = novelty(one.notes), audit.read(one.notes)
    if strange is not None:
        yield NOVELTY, strange
    if audited is not None:
        yield AUDIT, float(audited.roadwork != (one.log_odds > 0))
    if one.sha256 in truth:
        yield MISTAKES, float(truth[one.sha256] != (one.log_odds > 0))


def _stream(found: Sequence[tuple[float, int]]) -> Stream:
    return Stream(tuple(value for value, _ in found), tuple(at for _, at in found))
