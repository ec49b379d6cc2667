"""Transformers detectors, closed set and open vocabulary, as functions from pixels to scores and boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.checkpoint import CheckpointError
from models.detector.framing import Framed
from models.detector.seen import Seen

NONE_LAST = {"detr", "yolos", "table-transformer"}
"""Model types whose classes exclude each other, with "nothing" as the last; elsewhere each is a yes or no."""

OPEN = {"owlv2", "owlvit", "grounding-dino", "mm-grounding-dino", "omdet-turbo"}
"""Model types that look for what they are told."""

Output = tuple[torch.Tensor, torch.Tensor]
"""Scores (batch, queries, classes) in [0, 1], boxes (batch, queries, 4): middle and size in [0, 1]."""
Forward = Callable[[torch.Tensor], Output]


def run(forward: Forward, columns: Sequence[int], device: str) -> Callable[[Sequence[Framed]], list[Seen]]:
    """`columns`: indices of the watched classes among the network's."""

    def network(batch: Sequence[Framed]) -> list[Seen]:
        pixels = torch.from_numpy(np.stack([each.pixels for each in batch])).to(device)
        with torch.inference_mode():
            scores, boxes = forward(pixels)
        chosen = scores[:, :, list(columns)].double().cpu().numpy()
        middle, size = boxes.double().cpu().numpy()[..., :2], boxes.double().cpu().numpy()[..., 2:]
        edges = np.concatenate([middle - size / 2, middle + size / 2], axis=-1)
        return [Seen(each, where) for each, where in zip(chosen, edges, strict=True)]

    return network


def closed(model: nn.Module, config: Any) -> Forward:
    """A network with classes of its own."""

    def forward(pixels: torch.Tensor) -> Output:
        out = model(pixel_values=pixels)
        if config.model_type in NONE_LAST:
            return out.logits.softmax(-1)[..., :-1], out.pred_boxes
        return out.logits.sigmoid(), out.pred_boxes

    return forward


def open_vocabulary(model: nn.Module, config: Any, folder: Path, prompts: Sequence[str]) -> Forward:
    """A network asked for `prompts`, which are tokenised once."""
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} has no tokenizer that reads prompts: {error}") from error
    device = next(model.parameters()).device
    if config.model_type.startswith("owl"):
        return _owl(model, config, tokenizer, prompts, device)
    if config.model_type == "omdet-turbo":
        return _omdet(model, tokenizer, prompts, device)
    return _grounding(model, config, tokenizer, prompts, device)


def _owl(model: nn.Module, config: Any, tokenizer: Any, prompts: Sequence[str], device: Any) -> Forward:
    length = config.text_config.max_position_embeddings
    padding = {"padding": "max_length", "max_length": length, "truncation": True}
    ids = tokenizer(list(prompts), return_tensors="pt", **padding)
    queries, mask = ids["input_ids"].to(device), ids["attention_mask"].to(device)

    def forward(pixels: torch.Tensor) -> Output:
        times = (len(pixels), 1)
        out = model(pixel_values=pixels, input_ids=queries.repeat(times), attention_mask=mask.repeat(times))
        return out.logits.sigmoid(), out.pred_boxes

    return forward


def _omdet(model: nn.Module, tokenizer: Any, prompts: Sequence[str], device: Any) -> Forward:
    padding = {"padding": "max_length", "max_length": 77, "truncation": True, "return_tensors": "pt"}
    classes = tokenizer(list(prompts), **padding).to(device)
    task = tokenizer([f"Detect {', '.join(prompts)}."], **padding).to(device)

    def forward(pixels: torch.Tensor) -> Output:
        times = len(pixels)
        out = model(
            pixel_values=pixels,
            classes_input_ids=classes["input_ids"].repeat(times, 1),
            classes_attention_mask=classes["attention_mask"].repeat(times, 1),
            tasks_input_ids=task["input_ids"].repeat(times, 1),
            tasks_attention_mask=task["attention_mask"].repeat(times, 1),
            classes_structure=torch.full((times,), len(prompts), device=device),
        )
        return out.decoder_class_logits[..., : len(prompts)].sigmoid(), out.decoder_coord_logits

    return forward


def _grounding(model: nn.Module, config: Any, tokenizer: Any, prompts: Sequence[str], device: Any) -> Forward:
    """All prompts in one text, a full stop after each; a prompt's score is the largest of its tokens'."""
    text, spans = sentence(prompts)
    encoded = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    if len(offsets) > config.max_text_len:
        raise CheckpointError(
            f"the prompts take {len(offsets)} tokens; the network has {config.max_text_len}"
        )
    columns = [_tokens_of(span, offsets) for span in spans]
    words = {name: value.to(device) for name, value in encoded.items()}

    def forward(pixels: torch.Tensor) -> Output:
        given = {name: value.repeat(len(pixels), 1) for name, value in words.items()}
        out = model(pixel_values=pixels, **given)
        chances = out.logits.sigmoid()
        scores = [chances[..., tokens].amax(-1) for tokens in columns]
        return torch.stack(scores, dim=-1), out.pred_boxes

    return forward


def sentence(prompts: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """ "a cone. a drum." and from where to where in it each prompt goes."""
    text, spans = "", []
    for prompt in prompts:
        text += " " if text else ""
        spans.append((len(text), len(text) + len(prompt)))
        text += f"{prompt}."
    return text, spans


def _tokens_of(span: tuple[int, int], offsets: Sequence[Sequence[int]]) -> list[int]:
    first, last = span
    found = [index for index, (low, high) in enumerate(offsets) if low < high and low < last and high > first]
    if not found:
        raise CheckpointError("the tokenizer makes nothing of one of the prompts")
    return found
