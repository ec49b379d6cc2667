"""Members that are loaded when asked for: what has to make room, and how long loading takes at least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.residency.memory import Member
from models.residency.plan import Plan, place

READ = 3e9
"""Bytes per second of weights from a local NVMe disk to a GPU. An assumption; page cache is faster."""


@dataclass(frozen=True, slots=True)
class OnDemand:
    """`evicted` names who must stop meanwhile; `load_s` the least seconds from request to first answer;
    `refused` why it can never be loaded ("" when it can)."""

    member: Member
    evicted: tuple[str, ...]
    load_s: float
    refused: str = ""


def on_demand(member: Member, plan: Plan) -> OnDemand:
    """Whether `member` fits beside what is resident in `plan`, in place of some servers, or never.

    In-process members stay; servers leave one after the other, the last one asked in the cascade first."""
    residents = [placed.member for placed in plan.placements]
    servers = [each for each in reversed(residents) if each.served]
    load_s = member.model.weight_bytes(member.precision) / READ
    tried = place([*residents, member], plan.gpus)
    for count in range(len(servers) + 1):
        gone = servers[:count]
        tried = place([*_without(residents, gone), member], plan.gpus)
        if tried.fits:
            return OnDemand(member, tuple(each.model.name for each in gone), load_s)
    return OnDemand(member, (), load_s, tried.refused[0])


def _without(members: Sequence[Member], gone: Sequence[Member]) -> list[Member]:
    return [each for each in members if each not in gone]
