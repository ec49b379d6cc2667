"""One decision from what the tiers said: log-odds add up; a tier that is absent adds nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable

from models.calibration import clamp
from models.core import Evidence


def fuse(evidence: Iterable[Evidence]) -> float | None:
    """The fused log-odds, finite, or None when nobody has spoken.

    Each term is clamped before the sum, so extremes cannot overflow; what is not a number counts as absent.
    """
    heard = [clamp(item.log_odds) for item in evidence if not math.isnan(item.log_odds)]
    return clamp(math.fsum(heard)) if heard else None
