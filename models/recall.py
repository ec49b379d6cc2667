"""What a memory says about one answer, and how far it may move it.

A member that remembers labelled look-alikes (`models.memory`) tells of them in its evidence; the answer is
corrected once, after the exit test, so that no certificate and no fusion depends on what is remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from models.core import Evidence

LABEL, TRUST, NOVELTY = "memory_label", "memory_trust", "novelty"
"""Features: the look-alikes' mean label in [-1, 1], how much they count in [0, 1), and how unlike the
reference the image is (mean squared z-score of its embedding; about 1 is usual)."""
TARGET = 2.0
"""Log-odds that a look-alike's label asks for: P = 0.88."""
CAP = 3.0
"""Most log-odds by which any memory moves an answer."""
_NOTE = "memory"


def correction(evidence: Iterable[Evidence], log_odds: float) -> float:
    """What to add to the fused `log_odds`: in [-CAP, CAP], 0 where nobody remembers, or where the answer
    already says what the look-alikes' label asks for.

    With their mean label y and trust a: y a max(0, TARGET - sign(y) log_odds).
    """
    for item in evidence:
        if TRUST in item.features:
            label, trust = item.features[LABEL], item.features[TRUST]
            short = max(0.0, TARGET - (log_odds if label > 0 else -log_odds))
            return min(max(label * trust * short, -CAP), CAP)
    return 0.0


def notes(evidence: Iterable[Evidence], correction: float) -> list[str]:
    """For a verdict: "memory:+0.80" where it was moved by that much, "novelty:1.3" if somebody measured."""
    moved = [f"{_NOTE}:{correction:+.2f}"] if correction else []
    strange = [f"{NOVELTY}:{item.features[NOVELTY]:.3g}" for item in evidence if NOVELTY in item.features]
    return [*moved, *strange[:1]]


def moved_by(notes: Sequence[str]) -> float:
    """By how much a memory moved the verdict with these notes, to two decimals; 0 where none did.

    What compares models subtracts it: a memory knows the labelled items by heart."""
    return _number(notes, _NOTE) or 0.0


def novelty(notes: Sequence[str]) -> float | None:
    """How unlike the reference the image of the verdict with these notes was, where somebody measured."""
    return _number(notes, NOVELTY)


def _number(notes: Sequence[str], kind: str) -> float | None:
    for note in notes:
        head, _, rest = note.partition(":")
        if head == kind:
            return float(rest)
    return None
