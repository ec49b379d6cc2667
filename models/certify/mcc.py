"""Matthews' correlation at a deployed prior: exact from the two rates, and the worst a certificate allows."""

from __future__ import annotations

import math

from models.certify.certificate import Certificate


def mcc(tpr: float, tnr: float, prior: float) -> float:
    """(tpr + tnr - 1) sqrt(prior (1-prior) / (q (1-q))), q = prior tpr + (1-prior)(1-tnr) the share said yes.

    An identity for the confusion matrix in expectation. 0 where the answer or the label is constant.
    """
    said = prior * tpr + (1 - prior) * (1 - tnr)
    spread = said * (1 - said)
    return (tpr + tnr - 1) * math.sqrt(prior * (1 - prior) / spread) if spread > 0 else 0.0


def floor(certificate: Certificate, prior: float) -> tuple[float, float]:
    """(MCC of all members together, worst MCC of the certified cascade) at `prior`.

    MCC is no mean of losses and cannot be certified itself. TPR and TNR each fall by at most eps, and MCC
    rises in both, so the worst corner bounds it (where both together are better than chance). The rates of
    the full ensemble are those seen on the calibration data; only the fall is certified.
    """
    tnr, tpr = (side.right for side in certificate.sides)
    drop0, drop1 = (0.0, 0.0) if certificate.never else certificate.eps
    return mcc(tpr, tnr, prior), mcc(max(tpr - drop1, 0.0), max(tnr - drop0, 0.0), prior)


def promise(certificate: Certificate, prior: float) -> str:
    """`floor` in a sentence, for the operator."""
    whole, least = floor(certificate, prior)
    return (
        f"where {prior:.0%} of the questions show roadwork, MCC is {whole:.3f} with all members, as seen, "
        f"and at least {least:.3f} when leaving early"
    )
