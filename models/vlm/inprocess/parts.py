"""The pieces of a transformers image-text-to-text model that reading a prompt takes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.compress.attention import install
from models.compress.plan import Offer
from models.vlm.inprocess.gaze import gazing, of_tokens, ready


@dataclass(frozen=True)
class Seen:
    """A picture's visual tokens: `features` [n, d]; `grid` (rows, columns), n of them; `deep` more features
    [n, d] that are added to the first decoder layers' outputs (DeepStack); `thw` its grid as the model
    counts it; `attention`, `keys` as of `models.compress.interface.View`."""

    features: Tensor
    grid: tuple[int, int]
    deep: tuple[Tensor, ...] = ()
    thw: Tensor | None = None
    attention: Tensor | None = None
    keys: Tensor | None = None


class Parts:
    """`model` is transformers' ForConditionalGeneration. Its attention is set to
    `models.compress.attention`'s.

    Raises ValueError with a sentence for a model that does not read pictures as tokens of its sequence.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._inner: Any = getattr(model, "model", model)
        self.decoder: Any = _decoder(model)
        self.head: Callable[[Tensor], Tensor] = model.get_output_embeddings()  # type: ignore[operator]
        self.embed: Callable[[Tensor], Tensor] = model.get_input_embeddings()  # type: ignore[operator]
        self.type = str(model.config.model_type)  # type: ignore[union-attr]
        if self.decoder is None or not hasattr(self._inner, "get_image_features"):
            raise ValueError(
                f"{self.type} does not read pictures as tokens of its sequence: have a VLM server serve it"
            )
        self._asked = inspect.signature(self._inner.get_image_features).parameters
        install(self.decoder)
        self._blocks: int | None = None

    def watch(self) -> None:
        """Note what the encoder attends to from now on, as far as it can be told: not where all pictures go
        through it in one row."""
        if "image_grid_thw" in self._asked:
            return
        self._blocks = ready(getattr(self._inner, "vision_tower", getattr(self._inner, "vision_model", None)))

    @property
    def config(self) -> Any:
        return self.model.config

    @property
    def image_token(self) -> int:
        """Id of the token that stands for a visual one."""
        for name in ("image_token_id", "image_token_index"):
            if getattr(self.config, name, None) is not None:
                return int(getattr(self.config, name))
        raise ValueError(f"{self.type} has no token that stands for a picture's")

    @property
    def deep(self) -> int:
        """Decoder layers that DeepStack adds features to."""
        vision = getattr(self.config, "vision_config", None)
        return len(getattr(vision, "deepstack_visual_indexes", None) or ())

    @property
    def plain(self) -> bool:
        """Whether all layers attend to everything before."""
        return not _refused(self.decoder.config)

    @property
    def layers(self) -> int:
        return len(self.decoder.layers)

    def offer(self) -> Offer:
        text = self.decoder.config
        head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        return Offer(self.type, head_dim=head, refuses=_refused(text))

    def look(self, inputs: Sequence[Mapping[str, Tensor]]) -> list[Seen]:
        """What pictures, prepared one by one by the model's image processor, are to the language model.

        Pictures of one size go through the encoder together.
        """
        found: list[Seen | None] = [None] * len(inputs)
        groups: dict[Any, list[int]] = {}
        for number, one in enumerate(inputs):
            shape = tuple((name, tuple(part.shape[1:])) for name, part in sorted(one.items()))
            groups.setdefault(shape, []).append(number)
        for numbers in groups.values():
            for number, seen in zip(numbers, self._look([inputs[n] for n in numbers]), strict=True):
                found[number] = seen
        return [seen for seen in found if seen is not None]

    def _look(self, inputs: Sequence[Mapping[str, Tensor]]) -> list[Seen]:
        together = {
            name: torch.cat([one[name] for one in inputs]) for name in inputs[0] if name in self._asked
        }
        with gazing(self._blocks) as gaze:
            found = self._inner.get_image_features(**together)
        features = _listed(self._projected(found), len(inputs))
        deep = [_listed(one, len(inputs)) for one in getattr(found, "deepstack_features", None) or ()]
        thw = together.get("image_grid_thw")
        seen = _noted(gaze.seen if gaze else None, features)
        keys = _noted(gaze.keys if gaze else None, features)
        return [
            Seen(
                one,
                self._grid(len(one), None if thw is None else thw[number]),
                tuple(layer[number] for layer in deep),
                None if thw is None else thw[number],
                seen[number],
                keys[number],
            )
            for number, one in enumerate(features)
        ]

    def _projected(self, found: Any) -> Any:
        """The pictures' features as the language model takes them; some families project them only now."""
        pooled = getattr(found, "pooler_output", found)
        if pooled is None:
            return self._inner.multi_modal_projector(found.last_hidden_state)
        return pooled

    def _grid(self, tokens: int, thw: Tensor | None) -> tuple[int, int]:
        if thw is not None:
            merge = math.isqrt(int(thw.prod()) // tokens)  # a square of so many patches a side is a token
            return int(thw[0] * thw[1]) // merge, int(thw[2]) // merge
        side = round(tokens**0.5)
        return (side, side) if side * side == tokens else (1, tokens)

    def positions(self, ids: Tensor, thw: Sequence[Tensor | None]) -> Tensor:
        """Position ids [.., 1, N] of a prompt [N] with pictures of these grids."""
        if hasattr(self._inner, "get_rope_index"):
            grids = torch.stack([one for one in thw if one is not None])
            kinds = (ids == self.image_token).int()
            found: Tensor = self._inner.get_rope_index(
                ids[None], mm_token_type_ids=kinds[None], image_grid_thw=grids
            )[0]
            return found
        return torch.arange(len(ids), device=ids.device)[None]


def _decoder(model: nn.Module) -> nn.Module | None:
    """The text model: of the modules with `layers` and `embed_tokens`, the outermost."""
    for module in model.modules():
        if hasattr(module, "layers") and hasattr(module, "embed_tokens"):
            return module
    return None


def _listed(features: Any, count: int) -> list[Tensor]:
    """A picture's features each, of a list or of a tensor [pictures * k, n, d] or [pictures * n, d]."""
    if isinstance(features, Tensor):
        whole = features.reshape(count, -1, features.shape[-1])
        return list(whole)
    return [one.reshape(-1, one.shape[-1]) for one in features]


def _noted(patches: Tensor | None, features: Sequence[Tensor]) -> list[Tensor | None]:
    """What was noted, of each picture's tokens; None where there is nothing, or a picture was seen in
    tiles."""
    if patches is None or len(patches) != len(features):
        return [None] * len(features)
    return of_tokens(patches, len(features[0]))


def _refused(text: Any) -> tuple[tuple[str, str], ...]:
    """What a decoder with windows or chunks of attention cannot take."""
    kinds = set(getattr(text, "layer_types", None) or ("full_attention",))
    if kinds == {"full_attention"}:
        return ()
    why = f"some of its layers attend by {', '.join(sorted(kinds - {'full_attention'}))}"
    return tuple((kind, why) for kind in ("inside", "evict", "cache"))
