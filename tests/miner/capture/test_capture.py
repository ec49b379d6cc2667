"""Capture as the wire and the operator see it."""

import errno
import time

import pytest
from capture_kit import CHOICE, Scaler, answered, capture, files, offer, verdict

from miner.capture.child import WorkerFailed
from miner.capture.keeper import Offer
from miner.capture.policy import Rates
from miner.capture.store import Store
from miner.capture.switch import Switch
from miner.ledger import LEDGER_NAME, Ledger
from miner.ledger.kept import kept
from miner.recorder import Recorder
from miner.telemetry import Metrics, capture_metrics


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / LEDGER_NAME, hotkey="ours")


def until(holds, within_s=10.0):
    ends = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.01)


def test_while_it_is_off_nothing_is_kept_nor_waits(tmp_path, ledger):
    keeps = capture(tmp_path, ledger, enabled=False)
    for n in range(50):
        keeps.offer(answered(b"%d" % n), (b"%d" % n,), verdict(0.0))
    assert keeps.status()["waiting"] == 0 and files(tmp_path) == []
    keeps.work(offer(b"one"))
    assert files(tmp_path) == []


def test_a_hard_case_is_kept_with_why_and_an_easy_one_is_not(tmp_path, ledger):
    keeps = capture(tmp_path, ledger, rates=Rates(audit=0.0))
    keeps.start()
    keeps.offer(answered(b"easy", 5.0), (b"easy",), verdict(5.0))
    keeps.offer(answered(b"hard", 0.1), (b"hard", b"second view"), verdict(0.1, fast=-2.0, slow=2.0))
    until(lambda: keeps.status()["count"] == 1)
    keeps.stop()
    ledger.close()
    (row,) = kept(tmp_path / LEDGER_NAME)
    assert row.sha256 == answered(b"hard").sha256 and row.reason == "near,disagree" and row.propensity == 1.0
    assert row.data["policies"] == {"audit": 0.0, "near": 1.0, "disagree": 1.0}
    assert row.data["evidence"] == {"fast": -2.0, "slow": 2.0}


def test_off_counts_at_once_and_lasts(tmp_path, ledger):
    keeps = capture(tmp_path, ledger)
    keeps.offer(answered(b"hard"), (b"hard",), verdict(0.0))
    assert keeps.status()["waiting"] == 1
    keeps.set(False)
    assert keeps.status()["waiting"] == 0 and not keeps.status()["enabled"]
    assert not Switch(tmp_path, enabled=True).on, "the operator's word goes before the setting"
    keeps.set(True)
    assert Switch(tmp_path, enabled=False).on


def test_an_unreadable_word_is_a_no(tmp_path):
    (tmp_path / "capture.switch").write_bytes(b"\xff\x00on")
    assert not Switch(tmp_path, enabled=True).on


def test_more_than_the_worker_can_do_is_dropped_and_counted(tmp_path, ledger):
    keeps = capture(tmp_path, ledger)
    for n in range(100):
        keeps.offer(answered(b"%d" % n), (b"%d" % n,), verdict(0.0))
    assert (keeps.status()["waiting"], keeps.status()["dropped"]) == (32, 68)


def test_a_nearly_full_disk_stops_it_and_room_lets_it_go_on(tmp_path, ledger):
    free, events = [10**12], []
    keeps = capture(tmp_path, ledger, free=lambda _: free[0], events=events)
    keeps.start()
    keeps.offer(answered(b"one"), (b"one",), verdict(0.0))
    until(lambda: keeps.status()["count"] == 1)
    free[0] = 5
    until(lambda: keeps.status()["stopped"])
    keeps.offer(answered(b"two"), (b"two",), verdict(0.0))
    assert keeps.status()["waiting"] == 0 and keeps.status()["count"] == 1
    assert events == [("capture_stopped", {"why": "the disk is nearly full"})]
    free[0] = 10**12
    until(lambda: not keeps.status()["stopped"])
    keeps.offer(answered(b"two"), (b"two",), verdict(0.0))
    until(lambda: keeps.status()["count"] == 2)
    keeps.stop()


def test_a_disk_that_refuses_a_file_stops_it_and_leaves_no_half_file(tmp_path, ledger, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    keeps = capture(tmp_path, ledger)
    monkeypatch.setattr("miner.capture.store.os.fdopen", full)
    keeps.work(offer(b"one"))
    assert "No space left" in keeps.status()["stopped"]
    keeps.offer(answered(b"two"), (b"two",), verdict(0.0))
    assert keeps.status()["waiting"] == 0 and files(tmp_path) == [] and keeps.status()["count"] == 0


def test_a_picture_that_kills_the_worker_costs_itself_alone(tmp_path, ledger):
    class Fragile(Scaler):
        def scale(self, picture):
            if picture == b"poison":
                raise WorkerFailed("EOFError")
            return super().scale(picture)

    keeps = capture(tmp_path, ledger, scaler=Fragile())
    for content in (b"poison", b"fine"):
        keeps.work(Offer(answered(content), content, CHOICE, {}))
    assert keeps.status()["outcomes"] == {"failed": 1, "kept": 1}


async def test_the_operators_commands(tmp_path, ledger):
    recorder = Recorder([ledger], tick_s=0.01)
    recorder.start()
    keeps = capture(tmp_path, ledger, enabled=False)
    assert await keeps.commands["capture_set"](enabled=True) == {"enabled": True}
    keeps.work(offer(b"one"))
    found = await keeps.commands["capture_status"]()
    assert found["enabled"] and found["count"] == 1 and found["bytes"] == Store(tmp_path).size(b"one")
    assert await keeps.commands["capture_purge"]() == {"files": 1, "rows": 1, "left": 0}
    assert (await keeps.commands["capture_status"]())["count"] == 0
    with pytest.raises(ValueError, match="true or false"):
        await keeps.commands["capture_set"](enabled="yes")
    recorder.stop()


def test_metrics_say_what_is_kept(tmp_path, ledger):
    keeps, metrics = capture(tmp_path, ledger), Metrics()
    metrics.add(capture_metrics(keeps.figures))
    keeps.work(offer(b"one"))
    keeps.work(offer(b"one"))
    text = metrics.text().decode()
    assert "svm_capture_active 1.0" in text and "svm_capture_pictures 1.0" in text
    assert 'svm_capture_offers_total{outcome="duplicate"} 1.0' in text
    keeps.set(False)
    assert "svm_capture_active 0.0" in metrics.text().decode()
