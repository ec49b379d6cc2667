"""Choosing a kernel's sizes: measured on a GPU, the first choice in the interpreter, where time says
nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import triton

from models.kernels import interpreted

Sizes = Mapping[str, int]
_LAUNCH = ("num_warps", "num_stages")


def tuned(key: list[str], *choices: Sizes) -> Callable[[Any], Any]:
    """A decorator for a kernel. `choices` name its compile-time sizes, and `num_warps` and `num_stages` of
    the launch; on a GPU the fastest is found once for each value of the arguments named in `key`. Kernels
    take the `size_class` of what grows by the token as an argument of its own, so as not to be measured at
    each."""

    def choose(kernel: Any) -> Any:
        if interpreted():
            return _Fixed(kernel, _sizes(choices[0]))
        configs = [
            triton.Config(_sizes(choice), **{name: choice[name] for name in _LAUNCH if name in choice})
            for choice in choices
        ]
        return triton.autotune(configs=configs, key=key)(kernel)

    return choose


def size_class(count: int) -> int:
    """The power of two that is not below `count`."""
    return 1 << max(0, count - 1).bit_length()


def _sizes(choice: Sizes) -> dict[str, int]:
    return {name: size for name, size in choice.items() if name not in _LAUNCH}


class _Fixed:
    """A kernel with its sizes filled in, launched as an autotuned one is."""

    def __init__(self, kernel: Any, sizes: Sizes) -> None:
        self._kernel, self._sizes = kernel, dict(sizes)
        self.fn = kernel

    def __getitem__(self, grid: Any) -> Callable[..., Any]:
        return partial(self._kernel[grid], **self._sizes)
