"""How many visual tokens a share of them is: methods round differently, and name one of these."""

from __future__ import annotations

import math
from collections.abc import Sequence


def part(tokens: int, share: float) -> int:
    """A share of one view's tokens, rounded half up, at least one."""
    return max(1, math.floor(tokens * share + 0.5))


def rounded(sizes: Sequence[int], share: float) -> int:
    """Each view's share by itself (`part`)."""
    return sum(part(size, share) for size in sizes)


def everything(sizes: Sequence[int], share: float) -> int:
    """All of them: for methods that touch no visual token."""
    return sum(sizes)


def whole(sizes: Sequence[int], share: float) -> int:
    """A share of all views' tokens together (`part`)."""
    return part(sum(sizes), share)


def changed(sizes: Sequence[int], share: float) -> int:
    """The first of equally large frames, or the share of all rounded down, whichever is more."""
    return max(sizes[0], int(sum(sizes) * share))


def shared(sizes: Sequence[int], share: float) -> int:
    """A share of all views' tokens together, rounded down, but one of each view at least."""
    return max(len(sizes), int(sum(sizes) * share))
