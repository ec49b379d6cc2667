"""How a family of models writes a picture into its prompt, by transformers' `model_type`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """`mark` what the chat template writes for a picture; in its place go `before`, the picture's tokens,
    each of them `token`, and `after`. An empty `mark` or `token` is the model's own image token."""

    mark: str = ""
    before: str = ""
    after: str = ""
    token: str = ""


_QWEN = Family()  # its template writes the two tokens around the picture itself
_IDEFICS = Family(
    before="<fake_token_around_image><global-img>", after="<fake_token_around_image>", token="<image>"
)

FAMILIES: Mapping[str, Family] = {
    "qwen2_vl": _QWEN,
    "qwen2_5_vl": _QWEN,
    "qwen3_vl": _QWEN,
    "qwen3_vl_moe": _QWEN,
    "internvl": Family(before="<img>", after="</img>"),
    "llava_onevision": Family(),
    "llava": Family(),
    "smolvlm": _IDEFICS,
    "idefics3": _IDEFICS,
    "llama4": Family(mark="<|image|>", before="<|image_start|><|image|>", after="<|image_end|>"),
}
"""Any other family is tried with its own image token and nothing around it."""


def family(model_type: str) -> Family:
    return FAMILIES.get(model_type, Family())
