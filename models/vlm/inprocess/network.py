"""Pictures in, scores of the next token out: one prefill a group of scenes, with compression at work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.compress import counted
from models.compress.applied import Applied
from models.compress.interface import Kept, Marks, View
from models.compress.prefill import Prefilled, prefill
from models.compress.reading import Reading, Tongue, say
from models.compress.stores import Pair, stored_bytes
from models.vlm.inprocess.parts import Parts, Seen
from models.vlm.inprocess.prompt import Prompt, check

Picture = Mapping[str, Tensor]
Scene = Sequence[Picture]


@dataclass(frozen=True)
class Read:
    """What was read of a scene: `logits` [words] float32 of the next token; `visual` tokens its pictures
    had, `kept` of them that went into the language model's last layer; `kv_bytes` its cache holds."""

    logits: Tensor
    visual: int
    kept: int
    kv_bytes: int


@dataclass(frozen=True)
class _Written:
    """A scene as the decoder gets it, pruned: embeddings [N, d], positions [.., 1, N], DeepStack's features,
    `sizes` [v] how many tokens each visual one counts for (None: one)."""

    embeds: Tensor
    positions: Tensor
    deep: tuple[Tensor, ...]
    marks: Marks
    ids: tuple[int, ...]
    visual: int
    sizes: Tensor | None

    @property
    def group(self) -> tuple[Any, ...]:
        """Scenes alike in this go through the decoder together, and none is padded."""
        return len(self.ids), self.marks.views, self.marks.grids


class Network:
    """`reuse` whether the prompt before the first picture is read once and for all, where the model's layers
    allow that."""

    def __init__(self, parts: Parts, applied: Applied, prompt: Prompt, reuse: bool = True) -> None:
        self.parts, self.applied, self.prompt = parts, applied, prompt
        self._reuse = reuse and parts.plain
        self._prefix: tuple[Pair, ...] = ()

    @torch.inference_mode()
    def read(self, scenes: Sequence[Scene]) -> list[Read]:
        """One prefill for all scenes that are alike in size."""
        found: dict[int, Read] = {}
        for numbers, written in self._groups(scenes):
            state = self._prefill(written, self.applied)
            last = torch.stack([one.embeds[-1] for one in written])
            logits = self.applied.adjust(self.parts.head(state.hidden[:, None])[:, 0], last, self.parts.head)
            share = stored_bytes(state.cache) // len(written)
            for row, number in enumerate(numbers):
                one = written[row]
                found[number] = Read(logits[row].float(), one.visual, state.visual[-1], share)
        return [found[number] for number in range(len(scenes))]

    @torch.inference_mode()
    def say(self, scene: Scene, most: int, end: frozenset[int]) -> list[int]:
        """Greedy tokens after a scene's prompt, at most `most`, an end mark included where it came."""
        return say(self.reading(scene, end), self.applied, most)

    @torch.inference_mode()
    def reading(self, scene: Scene, end: frozenset[int]) -> Reading:
        """A scene that has been read, for whoever goes on from there."""
        seen = self.parts.look(scene)
        tongue = Tongue(self.parts.decoder, self.parts.embed, self.parts.head, end)

        def read(applied: Applied) -> Reading:
            written = self._write(seen, applied.choose([_view(one) for one in seen]))
            state = self._prefill([written], applied)
            return Reading(tongue, applied, state, written.ids, read)

        return read(self.applied)

    def _groups(self, scenes: Sequence[Scene]) -> list[tuple[list[int], list[_Written]]]:
        groups: dict[Any, tuple[list[int], list[_Written]]] = {}
        for number, written in enumerate(self._written(scenes)):
            numbers, alike = groups.setdefault(written.group, ([], []))
            numbers.append(number)
            alike.append(written)
        return list(groups.values())

    def _written(self, scenes: Sequence[Scene]) -> list[_Written]:
        for scene in scenes:
            check(len(scene))
        seen = iter(self.parts.look([picture for scene in scenes for picture in scene]))
        written = []
        for scene in scenes:
            views = [next(seen) for _ in scene]
            written.append(self._write(views, self.applied.choose([_view(one) for one in views])))
        return written

    def _write(self, seen: Sequence[Seen], kept: Sequence[Kept]) -> _Written:
        sizes = tuple(len(one.features) for one in seen)
        device = seen[0].features.device
        whole = torch.tensor(self.prompt.ids(sizes), device=device)
        positions = self.parts.positions(whole, [one.thw for one in seen])
        stays = torch.ones(len(whole), dtype=torch.bool, device=device)
        stays[whole == self.prompt.image] = _flags(sizes, kept, device)
        ids = whole[stays]
        visual = (ids == self.prompt.image).nonzero()[:, 0]
        embeds = self.parts.embed(ids).clone()
        embeds[visual] = torch.cat(
            [
                one.features[k.index] if k.features is None else k.features
                for one, k in zip(seen, kept, strict=True)
            ]
        ).to(embeds.dtype)
        deep = tuple(
            torch.cat([one.deep[layer][k.index] for one, k in zip(seen, kept, strict=True)])
            for layer in range(len(seen[0].deep))
        )
        marks = Marks(
            length=len(ids),
            visual=visual,
            views=tuple(len(one.index) for one in kept),
            grids=tuple(one.grid for one in seen),
            origin=torch.cat([one.index for one in kept]),
        )
        counts = counted.of_scene(kept)
        return _Written(embeds, positions[..., stays], deep, marks, tuple(ids.tolist()), sum(sizes), counts)

    def _prefill(self, alike: Sequence[_Written], applied: Applied) -> Prefilled:
        first = alike[0]
        extra = {}
        if first.deep:
            begin = self.prompt.prefix if self._reuse else 0
            mask = torch.zeros(len(alike), first.marks.length, dtype=torch.bool, device=first.embeds.device)
            mask[:, first.marks.visual] = True
            extra = {
                "visual_pos_masks": mask[:, begin:],
                "deepstack_visual_embeds": [
                    torch.cat(layer) for layer in zip(*(one.deep for one in alike), strict=True)
                ],
            }
        return prefill(
            self.parts.decoder,
            applied,
            torch.stack([one.embeds for one in alike]),
            torch.cat([one.positions for one in alike], dim=-2),
            first.marks,
            prefix=self._read_prefix() if self._reuse else (),
            sizes=counted.of_batch([one.sizes for one in alike]),
            extra=extra,
        )

    def _read_prefix(self) -> tuple[Pair, ...]:
        """Keys and values of the text before the pictures, computed at the first call."""
        if not self._prefix:
            ids = torch.tensor(self.prompt.before, device=self.parts.model.device)  # type: ignore[arg-type]
            places = torch.arange(len(ids), device=ids.device)
            none = Marks(len(ids), places[:0], (), (), places[:0])
            bare = Applied(self.applied.of("attention"), self.parts.layers)
            state = prefill(self.parts.decoder, bare, self.parts.embed(ids)[None], places[None], none)
            layers: list[Any] = state.cache.layers
            self._prefix = tuple((layer.keys, layer.values) for layer in layers)
        return self._prefix


def _view(seen: Seen) -> View:
    return View(seen.features, seen.grid, seen.attention, seen.keys)


def _flags(sizes: Sequence[int], kept: Sequence[Kept], device: torch.device) -> Tensor:
    """[sum of sizes] bool: which visual tokens stay."""
    flags = [torch.zeros(size, dtype=torch.bool, device=device) for size in sizes]
    for flag, one in zip(flags, kept, strict=True):
        flag[one.index] = True
    return torch.cat(flags)
