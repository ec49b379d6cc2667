"""What the miner says about itself: the log, one line per challenge, and the metrics."""

from miner.telemetry.collectors import (
    Reading,
    capture_metrics,
    chain_metrics,
    engine_metrics,
    hotkey_metrics,
    job_metrics,
    recorder_metrics,
    reward_metrics,
)
from miner.telemetry.host import Nvml, disk_metrics, gpu_metrics
from miner.telemetry.logs import set_up_logging
from miner.telemetry.metrics import Metrics
from miner.telemetry.request_log import RequestLog

__all__ = [
    "Metrics",
    "Nvml",
    "Reading",
    "RequestLog",
    "capture_metrics",
    "chain_metrics",
    "disk_metrics",
    "engine_metrics",
    "gpu_metrics",
    "hotkey_metrics",
    "job_metrics",
    "recorder_metrics",
    "reward_metrics",
    "set_up_logging",
]
