"""Fewer tokens, smaller caches, faster attention: methods, one file each, and the steps that use them.

A *step* is a method with its numbers, written as one line of text: "divprune 0.5", "nvfp4", "purekv 0.2
before=true". `parse` reads one, `plan` reads a list and checks that its steps go together, and with a model.

How to add a method
===================
One file with one function (or class), and one line in `registry.METHODS`:

    "divprune": Method("prune", "models.compress.tokens.divprune:choose", has=_TOKENS),

What the function takes and gives is fixed by its kind. Every one is handed its `Step`: `step.ratio` the share
that is KEPT, in (0, 1]; `step.seed`; `step.options`. The types are in `models.compress.interface`.

image       shrink(image: PIL, step) -> PIL
            before the model's own preprocessing
prune       choose(views: Sequence[View], step) -> list[Kept]
            once a request, before the language model; all its views in order, so budgets may differ by view
inside      create(step, layers: int, least: int) -> Inside
            `Inside.at(layer, ...)` before a decoder layer: the visual tokens that go on (FastV, LUVC's
            stages); `least` the first layer where tokens may go (later where DeepStack adds to early ones)
cache       create(step, layers: int) -> transformers.Cache
            one a batch; its layers take `update`, `retain` and tell `stored_bytes` (`interface.Stored`)
evict       create(step, layers: int) -> Evictor
            `Evictor.keep(...)` in a layer's attention at prefill: what of its keys and values stays
attention   create(step) -> Attend
            in the place of scaled_dot_product_attention in the language model
contrast    adjust(logits, last, head, step) -> Tensor
            changes logits [B, words]; `last` [B, d] input embeddings of the last token; `head` gives logits
decode      generate(reader: Reader, most: int, step) -> list[int]
            greedy continuation of one prefilled prompt, end mark included
weights     convert(model: nn.Module, step) -> None
            once, when the model is loaded, in place: weights, routers, patches, anything with modules

Fixed rules
===========
* `Kept.index` is int64, strictly increasing, within its view; the first view's is not empty. Text is never
  in a method's hands.
* What is kept keeps its position: the frame slices position ids by the same index. What was merged counts for
  `Kept.sizes` tokens in every layer's attention, to the last word of the answer; without sizes for one.
* At `Method.neutral` the result equals the dense model's bit for bit; None: there is no such setting.
* Nothing in here is random but by `step.seed`; ties go to the smaller index.
* A method that does not fit a model or a setting raises ValueError with a sentence.
* A batch holds prompts of equal length and equal views (callers group them), so no padding is ever seen.

Which properties a method has is said in its line (`Method.has`, words of `registry.PROPERTIES`); the test
`tests/models/compress/test_compress_catalogue.py` runs exactly those, and those that none may lack.

Importing this package costs nothing: torch is imported when a step is put to use (`Method.load`).
"""

from __future__ import annotations

from models.compress.plan import plan
from models.compress.registry import METHODS, PROPERTIES, Method
from models.compress.step import Step, parse

__all__ = ["METHODS", "PROPERTIES", "Method", "Step", "parse", "plan"]
