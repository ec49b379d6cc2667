"""The in-process VLM as a member of the cascade: one to six views of a scene in one prompt, one word read
off."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from PIL.Image import Image

from models.compress.applied import Applied
from models.core import Evidence
from models.vlm.inprocess.network import Network, Picture, Read
from models.vlm.labels import Labels, Reading, spelled
from models.vlm.question import Question

FLOOR = 1e-30
"""Stands for a probability that float32 rounds to nothing."""


class InProcessVLM:
    """A `Tier` whose items are scenes: tuples of one to six prepared views."""

    joint = True
    side: int | None = None

    def __init__(
        self,
        name: str,
        version: str,
        network: Network,
        images: Any,
        tokenizer: Any,
        question: Question,
        device: str,
    ) -> None:
        """`images` is transformers' image processor."""
        self.name, self.version, self.device = name, version, device
        self.question = question
        self._network, self._images, self._tokenizer = network, images, tokenizer
        self._yes, self._no = label_tokens(tokenizer, question.labels)

    @property
    def applied(self) -> Applied:
        return self._network.applied

    def prepare(self, image: Image) -> Picture:
        smaller = self.applied.shrink(image.convert("RGB"))
        found = self._images(images=[smaller], return_tensors="pt")
        return {name: part for name, part in found.items() if isinstance(part, torch.Tensor)}

    def evidence(self, batch: Sequence[Sequence[Picture]]) -> list[Evidence]:
        """A scene's calibrated log-odds of "yes" against "no" as the first word, and what reading it took."""
        start = time.perf_counter()
        read = self._network.read([self._here(scene) for scene in batch])
        ms = (time.perf_counter() - start) * 1e3 / max(1, len(batch))
        return [self._evidence(one, ms) for one in read]

    def reason(self, batch: Sequence[Sequence[Picture]], most: int = 64) -> list[str]:
        """What it says when it may go on, greedily, at most `most` tokens."""
        end = self._ends()
        said = [self._network.say(self._here(scene), most, end) for scene in batch]
        return [str(self._tokenizer.decode(tokens, skip_special_tokens=True)).strip() for tokens in said]

    def _evidence(self, read: Read, ms: float) -> Evidence:
        chances = read.logits.softmax(-1)
        yes, no = (max(float(chances[ids].sum()), FLOOR) for ids in (self._yes, self._no))
        raw = torch.tensor([yes, no]).log()
        reading = self.question.low_mass.apply(Reading(float(raw[0] - raw[1]), min(yes + no, 1.0)))
        noticed = {
            "label_mass": reading.mass,
            "visual_tokens": float(read.visual),
            "kept_tokens": float(read.kept),
            "kv_bytes": float(read.kv_bytes),
        }
        odds = self.question.calibration.apply(reading.log_odds)
        return Evidence(self.name, self.version, odds, ms, noticed)

    def _here(self, scene: Sequence[Picture]) -> list[Picture]:
        return [{name: part.to(self.device) for name, part in view.items()} for view in scene]

    def _ends(self) -> frozenset[int]:
        config = self._network.parts.model.generation_config
        end = getattr(config, "eos_token_id", None)
        ends = end if isinstance(end, list) else [end, self._tokenizer.eos_token_id]
        return frozenset(one for one in ends if one is not None)


def label_tokens(tokenizer: Any, labels: Labels) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids of every token that spells "yes", and of every one that spells "no". Raises ValueError without
    any."""
    spellings = {number: spelled(token) for token, number in tokenizer.get_vocab().items()}
    found = []
    for words in (labels.yes, labels.no):
        wanted = {spelled(word) for word in words}
        ids = sorted(number for number, word in spellings.items() if word in wanted)
        if not ids:
            raise ValueError(
                f"no single token of this model spells {' or '.join(words)}: choose other labels"
            )
        found.append(torch.tensor(ids))
    return found[0], found[1]
