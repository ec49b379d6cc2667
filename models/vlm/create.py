"""Members from plain options, as a cascade's file gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from models.calibration import Calibration
from models.vlm.address import Address
from models.vlm.arbiter import Arbiter, Budget, Price
from models.vlm.chat import ChatLogprobs
from models.vlm.decisions import Decisions
from models.vlm.labels import Labels, LowMass
from models.vlm.member import RemoteTier
from models.vlm.purse import PurseFile
from models.vlm.question import Question
from models.vlm.secret import Secret
from models.vlm.server import Server

MEMBERS: dict[str, Callable[[str, Server, Question], RemoteTier]] = {
    "chat_logprobs": ChatLogprobs,
    "decisions": Decisions,
}
_ADDRESS = {one.name for one in fields(Address)} - {"key"}
_QUESTION = {one.name for one in fields(Question)}
_NESTED = {"labels": Labels, "low_mass": LowMass, "calibration": Calibration}


def ask_by(protocol: str, name: str, server: Server, question: Question | None = None) -> RemoteTier:
    """A member that asks `server` in this way. Raises ValueError with a sentence when it cannot."""
    if protocol not in MEMBERS:
        raise ValueError(f"no way of asking is called {protocol!r}; there are: {', '.join(MEMBERS)}")
    return MEMBERS[protocol](name, server, question or Question())


def create_member(
    *,
    url: str,
    model: str,
    protocol: str = "chat_logprobs",
    name: str = "vlm",
    device: str = "",
    key_env: str | None = None,
    servers: MutableMapping[str, Server] | None = None,
    **options: Any,
) -> RemoteTier:
    """A member from plain JSON; to be called in the event loop that will ask it.

    `device` is ignored: the server has its own. `key_env` names the environment variable with the key.
    `servers` are the clients so far, by address: members of one server share its slots through it.
    `options` are fields of `Address` and `Question`; `labels`, `low_mass` and `calibration` are objects.
    Raises ValueError with a sentence for what cannot be.
    """
    if unknown := sorted(set(options) - _ADDRESS - _QUESTION):
        raise ValueError(f"{name}: no option of a VLM member is called {', '.join(unknown)}")
    try:
        question = _question(options)
        address = {key: options[key] for key in options.keys() & _ADDRESS}
        made = Address(url=url, model=model, key=Secret.from_env(key_env), **address)
        return ask_by(protocol, name, _client(made, servers), question)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


def question_of(options: Mapping[str, Any], name: str) -> Question:
    """A question from plain JSON. Raises ValueError with a sentence for what is none of its fields."""
    if unknown := sorted(set(options) - _QUESTION):
        raise ValueError(f"{name}: no option of a question is called {', '.join(unknown)}")
    try:
        return _question(options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


def create_arbiter(
    *,
    cap: float,
    price: Mapping[str, Any],
    purse: str,
    name: str = "arbiter",
    dialect: str = "openai",
    device: str = "",
    **options: Any,
) -> RemoteTier:
    """An arbiter: `cap` money a day, `price` the fields of `Price`, `purse` the file of the day's sum.

    Other `options` as of `create_member`. There is none unless a cascade names it. Raises ValueError.
    """
    given = {"tries": 1, "proxies": True, **options, "dialect": dialect, "protocol": "chat_logprobs"}
    chat = create_member(name=name, **given)
    assert isinstance(chat, ChatLogprobs)
    try:
        budget = Budget(cap, PurseFile(Path(purse).expanduser()))
        return Arbiter(chat, budget, Price(**price))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


def _client(address: Address, servers: MutableMapping[str, Server] | None) -> Server:
    if servers is None:
        return Server(address)
    key = f"{address.root} {address.model}"
    if key not in servers:
        servers[key] = Server(address)
    return servers[key]


def _question(options: Mapping[str, Any]) -> Question:
    return Question(**{key: _built(key, options[key]) for key in options.keys() & _QUESTION})


def _built(name: str, value: Any) -> Any:
    """JSON objects become the dataclasses that they spell, lists tuples."""
    if name not in _NESTED or not isinstance(value, Mapping):
        return value
    plain = {key: tuple(one) if isinstance(one, list) else one for key, one in value.items()}
    return _NESTED[name](**plain)
