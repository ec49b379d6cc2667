"""A real Prometheus beside a running rehearsal reads the miner; the miner's own alarm gets out by itself."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest
from deploy_kit import ROOT
from real_prometheus import scraping

from miner.rehearsal.scenery import free_port
from miner.rehearsal.stage import clean_environment

READS = (
    "svm_engine_ready == 1",
    "svm_registered == 1",
    'sum(svm_challenges_total{outcome="answered"}) >= 5',
    "histogram_quantile(0.05, sum by (le) (svm_deadline_margin_seconds_bucket)) > 1",
    "svm_ledger_bytes > 0",
    "svm_disk_free_bytes > 0",
    "sum(svm_exits_total) >= 5",
    "process_resident_memory_bytes > 1e6",
    "svm_job_ok",
    'svm_alarm{key="disk"} == 1',
)
QUIET = "MinerDown|EngineNotReady|EngineRestarts|ChallengesLost|LedgerRowsLost|DescriptorsShort|Deregistered"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_prometheus_reads_a_running_rehearsal(tmp_path):
    page = free_port()
    told = tmp_path / "told.json"
    words = ["--data", str(tmp_path / "rehearsal"), "--rate", "5", "--port", str(page), "--seed", "1"]
    words += [f"--data.min_free_mb={10**9}", f"--alerts.command=tee -a {told}"]  # no disk has so much room
    with (tmp_path / "output").open("wb") as log, scraping(f"127.0.0.1:{page}", tmp_path) as prometheus:
        process = subprocess.Popen(
            [sys.executable, "-m", "miner", "rehearse", *words],
            cwd=ROOT,
            env=clean_environment(os.environ),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            missing = [read for read in READS if not prometheus.wait(read, 120.0)]
            rings = prometheus.query(f'ALERTS{{alertname=~"{QUIET}",alertstate="firing"}}')
        finally:
            process.terminate()
            _end(process)
    assert not missing, (tmp_path / "output").read_text(errors="replace")[-3000:]
    assert not rings
    assert '"key": "disk"' in told.read_text()


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all that it started."""
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        if child.is_running():
            child.kill()
