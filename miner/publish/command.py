"""`streetvision-miner publish` and `register`: nothing leaves this machine without a flag that says so."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from miner.errors import OperatorError
from miner.identity import load_hotkey
from miner.publish import history, hub, natix
from miner.publish.card import Card, PublishError
from miner.settings import Settings


def publish(
    settings: Settings,
    folder: Path,
    repo: str,
    *,
    version: str,
    description: str = "",
    private: bool = False,
    really: bool = False,
) -> dict[str, Any]:
    """The plan as plain JSON, with "commit" once it is done. Raises PublishError, IdentityError."""
    address = str(load_hotkey(settings.wallet).ss58_address)
    card = Card(repo.rpartition("/")[2], description, version, address, int(time.time()))
    planned = hub.plan(folder, repo, card, private=private)
    commit = hub.upload(planned, folder, hub.token_here()) if really else None
    if commit is not None:
        _note(settings.data.path, planned, commit)
    return {**asdict(planned), "commit": commit}


def _note(data: Path, planned: hub.Plan, commit: str) -> None:
    try:
        history.note(data, planned, commit)
    except OSError as error:
        raise OperatorError(
            f"published as {commit}, but the reminder of its age will not know: {error}"
        ) from error


def register(
    settings: Settings, uid: int, model_repo: str, *, server: str = natix.SERVER, really: bool = False
) -> dict[str, Any]:
    """The signed message, with the server's "reply" and "state" once it is posted. Raises PublishError or
    IdentityError."""
    signed = natix.sign(load_hotkey(settings.wallet), uid, model_repo)
    reply = natix.send(signed, server) if really else None
    state = _state(uid, server) if really else None
    return {"server": server, **asdict(signed), "reply": reply, "state": state}


def _state(uid: int, server: str) -> str:
    """By now the registration is posted: what cannot be learned of it is no failure."""
    try:
        return natix.state(uid, server)
    except PublishError as error:
        return f"not known: {error}"
