"""Child processes that never outlive the stage, and the signals that end it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_S = 0.05
_PR_SET_PDEATHSIG = 1


class Interrupts:
    """While active, the first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt; later ones only count.

    `held()` puts the exception off, so that no child is started without being written down.
    """

    def __init__(self) -> None:
        self.count = 0
        self._held = False

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._caught) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def ignore(self) -> None:
        """From now on only count: the end has begun, and nothing may cut it short."""
        self._held = True

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self.count == 1:
            raise KeyboardInterrupt

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1 and not self._held:
            raise KeyboardInterrupt


class Child:
    """A process in a session of its own, with all that it starts; on Linux it ends even if we are killed.

    `log` takes its output; without one it writes to our terminal.
    """

    def __init__(
        self, name: str, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path | None = None
    ) -> None:
        self.name, self.log = name, log
        with contextlib.ExitStack() as files:
            out = files.enter_context(log.open("wb")) if log else None
            self._process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT if out else None,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code (negative: the signal that ended it), or None while it runs."""
        return self._process.poll()

    def last_lines(self, count: int = 20) -> str:
        """The end of its log."""
        if self.log is None or not self.log.is_file():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def stop(self, patience_s: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Ask it to end; after `patience_s` seconds, or once `hurry()`, kill it and all that it started."""
        if self.code is None:
            self._process.terminate()
        deadline = time.monotonic() + patience_s
        while self.code is None and time.monotonic() < deadline and not hurry():
            time.sleep(POLL_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # its session's leftovers too, if it left any
        self._process.wait()


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    assert _libc is not None
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
