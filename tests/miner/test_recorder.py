"""The recorder: takes without blocking, gives to every sink, and no sink harms another."""

from __future__ import annotations

import threading

import pytest
from loguru import logger

from miner import recorder as recorder_module
from miner.recorder import Recorder
from miner.records import Exchange


def exchange(number: int = 0) -> Exchange:
    return Exchange(str(number), number, "ours", "validator", "192.0.2.1", "10.5.0", 200, "answered")


class Keeping:
    def __init__(self) -> None:
        self.got: list[str] = []
        self.most = 0

    def write(self, batch) -> None:
        self.most = max(self.most, len(batch))
        self.got += [one.id for one in batch]


class Failing:
    def __init__(self) -> None:
        self.error: Exception | None = OSError("no space left")

    def write(self, batch) -> None:
        if self.error:
            raise self.error


class Hanging:
    def __init__(self) -> None:
        self.entered, self.release = threading.Event(), threading.Event()

    def write(self, batch) -> None:
        self.entered.set()
        self.release.wait(30)


@pytest.fixture
def log():
    lines: list[str] = []
    handler = logger.add(
        lambda message: lines.append(str(message)), level="WARNING", format="{level} {message}"
    )
    yield lines
    logger.remove(handler)


def test_every_sink_gets_everything_in_order():
    sinks = [Keeping(), Keeping()]
    recorder = Recorder(sinks, tick_s=0.01)
    recorder.start()
    for number in range(5000):
        recorder.record(exchange(number))
    assert recorder.stop()
    assert sinks[0].got == sinks[1].got == [str(number) for number in range(5000)]
    assert sinks[0].most <= recorder_module.BATCH, "the event loop waits while sinks are at work"


def test_stopping_hands_over_what_is_queued():
    sink = Keeping()
    recorder = Recorder([sink], tick_s=3600)
    recorder.start()
    recorder.record(exchange(1))
    assert recorder.stop() and sink.got == ["1"]


def test_a_failing_sink_harms_no_other_and_is_logged_once(log):
    failing, keeping = Failing(), Keeping()
    recorder = Recorder([failing, keeping])
    for number in range(3):
        recorder.record(exchange(number))
        recorder.flush()
    assert keeping.got == ["0", "1", "2"]
    assert recorder.health().errors == {"Failing": 3, "Keeping": 0}
    assert (recorder.health().failing, recorder.health().state) == (["Failing"], "failing")
    assert len(log) == 1 and log[0].startswith("CRITICAL Failing fails") and "no space left" in log[0]
    failing.error = None
    recorder.record(exchange(3))
    recorder.flush()
    assert log[-1].startswith("WARNING Failing works again")
    assert recorder.health().state == "ok"
    failing.error = ValueError("another")
    recorder.flush()
    assert "another" in log[-1], "a new failure is loud again"


def test_a_hanging_sink_never_blocks_recording_and_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(recorder_module, "QUEUE", 100)
    hanging = Hanging()
    recorder = Recorder([hanging], tick_s=0.001)
    recorder.start()
    assert hanging.entered.wait(10)
    for number in range(250):
        recorder.record(exchange(number))
    assert (recorder.health().queued, recorder.health().dropped) == (100, 150)
    assert recorder.stop(timeout_s=0.01) is False, "says that the sink did not end in time"
    hanging.release.set()
    assert recorder.stop(timeout_s=10)


def test_health_tells_how_long_the_sinks_were_not_served():
    now = [100.0]
    recorder = Recorder([], clock=lambda: now[0])
    now[0] += 7
    assert (recorder.health().last_write_age_s, recorder.health().state) == (7, "hung")
    recorder.flush()
    assert recorder.health().last_write_age_s == 0
