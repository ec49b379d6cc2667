"""Encryption of kept pictures: AES-256-GCM (NIST SP 800-38D) under one key file that only its owner may read.

A sealed file is a version byte, a random nonce of 12 bytes, then ciphertext and tag. The picture's name is
authenticated with it: two files cannot be exchanged for each other.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = b"\x01"
KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16


class SealMissing(Exception):
    """The library for it is not installed; the message says how to get it."""


class NotOpened(Exception):
    """A sealed picture cannot be opened: no key, another key, or changed bytes."""


class Seal:
    """Closes and opens pictures with the key in a file, which the first closing makes (mode 600)."""

    OVERHEAD = 1 + NONCE_BYTES + TAG_BYTES
    """Bytes that closing adds."""

    def __init__(self, key_path: Path) -> None:
        self.key_path = key_path
        self._cipher: AESGCM | None = None

    @staticmethod
    def check() -> None:
        """Raises SealMissing."""
        if importlib.util.find_spec("cryptography") is None:
            raise SealMissing(
                "capture.encrypt needs the package cryptography: pip install 'streetvision-miner[capture]'"
            )

    def close(self, content: bytes, name: str) -> bytes:
        """Raises OSError when the key can be neither read nor made, or others may read it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return VERSION + nonce + self._key(make=True).encrypt(nonce, content, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """The inverse of `close`. Raises NotOpened."""
        try:
            from cryptography.exceptions import InvalidTag
        except ImportError as error:
            raise NotOpened("it is encrypted, and the package cryptography is not installed") from error
        nonce, text = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if sealed[:1] != VERSION or len(nonce) < NONCE_BYTES:
            raise NotOpened("it is no sealed picture of this version")
        try:
            return self._key(make=False).decrypt(nonce, text, name.encode())
        except InvalidTag as error:
            raise NotOpened("the key is another one, or the file was changed") from error
        except OSError as error:
            raise NotOpened(f"the key {self.key_path} cannot be read: {error.strerror or error}") from error

    def forget(self) -> None:
        """Remove the key: what is still sealed with it, in a backup say, can never be read again."""
        self.key_path.unlink(missing_ok=True)
        self._cipher = None

    def _key(self, *, make: bool) -> AESGCM:
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._cipher = AESGCM(self._read(make=make))
        return self._cipher

    def _read(self, *, make: bool) -> bytes:
        if make and not self.key_path.exists():
            self._make()
        if self.key_path.stat().st_mode & 0o077:
            raise PermissionError(f"others may read {self.key_path}: chmod 600 it")
        key = self.key_path.read_bytes()
        if len(key) != KEY_BYTES:
            raise OSError(f"{self.key_path} does not hold {KEY_BYTES} bytes")
        return key

    def _make(self) -> None:
        self.key_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self.key_path.with_name(self.key_path.name + ".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.key_path)
