"""Which linear layers a conversion touches: those of the decoder's blocks, where nearly all weights are."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from models.compress.step import Step


def decoder_linears(model: nn.Module, step: Step) -> list[tuple[nn.Module, str, nn.Linear]]:
    """(parent, name, layer) of each linear layer within the decoder's blocks; embeddings, the vision encoder
    and the head stay as they are. Raises ValueError when there is none."""
    found = [each for layers in _blocks(model) for each in _linears(layers)]
    if not found:
        raise ValueError(f"{step}: this model has no linear layers in decoder blocks")
    return found


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    for module in model.modules():
        if hasattr(module, "layers") and hasattr(module, "embed_tokens"):
            yield module.layers  # type: ignore[misc] # a ModuleList


def _linears(layers: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for parent in layers.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Linear:
                yield parent, name, child
