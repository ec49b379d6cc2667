"""A vision-language model of our own, small enough for a CPU: the real VLM tier of a rehearsal.

`words`    its closed vocabulary, one token a word
`network`  the embedded backbone's last map -> projector -> a small Llama decoder
`layout`   which token may look at which: views are blocks that see the question and themselves
`compressed` a prefill with steps of `models.compress`
`tier`     the member of the cascade, and greedy reasons

Importing this costs nothing; `load_small_vlm` imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.vlm.small.tier import SmallVLM


def load_small_vlm(
    path: str | Path | None = None,
    *,
    backbone: str | Path | None = None,
    device: str = "auto",
    steps: Sequence[str] = (),
) -> SmallVLM:
    """The tier in the folder `path` (default: the embedded one) on the classifier's folder `backbone`.

    `steps` lines of `models.compress`. Raises CheckpointError when either is not there, or they were not
    trained together, ValueError for steps that do not fit.
    """
    from models.vlm.small.tier import load

    return load(path, backbone, device, steps)
