"""Where kept pictures lie, and the only ways to write, read and remove one.

A picture is `DATA/capture/ab/abcd...ef.jpg` by the sha256 of the bytes that were sent, or `.sealed` when it
is encrypted with the key in `DATA/capture.key`. What is on disk is downscaled and encoded anew: no metadata.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from miner.capture.seal import NotOpened, Seal

FOLDER, KEY_NAME = "capture", "capture.key"
OPEN, SEALED = ".jpg", ".sealed"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class NoPicture(OSError):
    """There is no such picture, or it cannot be read; the message says which."""


def checked(sha256: str) -> str:
    """The name itself. Raises ValueError unless it is 64 lower-case hex digits: nothing else is a path."""
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError("a picture is named by the 64 hex digits of its sha256")
    return sha256


def picture(data_path: Path, sha256: str) -> bytes:
    """The kept picture as JPEG bytes. Raises NoPicture, or ValueError for a name that is no sha256."""
    store = Store(data_path)
    for suffix in (OPEN, SEALED):
        with suppress(FileNotFoundError):
            return store.read(store.path(sha256, suffix))
    raise NoPicture(f"no picture {sha256} is kept")


class Store:
    """The files of one data folder. `encrypt` concerns what is written; either kind can be read.

    Raises SealMissing at once when `encrypt` is asked for and the library for it is not installed.
    """

    def __init__(self, data_path: Path, *, encrypt: bool = False) -> None:
        self.folder = Path(data_path) / FOLDER
        self.seal = Seal(Path(data_path) / KEY_NAME)
        self._encrypt = encrypt
        if encrypt:
            self.seal.check()

    def path(self, sha256: str, suffix: str) -> Path:
        return self.folder / checked(sha256)[:2] / f"{sha256}{suffix}"

    def write(self, sha256: str, content: bytes) -> tuple[str, int]:
        """Put a picture on disk, whole or not at all: its name relative to the folder and its size in bytes.

        Raises OSError, a full disk's among them, leaving nothing behind.
        """
        path = self.path(sha256, SEALED if self._encrypt else OPEN)
        data = self.seal.close(content, sha256) if self._encrypt else content
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        _write_whole(path, data)
        return str(path.relative_to(self.folder)), len(data)

    def size(self, content: bytes) -> int:
        """Bytes that it will have on disk."""
        return len(content) + (self.seal.OVERHEAD if self._encrypt else 0)

    def read(self, path: Path) -> bytes:
        """Raises FileNotFoundError or NoPicture."""
        try:
            data = path.read_bytes()
            return self.seal.open(data, path.stem) if path.suffix == SEALED else data
        except FileNotFoundError:
            raise
        except (OSError, NotOpened) as error:
            raise NoPicture(f"the picture {path.stem} cannot be read: {error}") from error

    def remove(self, sha256: str) -> None:
        """Idempotent."""
        for suffix in (OPEN, SEALED):
            self.path(sha256, suffix).unlink(missing_ok=True)

    def files(self) -> Iterator[Path]:
        """Every file below the folder, of whatever name."""
        return (path for path in self.folder.rglob("*") if not path.is_dir() or path.is_symlink())

    def clear(self) -> int:
        """Remove the folder's every file, and the key; the number of files removed. Raises OSError."""
        gone = 0
        for path in list(self.files()):
            path.unlink(missing_ok=True)
            gone += 1
        for path in sorted((p for p in self.folder.rglob("*") if p.is_dir()), reverse=True):
            path.rmdir()
        self.seal.forget()
        return gone


def _write_whole(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
