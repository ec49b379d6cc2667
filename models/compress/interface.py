"""What methods are handed and what they give back. Light: torch only by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class View:
    """One picture as the language model is about to see it.

    `features`   [n, d] its visual tokens, projected, row by row from the upper left.
    `grid`       (rows, columns) with rows * columns == n; (1, n) where tokens do not lie on a grid.
    `attention`  [n] share of the vision encoder's attention that each token received (summed over heads, then
                 over the patches merged into it); None where the encoder was not watched.
    `keys`       [n, k] what tokens are compared by (the encoder's keys, mean over heads); None as above.
    `sizes`      [n] how many tokens each stands for, where a step before merged some; None: itself alone.
    """

    features: Tensor
    grid: tuple[int, int]
    attention: Tensor | None = None
    keys: Tensor | None = None
    sizes: Tensor | None = None


@dataclass(frozen=True)
class Kept:
    """What remains of a view: `index` [k] int64, strictly increasing; `features` [k, d] in their place (None:
    its own, unchanged); `sizes` [k] float32 how many tokens each is to count for (None: for one)."""

    index: Tensor
    features: Tensor | None = None
    sizes: Tensor | None = None


@dataclass(frozen=True)
class Marks:
    """Who is who in a prompt of `length` tokens, the same for every row of a batch.

    `visual`   [v] int64, strictly increasing: places of visual tokens, of all views in order.
    `views`    how many of them belong to each view.
    `grids`    (rows, columns) of each view BEFORE pruning.
    `origin`   [v] int64: each visual token's place within its view's grid, before pruning. What is pruned by
               content differs from row to row, and this is the first row's.
    """

    length: int
    visual: Tensor
    views: tuple[int, ...]
    grids: tuple[tuple[int, int], ...]
    origin: Tensor


class Inside(Protocol):
    """Drops visual tokens between decoder layers, at prefill.

    `watched`  layers whose attention of the last `window` queries it wants.
    """

    watched: frozenset[int]
    window: int

    def at(self, layer: int, hidden: Tensor, attention: Mapping[int, Tensor], place: Tensor) -> Tensor | None:
        """Before `layer`: which visual tokens go on from here: [B, k] int64, strictly increasing in each row,
        indices into the visual tokens that came this far (0..v-1); None for all of them. Rows may differ.

        `hidden` [B, N, d]; `attention` watched layer -> [B, H, window, N'] softmax weights of the layers run
        so far; `place` [B, v] where the visual tokens stand in `hidden`, and in the columns of the attention
        as long as none were dropped in between.
        """
        ...


class Evictor(Protocol):
    """Drops keys and values of a layer at prefill.

    `watched`, `window`  as of `Inside`.
    `before`  whether a layer's own attention already goes without them, which changes the first token;
              otherwise only later tokens do.
    """

    watched: frozenset[int]
    window: int
    before: bool

    def keep(
        self, layer: int, key: Tensor, value: Tensor, attention: Mapping[int, Tensor], marks: Marks
    ) -> Tensor | None:
        """[B, Hkv, m] int64, strictly increasing along m: the entries of this layer that stay; None for all.

        `key`, `value` [B, Hkv, N, d] after the position embedding; N == `marks.length`. Called layer by
        layer, `attention` holding the watched layers so far, this one included. Layer 0 must keep all:
        transformers counts positions by it.
        """
        ...


class Stored(Protocol):
    """What the frame asks of a cache's layers beside transformers' own `update` (whose first call returns the
    originals) and `crop(-n)`.

    A DynamicLayer needs neither: the frame slices its `keys` and `values` itself and counts their bytes.
    """

    @property
    def stored_bytes(self) -> int:
        """Bytes that the layer holds, of every tensor of it."""
        ...

    def retain(self, index: Tensor) -> None:
        """Keep of axis 2 what `index` [B, Hkv, m] names. What is stored of the kept is not changed."""
        ...


Attend = Callable[..., tuple[Any, Any]]
"""attend(module, query, key, value, attention_mask, **kwargs) -> ([B, N, H, d], None), as transformers'
AttentionInterface has it: query [B, H, N, d], key and value [B, Hkv, M, d] un-repeated."""


class Reader(Protocol):
    """A language model that has read a prompt (batch 1), for `decode` methods.

    `first` [words] logits after the prompt; `length` tokens its cache holds; `end` the tokens that end an
    answer; `prompt` the prompt's token ids, visual placeholders included.
    """

    first: Tensor
    end: frozenset[int]

    @property
    def prompt(self) -> Sequence[int]: ...

    @property
    def length(self) -> int: ...

    def extend(self, tokens: Sequence[int]) -> Tensor:
        """[t, words] logits after each of `tokens`, which the cache now holds too."""
        ...

    def crop(self, length: int) -> None:
        """Forget every token after the first `length`."""
        ...

    def draft(self, share: float, seed: int) -> Reader:
        """The same model over the same prompt with only `share` of its visual tokens: a cheap guesser."""
        ...
