"""After a promotion: certified anew where there are labels enough, else nobody is answered early."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from miner.learning.certifier import CERTIFICATE, Certifier
from miner.learning.create import with_certificate
from miner.learning.process import LearningFailed
from models.description import Description

TWO = Description("two", ({"kind": "classifier"}, {"kind": "regions"}), certificate="/old/certificate.json")
VOID = "the certificate is void"


@dataclass(frozen=True)
class Picture:
    sha256: str
    roadwork: bool = True
    source: str = "review"
    month: str = "2026-11"
    at_ns: int = 1

    def read(self) -> bytes:
        return self.sha256.encode()


def pictures(count: int) -> list[Picture]:
    return [Picture(hashlib.sha256(bytes([n])).hexdigest()) for n in range(count)]


class House:
    """`made` what the process finds; `adopted` certificates that are served by."""

    def __init__(self, tmp_path: Path, *, made: bool, count: int = 4) -> None:
        self.made, self.pictures = made, pictures(count)
        self.described, self.never = TWO, VOID
        self.adopted: list[Path] = []
        self.started: list[tuple[str, ...]] = []
        self.events: list[dict] = []
        self.certifier = Certifier(
            tmp_path,
            pictures=lambda: self.pictures,
            now=lambda: (self.described, self.never),
            adopt=self.adopt,
            start=self.start,
            note=lambda kind, data: self.events.append(data),
            work=tmp_path / "learning",
        )

    async def adopt(self, path: Path) -> str:
        self.adopted.append(path)
        self.never = ""
        return "served"

    async def start(self, module, arguments, data):
        self.started.append(arguments)
        out = Path(arguments[arguments.index("--out") + 1])
        (out / CERTIFICATE).write_text("{}")
        return {"made": self.made, "why": "certified" if self.made else "59 needed", "metrics": {}}


async def test_with_labels_enough_it_is_served_by_and_survives_a_restart(tmp_path):
    house = House(tmp_path, made=True)
    assert await house.certifier.certify() == "certified"
    assert house.adopted == [tmp_path / CERTIFICATE] and house.events[0]["made"]
    after = with_certificate(TWO, tmp_path)
    assert after.recertified == str(tmp_path / CERTIFICATE) and after.certificate == TWO.certificate
    assert await house.certifier.certify() == "there is nothing to certify"
    assert len(house.started) == 1 and not list((tmp_path / "learning").iterdir())


async def test_with_too_few_nobody_is_answered_early_until_more_have_come(tmp_path):
    house = House(tmp_path, made=False)
    assert await house.certifier.certify() == "59 needed"
    assert house.adopted == [] and not (tmp_path / CERTIFICATE).exists()
    assert with_certificate(TWO, tmp_path) == TWO
    assert VOID in await house.certifier.certify()
    assert len(house.started) == 1
    house.pictures = pictures(5)
    assert await house.certifier.certify() == "59 needed" and len(house.started) == 2


async def test_a_lone_member_and_members_elsewhere_are_left_alone(tmp_path):
    house = House(tmp_path, made=True)
    house.described = Description("one", ({"kind": "classifier"},))
    assert await house.certifier.certify() == "there is nothing to certify"
    house.described = Description("far", ({"kind": "classifier"}, {"kind": "vlm", "url": "http://h"}))
    assert "elsewhere" in await house.certifier.certify()
    assert house.started == []


async def test_a_process_that_fails_leaves_nothing_lying(tmp_path):
    house = House(tmp_path, made=True)

    async def fails(module, arguments, data):
        raise LearningFailed("it died")

    house.certifier._start = fails
    with pytest.raises(LearningFailed):
        await house.certifier.certify()
    assert not list((tmp_path / "learning").iterdir()) and house.adopted == []
