"""VLMs of the transformers library in this process: where compression lives, is proven, and is served.

`family`   how each family writes a picture into its prompt
`parts`    the pieces of a loaded model that a prefill needs, and what it offers to steps
`prompt`   token ids of a scene, its pictures pruned
`network`  pictures -> visual tokens -> one prefill -> the answer tokens' scores, or words
`tier`     the member of the cascade

Importing this costs nothing; `load_vlm` imports torch and transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.vlm.inprocess.tier import InProcessVLM


def load_vlm(
    path: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    name: str = "vlm_inprocess",
    steps: Sequence[str] = (),
    dtype: str = "auto",
    calibration: Mapping[str, float] | None = None,
    **asked: Any,
) -> InProcessVLM:
    """The tier of a checkpoint: a folder, or a hub id with its commit as `revision`.

    `steps` lines of `models.compress`; `dtype` auto (the checkpoint's), float32, bfloat16 or float16;
    `calibration` and `asked` (instruction, labels, low_mass) fields of `models.vlm.question.Question`.
    Raises CheckpointError for a folder that holds no such model, ValueError for steps that do not fit it.
    """
    from models.vlm.inprocess.load import load

    return load(path, revision, device, name, steps, dtype, {"calibration": calibration, **asked})
