"""What is let in: plain files whose formats cannot run code, copied, hashed and looked at on the way.

A source folder may be anybody's (a watched folder, a hub). Nothing of it is trusted, and only the copy is
judged: what changes afterwards changes nothing.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

WEIGHTS = ".safetensors"
SUFFIXES = (WEIGHTS, ".json", ".txt", ".md", ".model", ".jinja")
"""`.model` is SentencePiece's vocabulary, which is data."""
PLAIN = ("LICENSE", "NOTICE")
RUNS_CODE = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".h5", ".py", ".so")
MOST_FILES = 200
MOST_BYTES = 2**40
_HEADER_BYTES = 100 * 10**6
"""The format's own limit."""
_BLOCK = 2**20


class Refused(ValueError):
    """It is not let in; the message is a sentence for the operator."""


def take_in(source: Path, target: Path) -> dict[str, str]:
    """Copy a model's files into the empty folder `target`; name -> SHA-256. Hidden files stay outside.

    Raises Refused for links, subfolders, formats that can run code, damaged weights, or no weights at all."""
    names = _names(source)
    hashes = {name: _copied(source / name, target / name) for name in names}
    weights = [name for name in names if name.endswith(WEIGHTS)]
    if not weights:
        raise Refused(f"{source.name} has no *{WEIGHTS}: nothing to load")
    for name in weights:
        check_weights(target / name)
    return hashes


def compare(promised: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Raises Refused unless both name the same files with the same SHA-256."""
    if missing := sorted(set(promised) - set(found)):
        raise Refused(f"{missing[0]} is in the manifest and is not there")
    if extra := sorted(set(found) - set(promised)):
        raise Refused(f"{extra[0]} is there and is not in the manifest")
    for name, digest in sorted(promised.items()):
        if digest != found[name]:
            raise Refused(f"{name} is damaged or was changed: SHA-256 {found[name][:12]}, not {digest[:12]}")


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits. Raises OSError; never follows a link."""
    found = sha256()
    with _opened(path) as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def check_weights(path: Path) -> None:
    """Raises Refused unless the file is as long as its own header says."""
    size = path.stat().st_size
    length, tensors = read_header(path)
    try:
        end = 8 + length + max((int(about["data_offsets"][1]) for about in tensors.values()), default=0)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise Refused(f"{path.name} is damaged: its header cannot be read") from error
    if end != size:
        raise Refused(f"{path.name} is damaged: {size} bytes, and its header speaks of {end}")


def read_header(path: Path) -> tuple[int, dict[str, Any]]:
    """The header's length and what it says of each tensor, by name (the safetensors format: a 64-bit length,
    that much JSON with each tensor's type, shape and place, then the tensors). Raises Refused."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _HEADER_BYTES):
            raise Refused(f"{path.name} is damaged: its header is longer than the file")
        text = file.read(length)
    try:
        found = dict(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused(f"{path.name} is damaged: its header cannot be read") from error
    found.pop("__metadata__", None)
    return length, found


def _names(source: Path) -> list[str]:
    try:
        found = sorted(path for path in source.iterdir() if not path.name.startswith("."))
        if source.is_symlink():
            raise Refused(f"{source.name} is a link; copy the model's files themselves")
        if len(found) > MOST_FILES:
            raise Refused(f"{source.name} holds {len(found)} files, more than a model's {MOST_FILES}")
        sizes = [_size(path) for path in found]
    except OSError as error:
        raise Refused(f"{source} cannot be read: {error.strerror or error}") from error
    if sum(sizes) > MOST_BYTES:
        raise Refused(f"{source.name} is larger than {MOST_BYTES >> 30} GiB")
    return [path.name for path in found]


def _size(path: Path) -> int:
    """Of a file that may come in. Raises Refused."""
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode):
        raise Refused(f"{path.name} is a link, which may point anywhere; copy the file itself")
    if not stat.S_ISREG(about.st_mode):
        raise Refused(f"{path.name} is no plain file; a model is a flat folder of files")
    if path.suffix.lower() in RUNS_CODE:
        raise Refused(
            f"{path.name}: {path.suffix} files can run code and are not read; weights are {WEIGHTS}"
        )
    if path.suffix.lower() not in SUFFIXES and path.name not in PLAIN:
        raise Refused(f"{path.name} is no file of a model; there may be {', '.join((*SUFFIXES, *PLAIN))}")
    return about.st_size


def _copied(source: Path, target: Path) -> str:
    found = sha256()
    try:
        with _opened(source) as file, target.open("xb") as out:
            while block := file.read(_BLOCK):
                found.update(block)
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise Refused(f"{source.name} cannot be copied: {error.strerror or error}") from error
    return found.hexdigest()


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
