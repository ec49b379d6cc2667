"""`streetvision-miner publish` and `register`: nothing leaves this machine without a flag that says so."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from miner.identity import load_hotkey
from miner.publish import hub, natix
from miner.publish.card import Card
from miner.settings import Settings


def publish(
    settings: Settings,
    folder: Path,
    repo: str,
    *,
    version: str,
    name: str = "",
    description: str = "",
    private: bool = False,
    really: bool = False,
) -> dict[str, Any]:
    """The plan as plain JSON, with "commit" once it is done. Raises PublishError, IdentityError."""
    address = str(load_hotkey(settings.wallet).ss58_address)
    card = Card(name or repo.rpartition("/")[2], description, version, address, int(time.time()))
    planned = hub.plan(folder, repo, card, private=private)
    commit = hub.upload(planned, folder, hub.token_here()) if really else None
    return {**asdict(planned), "commit": commit}


def register(
    settings: Settings, uid: int, model_repo: str, *, server: str = natix.SERVER, really: bool = False
) -> dict[str, Any]:
    """The signed message, with the server's "reply" and "state" once it is posted. Raises PublishError or
    IdentityError."""
    signed = natix.sign(load_hotkey(settings.wallet), uid, model_repo)
    reply = natix.send(signed, server) if really else None
    state = natix.state(uid, server) if really else None
    return {"server": server, **asdict(signed), "reply": reply, "state": state}
