"""Whether pictures are kept: the operator's last word, else the setting, else no."""

from __future__ import annotations

import os
from pathlib import Path

from loguru import logger

SWITCH_NAME = "capture.switch"
ON, OFF = "on", "off"
INVITATION = (
    "capture is off: no picture is kept. `streetvision-miner capture on` keeps pictures of hard cases and a "
    "random {audit:.1%}, for you to label and for the models to learn from: strangers' streets, on this disk "
    "only, at most {gib:.1f} GiB and {days:.0f} days, `capture purge` deletes them all (docs/capture.md)"
)


class Switch:
    """`on` is read by the event loop; `set` lasts over restarts.

    `enabled` the setting; `invitation` is logged by `announce` while nobody has decided anything.
    """

    def __init__(self, data_path: Path, *, enabled: bool, invitation: str = "") -> None:
        self._path = Path(data_path) / SWITCH_NAME
        self._invitation = invitation
        word = self._word()
        self.decided = word is not None or enabled
        self.on = enabled if word is None else word == ON

    def set(self, enabled: bool) -> None:
        """Raises OSError. Off counts at once, even when it cannot be written down."""
        if not enabled:
            self.on = False
        part = self._path.with_name(self._path.name + ".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(ON if enabled else OFF)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
        self.on, self.decided = enabled, True

    def announce(self) -> None:
        """Say in one line whether pictures are kept."""
        if self.on:
            logger.info("capture is on: pictures of hard cases and a random share are kept (docs/capture.md)")
        elif not self.decided:
            logger.info(self._invitation)

    def _word(self) -> str | None:
        """What was said last; anything unreadable is taken for off: pictures need a clear yes."""
        try:
            word = self._path.read_text(errors="replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("{} cannot be read, so capture is off: {}", self._path, error)
            return OFF
        return ON if word == ON else OFF
