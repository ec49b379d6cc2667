"""After a promotion: the operating point is certified anew as soon as there are labels enough. Until then
nobody is answered early."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from miner.capture import Labelled as Picture
from miner.engine.tiers import REMOTE
from miner.learning.collect import ITEMS, lay_out, mark
from miner.learning.process import Start
from models.description import Description

CERTIFICATE = "certificate.json"
CERTIFY = "models.learn.adaptation.recertify"


class Certifier:
    """`data` the miner's folder; `pictures` labelled ones that are a random sample and taught nobody who
    serves; `now` the cascade that serves and why nobody leaves early ("" when somebody does); `adopt` has it
    served by another certificate; `start` runs a process; `note` takes an event."""

    def __init__(
        self,
        data: Path,
        *,
        pictures: Callable[[], Sequence[Picture]],
        now: Callable[[], tuple[Description, str]],
        adopt: Callable[[Path], Awaitable[str]],
        start: Start,
        note: Callable[[str, dict[str, Any]], None],
        work: Path,
    ) -> None:
        self._path, self._work = data / CERTIFICATE, work
        self._pictures, self._now, self._adopt = pictures, now, adopt
        self._start, self._note = start, note
        self._tried = ""

    async def certify(self) -> str:
        """Try for a certificate of the cascade as it is, and serve by it. Raises LearningFailed, ValueError
        while a swap is under way, or OSError."""
        described, never = self._now()
        if len(described.tiers) < 2 or not never:
            return "there is nothing to certify"
        if any(spec["kind"] in REMOTE for spec in described.tiers):
            return (
                f"nobody is answered early: {never}; members that are asked elsewhere are not certified here"
            )
        pictures = await asyncio.to_thread(self._pictures)
        tried = f"{mark(pictures)} {json.dumps(described.to_json(), sort_keys=True)}"
        if not pictures or tried == self._tried:
            return f"nobody is answered early: {never}; no new labels"
        found = await self._made(described, pictures, tried)
        self._note("certified", {"made": found["made"], "why": found["why"], "metrics": found["metrics"]})
        return str(found["why"])

    async def _made(self, described: Description, pictures: Sequence[Picture], tried: str) -> dict[str, Any]:
        work, out = await asyncio.to_thread(self._laid_out, described, pictures)
        try:
            arguments = ("--items", work / ITEMS, "--cascade", work / "cascade.json", "--out", out, "--nice")
            found = await self._start(CERTIFY, tuple(map(str, arguments)), b"")
            self._tried = tried  # these labels have said what they can, whatever comes of the adoption
            if found["made"]:
                await asyncio.to_thread((out / CERTIFICATE).replace, self._path)
                await self._adopt(self._path)
            return found
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
            await asyncio.to_thread(shutil.rmtree, out, ignore_errors=True)

    def _laid_out(self, described: Description, pictures: Sequence[Picture]) -> tuple[Path, Path]:
        """(work with pictures and cascade, an empty folder for the certificate)."""
        work = lay_out(pictures, self._work)
        plain = replace(described, certificate=None, recertified=None).to_json()
        (work / "cascade.json").write_text(json.dumps(plain), encoding="utf-8")
        return work, Path(tempfile.mkdtemp(prefix=".certificate-", dir=self._work))
