"""Histograms filled a batch at a time: what prometheus-client does per observation, done per batch."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Buckets:
    """Counts of one label value. `bounds` ascending upper bounds, inclusive; whatever is above the last
    counts in one more bucket."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, values: Iterable[float]) -> None:
        """Written by one thread."""
        bounds, counts = self._bounds, self._counts
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            self._sum += value

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """(upper bound as text, observations up to it) in order, "+Inf" last; and the sum of all."""
        rows: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), tuple(self._counts), strict=True):
            total += count
            rows.append(("+Inf" if bound == float("inf") else str(bound), total))
        return rows, self._sum


class Distribution(Collector):
    """A histogram in the registry; `label` names its one label, "" for none."""

    def __init__(self, name: str, about: str, bounds: Sequence[float], label: str = "") -> None:
        self._name, self._about, self._bounds, self._label = name, about, bounds, label
        self._by_value: dict[str, Buckets] = {} if label else {"": Buckets(bounds)}

    def observe(self, values: Iterable[float], of: str = "") -> None:
        """Add `values`, all of the label's value `of`. Written by one thread."""
        found = self._by_value.get(of)
        if found is None:
            found = self._by_value[of] = Buckets(self._bounds)
        found.observe(values)

    def describe(self) -> Iterable[Metric]:
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        for value, buckets in self._by_value.copy().items():
            rows, total = buckets.cumulative()
            family.add_metric([value] if self._label else [], rows, total)
        yield family

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._name, self._about, labels=[self._label] if self._label else [])
