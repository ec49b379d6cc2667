"""The host in the metrics: the disk, the ledger with its log, and GPUs that may not tell everything."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from miner.telemetry import Metrics, Nvml, disk_metrics, gpu_metrics
from miner.telemetry.host import ledger_bytes


class NvmlError(Exception):
    pass


@pytest.fixture
def library(monkeypatch) -> ModuleType:
    """NVML with two GPUs, of which one is partitioned and tells no utilisation."""
    nvml = ModuleType("pynvml")

    def rates(index: int) -> SimpleNamespace:
        if index == 1:
            raise NvmlError("not supported")
        return SimpleNamespace(gpu=25)

    nvml.NVMLError, nvml.NVML_TEMPERATURE_GPU = NvmlError, 0
    nvml.nvmlInit = lambda: None
    nvml.nvmlDeviceGetCount = lambda: 2
    nvml.nvmlDeviceGetHandleByIndex = lambda index: index
    nvml.nvmlDeviceGetName = lambda index: ("NVIDIA A", b"NVIDIA B")[index]
    nvml.nvmlDeviceGetMemoryInfo = lambda _: SimpleNamespace(total=80 * 10**9, used=8 * 10**9)
    nvml.nvmlDeviceGetUtilizationRates = rates
    nvml.nvmlDeviceGetTemperature = lambda index, _: 60 + index
    nvml.nvmlDeviceGetPowerUsage = lambda _: 350_000
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return nvml


def text_of(*collectors) -> list[str]:
    metrics = Metrics()
    for collector in collectors:
        metrics.add(collector)
    return metrics.text().decode().splitlines()


def test_gpus_are_read_and_what_they_do_not_tell_is_absent(library):
    lines = text_of(gpu_metrics(Nvml()))
    assert 'svm_gpu_busy_ratio{gpu="0",name="NVIDIA A"} 0.25' in lines
    assert 'svm_gpu_celsius{gpu="1",name="NVIDIA B"} 61.0' in lines
    assert 'svm_gpu_watts{gpu="0",name="NVIDIA A"} 350.0' in lines
    assert not [line for line in lines if line.startswith('svm_gpu_busy_ratio{gpu="1"')]


def test_without_a_driver_or_library_there_are_none(library, monkeypatch):
    def broken() -> None:
        raise NvmlError("no driver")

    library.nvmlInit = broken
    read = Nvml()
    assert read() == [] and read() == []
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Nvml()() == []
    assert not [line for line in text_of(gpu_metrics(Nvml())) if line.startswith("svm_gpu")]


def test_the_ledger_counts_with_its_log(tmp_path):
    ledger = tmp_path / "ledger.sqlite"
    assert ledger_bytes(ledger) == 0
    ledger.write_bytes(b"x" * 100)
    (tmp_path / "ledger.sqlite-wal").write_bytes(b"x" * 50)
    lines = text_of(disk_metrics(ledger, lambda: 7))
    assert "svm_ledger_bytes 150.0" in lines and "svm_disk_free_bytes 7.0" in lines
