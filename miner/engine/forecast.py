"""How long judging takes, learned while judging; and from that, whether one more request can be answered in
time.

`Learner` lives beside the model and watches its batches; `Forecast` is its opinion in six numbers, small
enough to travel to the front, where `Book` holds it against everything that was admitted and is not answered
yet."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from miner.engine.interface import Shed

EFFICIENT = 0.97
"""A batch need not be larger than what gives this part of the best images per second."""

LONGEST_BATCH_S = 1.0
"""Nor should it take longer than this: newcomers wait for it, and a crash repeats it."""

BUSY = 0.95
"""From this part of what preferred batches can carry on, batches are as full as they may be: that shortens
the p95 just below capacity and wins the last 3 % of throughput above it. Lower, a model that gains little by
batching would lose by it (`python bench/batching.py`)."""

WORTH = 1.01
"""Unless that carries hardly more."""

TRY_EVERY, TRIED = 16, 4
"""One batch of so many may be so many times as large as it is thought to need: what nobody tries stays
unknown. At the start larger batches look slow, since their memory is new, and they would stay small."""

RATE_S = 10.0
"""Arrivals of about this many seconds make up the rate."""

LEAST_KNOWN = 0.1
"""The part of them that must have been seen before there is a rate: a second's."""

RESERVE = 0.35
"""Part of the time until its deadline that a request behind others must have left over, for what nobody
foresees (a crash repeats a batch, a neighbour takes the CPU). It costs no throughput: whoever sheds early
still has a queue."""

UNKNOWN_HIGH = 1.5
UNKNOWN_DECODE_S = 0.002
"""What is assumed before anything was measured."""

_FADE = 0.5 ** (1 / 32)
"""Weight of a batch size that was last seen one batch ago; a half after 32."""

_NEWS = 0.2
_WINDOW = 64
_QUANTILE = 0.9


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds of a batch of n images: `(a + b n)` on average, times `high` when it must not be
    underestimated.

    `decode` seconds of one image's decoding and preparing, done by `decoders` threads; `batch` preferred
    images per batch."""

    a: float = 0.0
    b: float = 0.05
    high: float = UNKNOWN_HIGH
    decode: float = UNKNOWN_DECODE_S
    decoders: int = 1
    batch: int = 1

    def cost(self, images: int) -> float:
        """Expected seconds of one batch."""
        return self.a + self.b * images

    def safe_cost(self, images: int) -> float:
        """Seconds that nine of ten batches stay under."""
        return self.high * (self.a + self.b * images)

    def backlog(self, images: int) -> float:
        """Cautious seconds until this many images are judged, the preferred number at a time, decoding
        meanwhile."""
        batches = -(-images // self.batch)
        judging = self.high * (self.a * batches + self.b * images)
        return max(judging, self.decode * images / self.decoders) + self.decode

    def fullest(self, most: int) -> int:
        """The largest batch of at most `most` that stays short; the preferred one if none larger does."""
        short = (n for n in range(most, self.batch, -1) if self.safe_cost(n) <= LONGEST_BATCH_S)
        return next(short, self.batch)

    def size(self, rate: float, most: int) -> int:
        """Most images of the next batch, where `rate` images arrive a second: that keeps the p95 lowest."""
        carried, full = self._rate(self.batch), self.fullest(most)
        worth = self._rate(full) > WORTH * carried
        return full if worth and rate > BUSY * carried else self.batch

    def _rate(self, images: int) -> float:
        """Images per second in batches of so many."""
        return images / max(1e-9, self.cost(images))

    @property
    def image_s(self) -> float:
        """Seconds per image at the preferred batch size."""
        return self.cost(self.batch) / self.batch


class Learner:
    """Watches batches of one tier. Not thread-safe: one thread observes; `forecast()` may be read by any.

    Per batch size an exponential average, and through these a least-squares line. In both, what was not seen
    lately fades; so one odd batch moves little and a machine that slows down is believed after a few."""

    def __init__(self, most: int, decoders: int = 1) -> None:
        self.most = most
        self._decoders = decoders
        self._mean: dict[int, float] = {}
        self._seen: dict[int, int] = {}
        self._count = 0
        self._ratios: deque[float] = deque(maxlen=_WINDOW)
        self._decode = UNKNOWN_DECODE_S
        self._forecast = Forecast(decoders=decoders)

    def forecast(self) -> Forecast:
        return self._forecast

    def size(self, rate: float) -> int:
        """Most images of the next batch, where `rate` images arrive a second: `Forecast.size`, or more when
        it is time to try and does not last too long."""
        forecast = self._forecast
        size = forecast.size(rate, self.most)
        trying = (self._count + 1) % TRY_EVERY == 0
        return max(size, min(TRIED * size, forecast.fullest(self.most))) if trying else size

    def decoded(self, seconds: float) -> None:
        """One image was decoded and prepared. Taken into the forecast with the next batch."""
        self._decode += _NEWS * (seconds - self._decode)

    def judged(self, images: int, seconds: float) -> None:
        """A batch of `images` >= 1 took this long (a clock may be too coarse to see any time at all)."""
        seconds = max(seconds, 1e-9)
        if self._mean:
            self._ratios.append(seconds / max(1e-9, self._forecast.cost(images)))
        old = self._mean.get(images, seconds)
        age = self._count - self._seen.get(images, self._count)
        self._mean[images] = old + max(_NEWS, 1.0 - _FADE**age) * (seconds - old)
        self._count += 1
        self._seen[images] = self._count
        self._forecast = self._fit()

    def _fit(self) -> Forecast:
        a, b = _line((n, s, _FADE ** (self._count - self._seen[n])) for n, s in self._mean.items())
        high = _high(self._ratios)
        return Forecast(a, b, high, self._decode, self._decoders, _preferred(a, b, high, self.most))


def _line(points: Iterable[tuple[int, float, float]]) -> tuple[float, float]:
    """The weighted least-squares (a, b) of s = a + b n with a, b >= 0, for (n, s, weight). One size only: all
    of it per image.

    It is fitted as s/n = a/n + b: times scatter in proportion to themselves, so that one slow large batch
    would otherwise outweigh all small ones."""
    triples = [(1 / n, s / n, w) for n, s, w in points]
    weight = sum(w for _, _, w in triples)
    mean_x = sum(w * x for x, _, w in triples) / weight
    mean_y = sum(w * y for _, y, w in triples) / weight
    spread = sum(w * (x - mean_x) ** 2 for x, _, w in triples)
    a = sum(w * (x - mean_x) * (y - mean_y) for x, y, w in triples) / spread if spread > 1e-12 else 0.0
    if a <= 0:
        return 0.0, mean_y
    if mean_y < a * mean_x:
        return mean_y / mean_x, 0.0
    return a, mean_y - a * mean_x


def _high(ratios: Iterable[float]) -> float:
    """What to multiply an expectation by so that nine of ten batches stay under it; within [1.05, 3]."""
    ordered = sorted(ratios)
    if not ordered:
        return UNKNOWN_HIGH
    return min(3.0, max(1.05, ordered[min(len(ordered) - 1, int(_QUANTILE * len(ordered)))]))


def _preferred(a: float, b: float, high: float, most: int) -> int:
    """The smallest batch with nearly the best throughput, as far as it stays short."""
    best = most / (a + b * most)
    for images in range(1, most + 1):
        if images / (a + b * images) >= EFFICIENT * best:
            return images
        if high * (a + b * (images + 1)) > LONGEST_BATCH_S:
            return images
    return most


class Arrivals:
    """How many images arrive a second, lately."""

    def __init__(self) -> None:
        self._weight, self._at = 0.0, -math.inf
        self._known = 0.0

    def came(self, now: float, images: int) -> None:
        fade = math.exp((self._at - now) / RATE_S)
        self._weight = self._weight * fade + images
        self._known = 1.0 - (1.0 - self._known) * fade if self._at > -math.inf else 0.0
        self._at = now

    def rate(self, now: float) -> float:
        """Falls by itself while nobody comes; 0 until there is a second of it."""
        fade = math.exp((self._at - now) / RATE_S)
        known = 1.0 - (1.0 - self._known) * fade
        return self._weight * fade / (RATE_S * known) if known > LEAST_KNOWN else 0.0


class Book:
    """Everything admitted and not answered yet, by deadline; decides whether one more fits.

    Served by deadline (which the queue guarantees where it matters), so a request waits for those due before
    it, and for one batch that may be running; those due after it must still make theirs."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._deadlines: list[float] = []
        self._beyond = 0

    def __len__(self) -> int:
        """Images outstanding."""
        return len(self._deadlines) + self._beyond

    def admit(self, forecast: Forecast, now: float, deadline: float, images: int) -> None:
        """Raises Shed, with "full" or "late", when the queue is full or somebody's deadline would be
        missed."""
        due = self._deadlines
        if len(self) + images > self._most:
            raise Shed("full")
        if not due:
            self._check(now + forecast.decode + forecast.safe_cost(images), deadline)
            return
        ahead = bisect_right(due, deadline)
        running = forecast.safe_cost(min(forecast.batch, len(due) - ahead)) if ahead < len(due) else 0.0
        start = now + running
        self._check(start + forecast.backlog(ahead + images), _reserved(now, deadline))
        for place in range(ahead, len(due)):
            self._check(start + forecast.backlog(place + 1 + images), _reserved(now, due[place]))

    def _check(self, finish: float, deadline: float) -> None:
        if finish > deadline:
            raise Shed("late")

    def add(self, deadline: float, images: int) -> None:
        for _ in range(images):
            insort(self._deadlines, deadline)

    def remove(self, deadline: float, images: int) -> None:
        """Raises ValueError when that was not added."""
        place = bisect_left(self._deadlines, deadline)
        if self._deadlines[place : place + images] != [deadline] * images:
            raise ValueError("no such request is in the book")
        del self._deadlines[place : place + images]

    def passed(self, deadline: float, images: int) -> None:
        """These are judged here and wait elsewhere: they take room, and nobody's time. Raises as `remove`."""
        self.remove(deadline, images)
        self._beyond += images

    def forget(self, images: int) -> None:
        """Those elsewhere are answered."""
        self._beyond -= images


def _reserved(now: float, deadline: float) -> float:
    return deadline - RESERVE * max(0.0, deadline - now)
