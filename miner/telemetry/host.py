"""This host as metrics: room on the disk, the size of the ledger, and the GPUs by NVML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from loguru import logger
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from miner.telemetry.collectors import Reading

GPU_FACTS = {
    "memory_bytes": "Memory of a GPU",
    "memory_used_bytes": "Used of it, by anybody",
    "busy_ratio": "Part of the last moment in which a kernel ran",
    "celsius": "Temperature",
    "watts": "Power",
}


@dataclass(frozen=True, slots=True)
class GpuNow:
    """One GPU at this moment. `busy_ratio` in [0, 1]; what the driver does not tell is None."""

    name: str
    memory_bytes: int
    memory_used_bytes: int
    busy_ratio: float | None
    celsius: float | None
    watts: float | None


def disk_metrics(ledger: Path, free: Callable[[], int]) -> Reading:
    """`ledger` the SQLite file, counted with its log; `free` bytes of the data folder's disk."""

    def metrics() -> Iterator[Metric]:
        yield GaugeMetricFamily("svm_disk_free_bytes", "Room for the data folder", value=free())
        yield GaugeMetricFamily("svm_ledger_bytes", "The ledger on the disk", value=ledger_bytes(ledger))

    return Reading(metrics)


def ledger_bytes(ledger: Path) -> int:
    """The file and its write-ahead log; 0 when there is none."""
    total = 0
    for path in (ledger, ledger.with_name(ledger.name + "-wal")):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def gpu_metrics(read: Callable[[], Sequence[GpuNow]]) -> Reading:
    """A sample per GPU and fact; none without GPUs."""

    def metrics() -> Iterator[Metric]:
        gpus = read()
        for fact, about in GPU_FACTS.items():
            family = GaugeMetricFamily(f"svm_gpu_{fact}", about, labels=["gpu", "name"])
            for index, gpu in enumerate(gpus):
                if (value := getattr(gpu, fact)) is not None:
                    family.add_metric([str(index), gpu.name], value)
            yield family

    return Reading(metrics)


class Nvml:
    """Reads all GPUs of the host. Without the `gpu` extra or an NVIDIA driver there are none, said once."""

    def __init__(self) -> None:
        self._library: ModuleType | None = None
        self._missing = False

    def __call__(self) -> list[GpuNow]:
        """Takes about a millisecond per GPU; nothing is allocated on them."""
        if self._library is None and not self._missing:
            self._open()
        if self._library is None:
            return []
        return [_gpu(self._library, index) for index in range(self._library.nvmlDeviceGetCount())]

    def _open(self) -> None:
        try:
            import pynvml
        except ImportError:
            self._missing = True
            logger.debug("no GPU metrics: nvidia-ml-py (the extra gpu) is not installed")
            return
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            self._missing = True
            logger.debug("no GPU metrics: {}", error)
            return
        self._library = pynvml


def _gpu(nvml: ModuleType, index: int) -> GpuNow:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)

    def told(read: Callable[[], float], unit: float) -> float | None:
        try:
            return read() / unit
        except nvml.NVMLError:  # a GPU partitioned by MIG, or a laptop's, does not tell everything
            return None

    name = nvml.nvmlDeviceGetName(handle)
    return GpuNow(
        name=name.decode() if isinstance(name, bytes) else name,
        memory_bytes=memory.total,
        memory_used_bytes=memory.used,
        busy_ratio=told(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu, 100),
        celsius=told(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU), 1),
        watts=told(lambda: nvml.nvmlDeviceGetPowerUsage(handle), 1000),
    )
