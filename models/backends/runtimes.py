"""An ONNX file in a runtime that is installed. Each takes the file and a number of threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backends.export import FEATURES, LOGITS, PIXELS

Floats = NDArray[np.float32]
Told = tuple[Floats, Floats | None]
"""Logits (batch, labels); features (batch, width) where the model has a linear head."""
Runner = Callable[[Floats], Told]
"""From pixels (batch, 3, height, width), normalised. Called by one thread at a time."""


class _OnnxRuntime:
    """No spinning: the cores belong to whoever decodes and answers, too."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, pixels: Floats) -> Told:
        told = dict(zip(self._names, self._session.run(None, {PIXELS: pixels}), strict=True))
        return told[LOGITS], told.get(FEATURES)


class _OpenVino:
    """One stream for one caller: a batch gets all threads. `precision` f32 or bf16."""

    def __init__(self, path: Path, threads: int, precision: str = "f32") -> None:
        import openvino

        hints: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
        }
        compiled = openvino.Core().compile_model(str(path), "CPU", hints)
        self._request = compiled.create_infer_request()
        self._features = any(FEATURES in output.names for output in compiled.outputs)

    def __call__(self, pixels: Floats) -> Told:
        told = self._request.infer({PIXELS: pixels})
        return told[LOGITS].copy(), told[FEATURES].copy() if self._features else None


RUNTIMES: Mapping[str, Callable[[Path, int], Runner]] = {"onnxruntime": _OnnxRuntime, "openvino": _OpenVino}
BF16_RUNTIMES: Mapping[str, Callable[[Path, int], Runner]] = {
    "openvino": partial(_OpenVino, precision="bf16")
}
"""Those that compute a float32 file in bfloat16 where the CPU can."""


def installed() -> dict[str, str]:
    """Runtime -> its version, of those that are installed."""
    found = {}
    for name in RUNTIMES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
