"""VLM members by server: one client per server, one member per way of asking it."""

from __future__ import annotations

from models.vlm.address import Address
from models.vlm.create import MEMBERS, ask_by, create_arbiter, create_member
from models.vlm.member import Absent, RemoteTier
from models.vlm.question import Question
from models.vlm.server import Server

__all__ = [
    "MEMBERS",
    "Absent",
    "Address",
    "Question",
    "RemoteTier",
    "Server",
    "ask_by",
    "create_arbiter",
    "create_member",
]
