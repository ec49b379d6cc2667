"""Whole sets of members by name: what the original plan asked for, and what fits in its spirit.

The original plan put every tier it names on two 80 GB GPUs: the small models with the light and medium tiers
on the first, the heavy tier on the second. Its members are listed here as it names them, each at the smallest
precision of which a Hopper can serve a published checkpoint or quantise one while loading; `judge` holds them
against a GPU line by line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.catalog import Precision, find
from models.residency.gpus import GPU
from models.residency.memory import Member, parts, splits
from models.residency.plan import budget


@dataclass(frozen=True, slots=True)
class Preset:
    """`gpus` as `gpus.parse` reads it; `resident` and `on_demand` members; `why` in a sentence."""

    name: str
    gpus: str
    resident: tuple[Member, ...]
    on_demand: tuple[Member, ...] = ()
    why: str = ""


def _member(name: str, precision: Precision = "bf16", gpus: int = 1, kv: Precision = "bf16") -> Member:
    return Member(find(name), precision=precision, kv=kv, tensor_parallel=gpus)


SMALL = tuple(map(_member, ("roadwork-mobilenetv2", "rf-detr-base", "llmdet-tiny")))
"""The first tiers: they share the engine's own process."""
LIGHT_8, MEDIUM_32 = _member("qwen3-vl-8b", "fp8"), _member("qwen3-vl-32b", "fp8")
OTHER_38 = _member("internvl3.5-38b", "fp8")

FEASIBLE = (
    Preset("1x24", "1x24", (*SMALL, LIGHT_8), why="one light VLM beside the small models"),
    Preset("1x80", "1xH100-80", (*SMALL, LIGHT_8, MEDIUM_32), why="a light and a medium VLM, one family"),
    Preset(
        "1xH200", "1xH200", (*SMALL, LIGHT_8, MEDIUM_32, OTHER_38), why="a second family, for its own errors"
    ),
    Preset(
        "2xH100-80",
        "2xH100-80",
        (*SMALL, LIGHT_8, MEDIUM_32, OTHER_38),
        (_member("internvl3-78b", "fp8", 2),),
        why="as on one H200; a heavy model is loaded in place of the others when asked for",
    ),
    Preset(
        "8xH100",
        "8xH100-80",
        (*SMALL, LIGHT_8, MEDIUM_32, OTHER_38, _member("qwen3-vl-235b-a22b", "fp8", 4)),
        why="the heavy tier resident on four GPUs, the rest beside it",
    ),
)

ORIGINAL_FIRST = (
    *(_member(name) for name in ("roadwork-mobilenetv2", "rf-detr-base", "yolov12-x", "yolo-world-v2.1-l")),
    *(_member(name, "fp8") for name in ("qwen3-vl-4b", "qwen3-vl-8b", "minicpm-v-4.5", "molmo-7b-d")),
    *(_member(name, "fp8") for name in ("phi-4-multimodal", "qwen3-vl-32b", "deepseek-vl2")),
    _member("videollama3-7b"),
)
ORIGINAL_SECOND = tuple(
    _member(name, "fp8")
    for name in (
        "qwen3-vl-235b-a22b",
        "internvl3-78b",
        "llama-4-maverick",
        "llama-4-scout",
        "llama-3.2-90b-vision",
    )
)
ORIGINAL = {"original-gpu0": ORIGINAL_FIRST, "original-gpu1": ORIGINAL_SECOND}


@dataclass(frozen=True, slots=True)
class Line:
    """A member in its turn. Bytes on one GPU: `needs` its own, `before` of the lines kept above, `room` of
    the GPU. `kept` whether it stays; `sentence` says why not, and what would work."""

    member: Member
    needs: int
    before: int
    room: int
    kept: bool
    sentence: str


def judge(members: Sequence[Member], gpu: GPU) -> list[Line]:
    """Put members on one GPU in the order given; who does not fit is refused with the sum, the next tried."""
    lines: list[Line] = []
    before, room = 0, budget(gpu)
    for member in members:
        needs = sum(part.bytes for part in parts(member))
        kept = before + needs <= room
        lines.append(
            Line(member, needs, before, room, kept, "" if kept else _refusal(member, needs, before, room))
        )
        before += needs if kept else 0
    return lines


def _refusal(member: Member, needs: int, before: int, room: int) -> str:
    total = f"{before / 1e9:.1f} + {needs / 1e9:.1f} = {(before + needs) / 1e9:.1f} GB of {room / 1e9:.1f} GB"
    alone = "it fits on a GPU of its own" if needs <= room else _split(member, room)
    return f"{total}: refused; {alone}"


def _split(member: Member, room: int) -> str:
    """On how many GPUs of this room the member fits when it is alone there."""
    for gpus in (2, 4, 8, 16):
        if splits(member.model, gpus):
            shared = replace(member, tensor_parallel=gpus)
            each = sum(part.bytes for part in parts(shared))
            if each <= room:
                return f"alone it needs {gpus} such GPUs ({each / 1e9:.1f} GB on each)"
    return "no server here can spread it over such GPUs"
