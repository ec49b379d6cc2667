"""The least time that a request can take: arithmetic against the peak, weights against the bandwidth.

A bound, not a forecast: real servers reach a part of it. Attention's own arithmetic is left out: at some
hundred tokens it is small beside the matrices'.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.residency.gpus import GPU
from models.residency.memory import PROMPT_TOKENS, Member

MANY_TOKENS = 512
"""A prefill of this many tokens sends some to nearly every expert, so all weights are read."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """`alone_ms` of one request with nobody beside it; `busy_ms` a request's share when the GPU is full;
    `limit` what bounds the first: "arithmetic" or "weights"."""

    alone_ms: float
    busy_ms: float
    limit: str

    @property
    def per_second(self) -> float:
        """Requests per second at most."""
        return 1e3 / self.busy_ms


def roofline(member: Member, gpu: GPU) -> Roofline | None:
    """Of one request (all its views, one answer token) on `tensor_parallel` GPUs of this kind; None for
    members without a language tower: their arithmetic is not in the catalogue."""
    if member.model.text is None:
        return None
    gpus, peak = member.tensor_parallel, gpu.peaks[member.precision]
    seconds = _vision_flops(member) / (gpu.bf16 * gpus) + _text_flops(member) / (peak * gpus)
    reading = _bytes_read(member) / (gpu.bandwidth * gpus)
    steps = (member.answer - 1) * _step_bytes(member) / (gpu.bandwidth * gpus)
    return Roofline(
        alone_ms=(max(seconds, reading) + steps) * 1e3,
        busy_ms=seconds * 1e3,
        limit="arithmetic" if seconds >= reading else "weights",
    )


def _tokens(member: Member) -> int:
    """Prefilled: prompt and views. (The instruction's prefix is reused, which a bound may ignore.)"""
    return PROMPT_TOKENS + member.visual_tokens


def _text_flops(member: Member) -> float:
    """Two per active parameter and token; the vision tower is counted apart."""
    model = member.model
    return 2.0 * max(model.active - model.vision, 0) * _tokens(member)


def _vision_flops(member: Member) -> float:
    model = member.model
    return 2.0 * model.vision * member.visual_tokens * model.visual.patches


def _bytes_read(member: Member) -> float:
    """Of weights in one prefill: all of them, unless it is too short to reach every expert."""
    if _tokens(member) >= MANY_TOKENS:
        return float(member.model.weight_bytes(member.precision))
    share = _tokens(member) / MANY_TOKENS
    least, most = _step_bytes(member), member.model.weight_bytes(member.precision)
    return least + share * (most - least)


def _step_bytes(member: Member) -> float:
    """Of weights for one more answer token."""
    return float(member.model.active_bytes(member.precision))
