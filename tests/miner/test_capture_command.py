"""`streetvision-miner capture` and `review` without a miner, and against a running one."""

import asyncio
import json
import threading
from io import BytesIO

import pytest
from PIL import Image
from typer.testing import CliRunner

from miner.capture import labelled
from miner.capture.store import Store
from miner.capture.switch import Switch
from miner.cli import app
from miner.control import SOCKET_NAME
from miner.control_server import ControlServer
from miner.ledger import LEDGER_NAME, Ledger
from miner.recorder import Recorder
from miner.review.desk import Desk


def jpeg(shade):
    out = BytesIO()
    Image.new("RGB", (64, 40), (shade, 255 - shade, 90)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    ledger = Ledger(folder / LEDGER_NAME, hotkey="ours")
    for number in range(3):
        sha256 = f"{number}" * 64
        file, size = Store(folder).write(sha256, jpeg(80 * number))
        ledger.capture(
            {
                **{"sha256": sha256, "at_ns": 10**18, "hotkey": "ours", "challenge": "c", "reason": "near"},
                **{"propensity": 1.0, "prediction": 0.5, "log_odds": number / 10, "file": file, "size": size},
                **{"phash": "0" * 16, "data": {}},
            }
        )
    ledger.close()
    return folder


def run(data, *words, keys="", status=0):
    found = CliRunner().invoke(app, [*words, "--data.path", str(data)], input=keys)
    assert found.exit_code == status, found.output + str(found.exception)
    return found.stdout


def test_off_is_where_it_begins_and_on_lasts(tmp_path):
    data = tmp_path / "new"
    assert json.loads(run(data, "capture", "--json"))["enabled"] is False
    assert "capture is on" in run(data, "capture", "on")
    assert Switch(data, enabled=False).on
    assert "no miner runs" in run(data, "capture", "status")
    assert json.loads(run(data, "capture", "off", "--json")) == {"enabled": False}
    assert not Switch(data, enabled=True).on


def test_purge_asks_deletes_and_proves_it(data):
    run(data, "capture", "purge", keys="n\n", status=1)
    assert json.loads(run(data, "capture", "status", "--json"))["count"] == 3
    assert json.loads(run(data, "capture", "purge", "--yes", "--json")) == {"files": 3, "rows": 3, "left": 0}
    assert json.loads(run(data, "capture", "status", "--json"))["count"] == 0
    assert not [path for path in (data / "capture").rglob("*") if path.is_file()]


def test_labels_by_keys(data):
    text = run(data, "review", "--reviewer", "ann", keys="x\nr\nn\nz\nu\nq\n")
    assert "▀" in text and "near the threshold" in text and str(data / "capture" / "00") in text
    assert text.rstrip().endswith("2 labelled")
    assert [(one.sha256[0], one.roadwork) for one in labelled(data)] == [("0", True)]
    left = json.loads(run(data, "review", "--json", "--reviewer", "ann"))
    assert [item["sha256"][0] for item in left["items"]] == ["2"] and left["waiting"] == 1
    assert "no two reviewers" in run(data, "review", "agreement")
    assert json.loads(run(data, "review", "issues", "--json")) == []


def test_the_end_of_the_keys_is_the_end(data):
    assert run(data, "review", keys="").rstrip().endswith("0 labelled")


def test_the_import_is_off_until_the_settings_allow_it(data, tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"timestamp": 1, "prediction": 0.5, "label": 1}')
    run(data, "review", "import", str(log), status=1)
    allowed = ("--review.validator_logs", "true")
    assert json.loads(run(data, "review", "import", str(log), "--json", *allowed))["unmatched"] == 1


def test_a_running_miner_takes_the_labels(data):
    ready, loop = threading.Event(), asyncio.new_event_loop()
    ledger = Ledger(data / LEDGER_NAME, hotkey="ours")
    recorder = Recorder([ledger], tick_s=0.01)
    recorder.start()

    stop = asyncio.Event()

    async def serve():
        server = ControlServer(data / SOCKET_NAME, Desk(ledger).commands)
        await server.start()
        ready.set()
        await stop.wait()
        await server.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(5)
    assert run(data, "review", "--reviewer", "bob", keys="n\nq\n").rstrip().endswith("1 labelled")
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    recorder.stop()
    ledger.close()
    assert [one.roadwork for one in labelled(data)] == [False]
