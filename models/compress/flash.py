"""flash: FlashAttention by its number, where the GPU and what is installed honour it, and a sentence where
not.

    flash               FlashAttention-3
    flash version=2     the one that comes with torch; version=4 where flash-attn-4 is installed

Nothing is chosen silently: a version that cannot run is refused with the reason and the nearest that can.
torch takes versions 3 and 4 from the package `flash_attn_interface` or `flash_attn.cute`, for the whole
process; its version 3 insists on compute capability 9 (the kernels themselves know 8 as well), its version 4
on 9 or 10. Once chosen, a prompt's attention without a mask fails rather than run otherwise. With a mask
(views that must not see each other, keys forgotten before attention) no flash kernel applies, and torch's own
choice runs, as without this step.

At the lengths of this task attention is half a percent of the work, so this saves next to nothing: it is here
so that the question is settled by a measurement and not by a brochure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.compress.step import Step

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.compress.interface import Attend


@dataclass(frozen=True, slots=True)
class Version:
    """`majors` of compute capability that torch takes it on; `package` it needs, "" when it is torch's
    own."""

    majors: frozenset[int]
    package: str = ""


VERSIONS: Mapping[str, Version] = {
    "3": Version(frozenset({9}), "flash_attn_interface"),
    "2": Version(frozenset({8, 9, 10, 11, 12})),
    "4": Version(frozenset({9, 10}), "flash_attn.cute"),
}
"""The first is the default."""


def refusal(
    version: str, capability: int | None, installed: Callable[[str], bool] | None = None
) -> str | None:
    """Why FlashAttention of this version cannot run, None when it can; ends with the nearest that can.

    `capability` is the compute capability times ten, None: no GPU.
    """
    there = installed or is_installed
    reason = _reason(version, capability, there)
    if reason is None:
        return None
    able = [each for each in VERSIONS if _reason(each, capability, there) is None]
    nearest = f"version={max(able)}" if able else "no such step: torch then chooses by itself"
    return f"{reason}; the nearest that works here is {nearest}"


def _reason(version: str, capability: int | None, installed: Callable[[str], bool]) -> str | None:
    wanted = VERSIONS[version]
    if capability is None:
        return f"FlashAttention-{version} runs on NVIDIA GPUs, and there is none"
    if capability // 10 not in wanted.majors:
        majors = ", ".join(f"{each}.x" for each in sorted(wanted.majors))
        have = f"this GPU's is {capability / 10:.1f}"
        return f"FlashAttention-{version} in torch takes compute capability {majors}, and {have}"
    if wanted.package and not installed(wanted.package):
        return f"FlashAttention-{version} needs the package {wanted.package}, which is not installed"
    return None


def is_installed(package: str) -> bool:
    """Whether a package, or a part of one ("a.b"), could be imported; imports neither."""
    parent, _, part = package.partition(".")
    spec = find_spec(parent)
    if spec is None or not part:
        return spec is not None
    return any((Path(folder) / part).is_dir() for folder in spec.submodule_search_locations or ())


def create(step: Step) -> Attend:
    """Raises ValueError where it cannot run, with the reason and the nearest that can."""
    import torch

    version = step.word("version", tuple(VERSIONS))
    major, minor = torch.cuda.get_device_capability() if torch.cuda.is_available() else (None, 0)
    if why := refusal(version, None if major is None else 10 * major + minor):
        raise ValueError(f"{step}: {why}")
    if VERSIONS[version].package:
        from torch.nn.attention import activate_flash_attention_impl

        activate_flash_attention_impl(f"FA{version}")
    return _attend


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from models.compress.attention import plain

    if attention_mask is not None:
        return plain(module, query, key, value, attention_mask, **kwargs)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return plain(module, query, key, value, None, **kwargs)
