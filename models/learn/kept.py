"""Answers of a long evaluation on disk, so that one that was interrupted goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from models.learn.data import Example


class KeptError(ValueError):
    """The file holds the answers of another evaluation; the message says so."""


class Kept:
    """A text file: the evaluation's key on the first line, then one log-odds a line, exact.

    `key` names everything that the answers depend on; see `key_of`. `each` lines belong together (the answers
    to one example): of a group that a crash cut short nothing is kept. Raises KeptError for a file of another
    key.
    """

    def __init__(self, path: Path, key: str, each: int) -> None:
        self._path = path
        head = json.dumps({"key": key}) + "\n"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(head, encoding="ascii")
        first, *lines = path.read_text("ascii", "replace").splitlines(keepends=True) or [""]
        if first != head:
            raise KeptError(f"{path} holds answers of another model, data set or seed: name another file")
        whole = [line for line in lines if line.endswith("\n")]
        whole = whole[: len(whole) - len(whole) % each]
        path.write_text(head + "".join(whole), encoding="ascii")
        self._scores = [float.fromhex(line) for line in whole]

    def scores(self) -> list[float]:
        """What is on disk."""
        return list(self._scores)

    def add(self, scores: Iterable[float]) -> None:
        """Append, and have it on disk before returning."""
        with self._path.open("a", encoding="ascii") as file:
            file.write("".join(f"{score.hex()}\n" for score in scores))
            file.flush()
            os.fsync(file.fileno())


def key_of(model: str, examples: Iterable[Example], seed: int) -> str:
    """A digest of the model's version, the pictures' names, labels and sizes, and the seed."""
    digest = sha256(f"{model}|{seed}".encode())
    for example in examples:
        digest.update(f"|{example.path.name}:{example.label}:{example.path.stat().st_size}".encode())
    return digest.hexdigest()
