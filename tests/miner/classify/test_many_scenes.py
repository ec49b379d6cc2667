"""Folders of hundreds: results arrive while others are judged, in order, and little is held in memory."""

import asyncio
import csv
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.classify import command
from miner.classify.files import Csv, Unwritable
from miner.classify.judge import engine_of, judge
from miner.classify.scenes import Row, Scene
from miner.engine.interface import BadImage, EngineHealth, Shed, Unavailable
from miner.settings import load
from models.core import Verdict

COUNT = 400
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8ffff3f0005fe02fe"
    "dccc59e70000000049454e44ae426082"
)


class Engine:
    """Answers in a random order. `most` requests it ever held; `before` called with each."""

    def __init__(self, before=lambda number: None):
        self.held = self.most = self.asked = 0
        self.before = before
        self.dice = random.Random(3)

    async def start(self):
        pass

    async def stop(self):
        pass

    def health(self):
        return EngineHealth(True, "ready", versions={"fake": "1"})

    async def submit(self, request):
        self.asked += 1
        self.held += 1
        self.most = max(self.most, self.held)
        try:
            self.before(self.asked)
            await asyncio.sleep(self.dice.random() * 0.002)
        finally:
            self.held -= 1
        return Verdict(request.id, 0.75, log_odds=1.1, path=("fake",), ms={"total": 1.0})


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(COUNT):
        (pictures / f"{number:04}.png").write_bytes(PNG)
    return pictures


def test_hundreds_are_written_in_order_while_others_are_judged_and_few_are_held(
    folder, tmp_path, monkeypatch, capsys
):
    out, seen = tmp_path / "out.csv", {}

    def look(number):
        seen[number] = len(out.read_text().splitlines())

    engine = Engine(look)
    monkeypatch.setattr(command, "engine_of", lambda settings: engine)
    assert command.main([str(folder), "--csv", str(out)]) == 0
    abreast = 2 * load([]).engine.max_batch
    assert engine.asked == COUNT and engine.most <= abreast
    assert seen[COUNT] > COUNT - 2 * abreast, "the rows were kept back"
    names = [Path(row["file"]).name for row in csv.DictReader(out.read_text().splitlines())]
    assert names == [f"{number:04}.png" for number in range(COUNT)]
    assert "and 350 more" in capsys.readouterr().out


def test_nothing_is_written_where_nothing_was_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "engine_of", lambda settings: Engine())
    assert command.main([str(tmp_path / "nothing.jpg")]) == 1
    assert "no such file" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_a_full_disk_ends_it_with_a_line(folder, monkeypatch, capsys):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    monkeypatch.setattr(command, "engine_of", lambda settings: Engine())
    assert command.main([str(folder), "--csv", str(full)]) == 2
    assert "cannot be written: No space left" in capsys.readouterr().err


@given(order=st.permutations(range(7)), missing=st.sets(st.integers(0, 6)))
def test_rows_come_in_order_whatever_order_they_finish_in(order, missing, tmp_path_factory):
    file = tmp_path_factory.mktemp("rows") / "rows.csv"
    out = Csv(file)
    for number in order:
        if number not in missing:
            out.put(number, Row(Scene((Path(str(number)),)), reason="missing"))
    out.close()
    got = [int(row["file"]) for row in csv.DictReader(file.read_text().splitlines())]
    assert got == [number for number in range(7) if number not in missing]


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path):
    with pytest.raises(Unwritable, match="cannot be written"):
        Csv(tmp_path / "none" / "out.csv")


async def test_an_engine_that_turns_away_is_asked_again_and_bad_pictures_are_not(folder):
    class Moody(Engine):
        async def submit(self, request):
            self.asked += 1
            if self.asked == 1:
                raise BadImage("corrupt")
            if self.asked % 3 == 0:
                raise Shed("full")
            if self.asked % 7 == 0:
                raise Unavailable("starting")
            return Verdict(request.id, 0.5, log_odds=0.0)

    scenes = [Scene((file,)) for file in sorted(folder.iterdir())[:40]]
    rows = {}
    await judge(scenes, load([]), Moody(), rows.__setitem__)
    assert [row.reason for row in rows.values() if row.reason] == ["corrupt"] and len(rows) == 40


def test_the_engine_is_the_daemons_cascade(monkeypatch):
    made = {}
    monkeypatch.setattr("miner.classify.judge.create_engine", lambda *_, **options: made.update(options))
    engine_of(load(["--cascade.path", "single"]))
    assert made == {"cascade": "single"}
