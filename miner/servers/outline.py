"""What a checkpoint's network looks like, without its numbers: read from headers, nothing is loaded.

SGLang 0.5.23 ends when it is given weights of another shape: it forgets the old path before it reads the new
one, so its own rollback reads the new one again. So they are compared here first."""

from __future__ import annotations

import json
from pathlib import Path

from miner.registry.door import Refused, digest, read_header

FIXED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
)
"""Read at the server's start and not again when weights change: a checkpoint with others needs a restart."""
_IDLE_KEYS = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")
"""Of a configuration: they change nothing of the network."""


class Unlike(ValueError):
    """The two are not the same network; the message says in what."""


def check_alike(serving: Path, new: Path) -> None:
    """Raises Unlike unless a server of `serving` can take the weights of `new`. Both are folders here."""
    if _config(serving) != _config(new):
        raise Unlike(f"{new.name}: its config.json describes another network")
    before, after = _tensors(serving), _tensors(new)
    if before.keys() != after.keys():
        name = min(before.keys() ^ after.keys())
        raise Unlike(f"{new.name}: the tensor {name} is in one of the two only")
    for name, shape in before.items():
        if after[name] != shape:
            raise Unlike(f"{new.name}: the tensor {name} is {after[name]}, and {shape} is served")
    for name in FIXED:
        if _digest(serving / name) != _digest(new / name):
            raise Unlike(f"{new.name}: {name} differs, and a server reads it only at its start: restart it")


def _config(folder: Path) -> dict[str, object]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unlike(f"{folder.name} has no config.json that can be read: {error}") from error
    return {key: value for key, value in found.items() if key not in _IDLE_KEYS}


def _tensors(folder: Path) -> dict[str, str]:
    """Name -> type and shape, in words."""
    try:
        headers = [read_header(file)[1] for file in sorted(folder.glob("*.safetensors"))]
        found = {
            name: f"{one['dtype']} {list(one['shape'])}" for header in headers for name, one in header.items()
        }
    except (Refused, OSError, KeyError, TypeError) as error:
        raise Unlike(f"{folder.name}: {error}") from error
    if not found:
        raise Unlike(f"{folder.name} has no *.safetensors")
    return found


def _digest(file: Path) -> str | None:
    return digest(file) if file.is_file() else None
