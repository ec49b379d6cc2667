"""What a tier said about each view, as one word about the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models.calibration import clamp
from models.core import Evidence


def together(views: Sequence[Evidence]) -> Evidence:
    """Means of the log-odds and of each feature over the views that have it; costs add up.

    With several views their log-odds are kept as the features "view0", "view1" and so on, for fusions that
    look at cameras one by one. The means do not depend on the order of the views, to the last bit. One or
    more views; raises ValueError for none.
    """
    if not views:
        raise ValueError("no view was judged")
    if len(views) == 1:
        return views[0]
    features = {
        name: _mean([each.features[name] for each in views if name in each.features])
        for name in _names(views)
    }
    return replace(
        views[0],
        log_odds=clamp(_mean([each.log_odds for each in views])),
        cost_ms=sum(each.cost_ms for each in views),
        features=features | {f"view{index}": each.log_odds for index, each in enumerate(views)},
        boxes=tuple(replace(box, view=index) for index, each in enumerate(views) for box in each.boxes),
    )


def _names(views: Sequence[Evidence]) -> list[str]:
    return list(dict.fromkeys(name for each in views for name in each.features))


def _mean(values: list[float]) -> float:
    return sum(sorted(values)) / len(values)
