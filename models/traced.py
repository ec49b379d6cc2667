"""Where the models of this process spend their time: every operator of every thread, by torch's profiler."""

from __future__ import annotations

import time
from pathlib import Path

TOP = 12


def trace(seconds: float, file: Path) -> list[tuple[str, float]]:
    """Watch for so long and write a trace that chrome://tracing and Perfetto read; (operator, its share of
    the time of all, in (0, 1]), the largest first. Operators slow down while they are watched. Raises
    OSError."""
    import torch
    from torch._C._profiler import _ExperimentalConfig
    from torch.profiler import ProfilerActivity, profile

    on_gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    everywhere = _ExperimentalConfig(profile_all_threads=True)  # models run in threads of their own
    file.touch()  # a folder that is not there is told before anybody waits
    with profile(activities=activities, experimental_config=everywhere) as seen:
        time.sleep(seconds)
    seen.export_chrome_trace(str(file))
    file.chmod(0o600)
    took = {
        str(row.key): float(row.self_device_time_total if on_gpu else row.self_cpu_time_total)
        for row in seen.key_averages()
    }
    total = sum(took.values()) or 1.0
    first = sorted(took.items(), key=lambda one: -one[1])[:TOP]
    return [(name, spent / total) for name, spent in first if spent > 0]
