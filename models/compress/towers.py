"""Attention of a VLM's vision encoder by other patterns: the steps "hilbert" and "biformer".

Both are of the kind weights: the encoder's configuration says which function attends, and how. Encoders whose
tokens are one square grid without a class token, all attending to all, are taken; others are refused.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from models.compress import biformer, hilbert
from models.compress.counts import part
from models.compress.step import Step

HILBERT, BIFORMER = "streetvision_hilbert", "streetvision_biformer"
ENCODERS = ("siglip_vision_model", "smolvlm_vision", "idefics3_vision")


def along_curve(model: nn.Module, step: Step) -> None:
    """ "hilbert SHARE [kind=neighbours|window] [backend=blocks|flex]": each token looks at about that share,
    along the curve."""
    kind, backend = step.word("kind", ("neighbours", "window")), step.word("backend", ("blocks", "flex"))
    for config in _encoders(model, step):
        config.streetvision_pattern = (kind, step.kept, backend)
        _use(config, HILBERT, _hilbert)


def by_regions(model: nn.Module, step: Step) -> None:
    """ "biformer SHARE [regions=4]": each region's tokens look at that share of the regions."""
    regions = step.whole("regions", 4)
    for config in _encoders(model, step):
        side = config.image_size // config.patch_size
        biformer.check((side, side), regions, part(regions**2, step.kept))
        config.streetvision_regions = (regions, part(regions**2, step.kept))
        _use(config, BIFORMER, _biformer)


def _encoders(model: nn.Module, step: Step) -> list[Any]:
    found = {
        id(module.config): module.config
        for module in model.modules()
        if getattr(getattr(module, "config", None), "model_type", None) in ENCODERS
    }
    if not found:
        raise ValueError(f"'{step}' takes encoders of the kinds {', '.join(ENCODERS)}; this model has none")
    return list(found.values())


def _use(config: Any, name: str, function: Any) -> None:
    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, sdpa_mask)
    config._attn_implementation = name


def _hilbert(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    kind, share, backend = module.config.streetvision_pattern
    tokens, side = query.shape[2], _side(query)
    reach = tokens if share == 1 else part(tokens, share if kind == "window" else share / 2)
    if reach >= tokens or _masks(attention_mask):
        return _plain(module, query, key, value, attention_mask, kwargs)
    pattern = hilbert.Pattern(kind, reach)
    scale = kwargs.get("scaling")
    found = hilbert.attend(query, key, value, (side, side), pattern, backend, scale=scale)
    return found.transpose(1, 2), None


def _biformer(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    regions, top = module.config.streetvision_regions
    if top == regions**2 or _masks(attention_mask):
        return _plain(module, query, key, value, attention_mask, kwargs)
    side = _side(query)
    scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
    return biformer.attend(query, key, value, (side, side), regions, top, scale).transpose(1, 2), None


def _plain(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, kwargs: dict[str, Any]
) -> tuple[Tensor, None]:
    said: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, mask, **kwargs)
    return said


def _masks(mask: Tensor | None) -> bool:
    """Whether a mask hides anything: padded pictures attend as the model has it."""
    return mask is not None and not (mask.dtype == torch.bool and bool(mask.all()))


def _side(states: Tensor) -> int:
    side = int(states.shape[2] ** 0.5 + 0.5)
    if side * side != states.shape[2]:
        raise ValueError(f"{states.shape[2]} tokens of a picture are no square grid")
    return side
