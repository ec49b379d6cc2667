"""A model folder to a hub repository: looked at first, shown in full, uploaded in one commit."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from miner.publish.card import NAME, Card, PublishError

TOKEN = "HF_TOKEN"
ALLOWED = frozenset({".safetensors", ".json", ".md", ".txt", ".model", ".onnx"})
"""No pickles: whoever loads a model of ours must not have to trust us with their machine."""
PAPERS = ("LICENSE", "LICENCE", "NOTICE")
"""Names without a suffix that licences ask to be passed on."""
WEIGHTS = (".safetensors", ".onnx")


@dataclass(frozen=True, slots=True)
class File:
    """`name` relative to the folder; `size` in bytes; `sha256` in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What an upload would do."""

    repo: str
    private: bool
    files: tuple[File, ...]
    card: Card
    message: str


def plan(folder: Path, repo: str, card: Card, *, private: bool = False) -> Plan:
    """Look at the folder. Raises PublishError without weights, and for what must not be published."""
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise PublishError(f"{repo!r} is no hub repository: write OWNER/NAME")
    if not folder.is_dir():
        raise PublishError(f"there is no folder {folder}")
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    strange = [str(path.relative_to(folder)) for path in paths if _strange(path)]
    if strange:
        raise PublishError(
            f"not published: {', '.join(strange[:5])}: only {', '.join(sorted(ALLOWED))} and no links"
        )
    if not any(path.suffix in WEIGHTS for path in paths):
        raise PublishError(f"{folder} holds no weights ({', '.join(WEIGHTS)})")
    files = tuple(_file(path, folder) for path in paths)
    return Plan(repo, private, files, card, f"Publish version {card.version}")


def upload(planned: Plan, folder: Path, token: str, api: Callable[..., Any] | None = None) -> str:
    """Make the repository if there is none, and commit card and files at once; the commit's address.

    `api` makes a `huggingface_hub.HfApi`. Raises PublishError.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    hub = (api or HfApi)(token=token)
    adding = [CommitOperationAdd(file.name, str(folder / file.name)) for file in planned.files]
    adding.append(CommitOperationAdd(NAME, planned.card.text().encode()))
    try:
        hub.create_repo(planned.repo, private=planned.private, exist_ok=True)
        done = hub.create_commit(planned.repo, operations=adding, commit_message=planned.message)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise PublishError(f"the hub did not take it: {error}") from error
    return str(done.commit_url)


def token_here() -> str:
    """From the environment only, so that no history and no list of processes shows it."""
    found = os.environ.get(TOKEN, "")
    if not found:
        raise PublishError(f"set {TOKEN} in the environment to a token that may write to the repository")
    return found


def _strange(path: Path) -> bool:
    known = path.suffix in ALLOWED or path.name in PAPERS
    return path.is_symlink() or not known or path.name.startswith(".")


def _file(path: Path, folder: Path) -> File:
    with path.open("rb") as content:
        digest = file_digest(content, "sha256").hexdigest()
    return File(path.relative_to(folder).as_posix(), path.stat().st_size, digest)
