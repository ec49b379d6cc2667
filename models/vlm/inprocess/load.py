"""From a checkpoint to the tier."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from models.checkpoint import CheckpointError, locate
from models.classifier import resolve_device
from models.compress import plan
from models.compress.applied import Applied
from models.vlm.create import question_of
from models.vlm.inprocess.family import family
from models.vlm.inprocess.network import Network
from models.vlm.inprocess.parts import Parts
from models.vlm.inprocess.prompt import write
from models.vlm.inprocess.tier import InProcessVLM
from models.vlm.question import Question

DTYPES = ("auto", "float32", "bfloat16", "float16")


def load(
    path: str,
    revision: str | None,
    device: str,
    name: str,
    steps: Sequence[str],
    dtype: str,
    asked: Mapping[str, Any],
) -> InProcessVLM:
    """See `models.vlm.inprocess.load_vlm`."""
    if dtype not in DTYPES:
        raise ValueError(f"{name}: a dtype is one of {', '.join(DTYPES)}, not {dtype!r}")
    question = question_of({"low_mass": {"rule": "wide"}, **_given(asked)}, name)
    folder, target = locate(path, revision), resolve_device(device)
    try:
        model: Any = AutoModelForImageTextToText.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=dtype, attn_implementation="sdpa"
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        images = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call] # transformers' own
            folder, local_files_only=True, backend="pil"
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} holds no image-text-to-text model: {error}") from error
    model = model.to(target).train(False).requires_grad_(False)
    version = fingerprint(folder, question, steps)
    return assemble(name, version, model, images, tokenizer, question, steps, target)


def assemble(
    name: str,
    version: str,
    model: Any,
    images: Any,
    tokenizer: Any,
    question: Question,
    steps: Sequence[str],
    device: str,
    reuse: bool = True,
) -> InProcessVLM:
    """The tier of a model that is at hand."""
    if question.low_mass.rule == "absent":
        raise ValueError(f"{name}: a member in this process answers for whole batches: low_mass must be wide")
    parts = Parts(model)
    applied = Applied(plan(steps, parts.offer()), parts.layers, max(1, parts.deep))
    applied.convert(model)
    if any("gaze" in step.method.needs for step in applied.steps):
        parts.watch()
    prompt = write(tokenizer, family(parts.type), parts.image_token, question.instruction)
    network = Network(parts, applied, prompt, reuse)
    return InProcessVLM(name, version, network, images, tokenizer, question, device)


def fingerprint(folder: Path, question: Question, steps: Sequence[str]) -> str:
    """Twelve hexadecimal digits over the weights' sizes and index, the configuration, the question and the
    steps.

    Weights are not read through: tens of gigabytes at every start. A hub id is pinned by its commit.
    """
    weights = [(file.name, file.stat().st_size) for file in sorted(folder.glob("*.safetensors"))]
    texts = [file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.json")) if file.is_file()]
    said = json.dumps([weights, texts, question.digest("inprocess", str(folder.name)), list(steps)])
    return sha256(said.encode()).hexdigest()[:12]


def _given(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in asked.items() if value is not None}
