"""What fits where: GPUs, memory by parts, placements, roofline times, launch commands.

Pure functions over plain dataclasses; no settings, no torch. GB are 10^9 bytes throughout.
"""

from models.residency.gpus import GPU, GPUS, BadGPUs, Refusal, check_kv, check_weights, parse
from models.residency.memory import Member, Part, parts
from models.residency.plan import Placement, Plan, place

__all__ = [
    "GPU",
    "GPUS",
    "BadGPUs",
    "Member",
    "Part",
    "Placement",
    "Plan",
    "Refusal",
    "check_kv",
    "check_weights",
    "parse",
    "parts",
    "place",
]
