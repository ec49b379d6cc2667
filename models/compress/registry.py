"""Which methods there are: one line each. Light: the functions are imported when they are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from models.compress import counts

Kind = Literal["image", "prune", "inside", "cache", "evict", "attention", "contrast", "decode", "weights"]

PROPERTIES: Mapping[str, str] = {
    "neutral": "at `Method.neutral` logits of four tokens and more equal the dense ones, bit for bit",
    "first": "the first token's logits equal the dense ones at any ratio: only the cache is touched",
    "count": "as many visual tokens are kept as `Method.count` says, over all views",
    "permutes": "permuting the cameras permutes what is kept of each",
    "ordered": "the order of the views matters, by design",
    "appends": "a cache that is fed piece by piece stores the same as one fed at once",
    "lossless": "the greedy answer is the plain one, token by token",
    "elsewhere": "needs a GPU or a package of its own, and is refused with a sentence where that is missing",
    "trained": "needs training: on stock weights only its neutral setting makes sense",
}
"""What a method may declare, and what each word promises."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to compress.

    `kind`     what its function takes and gives: see `models.compress`.
    `where`    "module:function".
    `has`      its properties, of `PROPERTIES`.
    `ratio`    whether it is given a share to keep; `neutral` the share that changes nothing (None: no such).
    `options`  names of its own options.
    `needs`    "gaze": what the vision encoder attended to, where the model can tell.
    `against`  methods, kinds and options ("name=value") that it cannot go with.
    `count`    visual tokens kept: (tokens of each view, share) -> kept over all views.
    """

    kind: Kind
    where: str
    has: frozenset[str] = frozenset()
    ratio: bool = True
    neutral: float | None = 1.0
    options: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    against: frozenset[str] = frozenset()
    count: Callable[[Sequence[int], float], int] = counts.rounded

    def load(self) -> Any:
        """The function; imports its module, and so torch."""
        module, _, name = self.where.partition(":")
        return getattr(import_module(module), name)


def _of(*words: str) -> frozenset[str]:
    return frozenset(words)


_TOKENS = _of("neutral", "count", "permutes")
_FRAMES = _of("neutral", "count", "ordered")
_INSIDE = _of("neutral", "count")
_STORED = _of("first", "appends")
_FORGETS = _of("neutral", "first")
_RULES = _of("sinks", "recent")

METHODS: Mapping[str, Method] = {
    "uniform": Method("prune", "models.compress.tokens.uniform:choose", _TOKENS),
    "random": Method("prune", "models.compress.tokens.random:choose", _of("neutral", "count")),
    "divprune": Method("prune", "models.compress.tokens.divprune:choose", _TOKENS),
    "visionzip": Method(
        "prune", "models.compress.tokens.visionzip:choose", _TOKENS, options=_of("merge"), needs=_of("gaze")
    ),
    "evs": Method("prune", "models.compress.tokens.evs:choose", _FRAMES, count=counts.changed),
    "fastv": Method(
        "inside",
        "models.compress.tokens.fastv:create",
        _INSIDE,
        options=_of("layer"),
        against=_of("evict"),
        count=counts.whole,
    ),
    "downscale": Method(
        "image", "models.compress.tokens.downscale:shrink", _of("neutral"), count=counts.everything
    ),
    "nvfp4": Method(
        "cache", "models.compress.caches.nvfp4:create", _STORED, False, None, _of("scale", "packed")
    ),
    "fp8": Method("cache", "models.compress.caches.fp8:create", _STORED, False, None),
    "int4": Method("cache", "models.compress.caches.int4:create", _STORED, False, None, _of("group")),
    "purekv": Method(
        "evict",
        "models.compress.evict.purekv:create",
        _FORGETS,
        options=_RULES | _of("source", "lower", "window", "heads", "norm", "before"),
        count=counts.everything,
    ),
    "vatp": Method(
        "evict",
        "models.compress.evict.vatp:create",
        _FORGETS,
        options=_RULES | _of("window"),
        count=counts.everything,
    ),
    "snapkv": Method(
        "evict",
        "models.compress.evict.snapkv:create",
        _FORGETS,
        options=_RULES | _of("window", "pool"),
        count=counts.everything,
    ),
    "streaming": Method(
        "evict", "models.compress.evict.streaming:create", _FORGETS, options=_RULES, count=counts.everything
    ),
    "pvc": Method(
        "prune",
        "models.compress.pvc:choose",
        _FRAMES,
        options=_of("novelty", "merge", "count"),
        count=counts.shared,
    ),
    "luvc": Method("prune", "models.compress.luvc:choose", _TOKENS, options=_of("count")),
    "luvc_stages": Method(
        "inside",
        "models.compress.luvc:create",
        _of("neutral"),
        options=_of("cutoff", "score"),
        against=_of("evict"),
        count=counts.everything,
    ),
    "vasparse": Method(
        "evict",
        "models.compress.vasparse:create",
        _FORGETS,
        options=_RULES | _of("weight"),
        count=counts.everything,
    ),
    "vasparse_contrast": Method(
        "contrast",
        "models.compress.vasparse:adjust",
        _of(),
        False,
        None,
        _of("alpha"),
        count=counts.everything,
    ),
    "pmod": Method(
        "weights",
        "models.compress.pmod:convert",
        _of("trained"),
        False,
        None,
        _of("routers"),
        against=_of("inside", "evict", "luvc", "pvc"),
        count=counts.everything,
    ),
    "hilbert": Method(
        "weights",
        "models.compress.towers:along_curve",
        _of("neutral", "trained"),
        options=_of("kind", "backend"),
        against=_of("biformer"),
        count=counts.everything,
    ),
    "biformer": Method(
        "weights",
        "models.compress.towers:by_regions",
        _of("neutral", "trained"),
        options=_of("regions"),
        count=counts.everything,
    ),
    "specvlm": Method(
        "decode",
        "models.compress.speculative.drafts:generate",
        _of("neutral", "lossless"),
        options=_of("draft", "table", "gamma"),
        count=counts.everything,
    ),
    "flash": Method(
        "attention",
        "models.compress.flash:create",
        _of("elsewhere"),
        False,
        None,
        _of("version"),
        count=counts.everything,
    ),
    "multiview": Method(
        "attention",
        "models.compress.crossview:multiview",
        _of(),
        False,
        None,
        against=_of("inside", "before=true"),
        count=counts.everything,
    ),
    "spatial_temporal": Method(
        "attention",
        "models.compress.crossview:spatial_temporal",
        _of(),
        False,
        None,
        against=_of("inside", "prune", "before=true"),
        count=counts.everything,
    ),
    "int4fp8": Method(
        "weights",
        "models.compress.weights.int4fp8:convert",
        _of(),
        False,
        None,
        _of("group", "activations"),
        against=_of("torchao_int8", "torchao_fp8"),
        count=counts.everything,
    ),
    "torchao_int8": Method(
        "weights",
        "models.compress.weights.torchao:int8",
        _of("elsewhere"),
        False,
        None,
        _of("kind"),
        against=_of("torchao_fp8"),
        count=counts.everything,
    ),
    "torchao_fp8": Method(
        "weights",
        "models.compress.weights.torchao:fp8",
        _of("elsewhere"),
        False,
        None,
        _of("kind"),
        count=counts.everything,
    ),
    "apt": Method(
        "weights",
        "models.compress.apt.tower:convert",
        _of(),
        False,
        None,
        _of("fine", "coarse", "colour", "strict"),
        against=_of("hilbert", "biformer"),
        count=counts.everything,
    ),
}
