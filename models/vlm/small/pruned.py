"""The small VLM on part of its visual tokens: what compression does to its first word."""

from __future__ import annotations

import torch
from torch import Tensor

from models.vlm.small.layout import lay_out
from models.vlm.small.network import SmallNetwork
from models.vlm.small.words import PROMPT, TOKENS, encode


@torch.inference_mode()
def first_word(
    network: SmallNetwork, seen: Tensor, present: Tensor, kept: Tensor, sizes: Tensor | None = None
) -> Tensor:
    """(batch, words) logits of the answer's first word, from the visual tokens `kept` alone.

    `seen` (batch, views, tokens, width) as `network.look` gives them; `present` (batch, views) and `kept`
    (batch, views, tokens) bool. What is not kept is hidden from everybody, which is the same as leaving it
    out: the rest keeps its positions.
    `sizes` (batch, views, tokens): how many tokens each stands for; attention then counts it so often
    (proportional attention: log(size) added to its scores), so that merging equal tokens changes nothing.
    """
    batch, views, tokens, _ = seen.shape
    question, answer = encode(PROMPT), [TOKENS["<answer>"]]
    words = [network._embed(torch.tensor([each], device=seen.device)) for each in (question, answer)]
    asked, opened = (each.expand(batch, -1, -1) for each in words)
    layout = lay_out(present, len(question), tokens, len(answer))
    length = layout.mask.shape[-1]
    start, end = len(question), len(question) + views * tokens
    visible = torch.ones(batch, length, dtype=torch.bool, device=seen.device)
    visible[:, start:end] = kept.flatten(1)
    own = torch.eye(length, dtype=torch.bool, device=seen.device)  # nobody may look at nothing
    mask = layout.mask & (visible[:, None, None, :] | own)
    if sizes is not None:
        weight = torch.zeros(batch, length, device=seen.device)
        weight[:, start:end] = sizes.flatten(1).clamp(min=1).log()
        mask = torch.where(mask, weight[:, None, None, :], torch.finfo(seen.dtype).min)
    output = network.decoder(
        inputs_embeds=torch.cat([asked, seen.flatten(1, 2), opened], dim=1),
        attention_mask=mask,
        position_ids=layout.positions,
        logits_to_keep=1,
    )
    logits: Tensor = output.logits[:, -1]
    return logits
