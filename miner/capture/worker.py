"""The process that decodes what may be kept: `python -m miner.capture.worker`.

It has no file, no key and no socket, only its standard input and output: a picture goes in, a small
JPEG comes out.
"""

from __future__ import annotations

import os
import signal
import sys

from miner.engine.frames import Header, Reader, pack
from models.imaging.header import ImageError, Limits
from models.imaging.needs import BlurMissing

NICE = 19
CHUNK = 1 << 16


def main() -> None:
    """Answer until the pipe closes."""
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the miner, which closes the pipe
    reader = Reader()
    while data := os.read(0, CHUNK):
        for header, payload in reader.feed(data):
            _write(answer(header, payload))


def answer(header: Header, payload: bytes) -> bytes:
    """The frame that answers one picture: "kept" with the JPEG, or "refused" with the reason."""
    from models.imaging.keepsake import keepsake

    limits = Limits(bytes=header["bytes"], pixels=header["pixels"])
    try:
        kept = keepsake(payload, limits, header["side"], blur=header["blur"])
    except ImageError as error:
        return pack({"kind": "refused", "reason": error.reason})
    except BlurMissing as error:
        return pack({"kind": "refused", "reason": str(error)})
    about = {"width": kept.width, "height": kept.height, "blurred": kept.blurred}
    return pack({"kind": "kept", "mark": f"{kept.mark:016x}", **about}, kept.jpeg)


def _write(frame: bytes) -> None:
    sys.stdout.buffer.write(frame)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
