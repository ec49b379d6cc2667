"""The small VLM's prefill with compression at work; scenes of one size together, so that no view is
padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.compress import counted
from models.compress.applied import Applied
from models.compress.attention import install
from models.compress.interface import Kept, Marks, View
from models.compress.plan import Offer
from models.compress.prefill import Prefilled, prefill
from models.compress.reading import Reading, Tongue, say
from models.compress.stores import stored_bytes
from models.vlm.small.layout import lay_out
from models.vlm.small.network import SmallNetwork
from models.vlm.small.words import LONGEST, PROMPT, TOKENS, encode


@dataclass(frozen=True)
class Read:
    """Of one scene: `logits` [words] of the answer's first word; `visual` tokens there were, `kept` of them
    in the last layer; `kv_bytes` the cache holds."""

    logits: Tensor
    visual: int
    kept: int
    kv_bytes: int


def offer(network: SmallNetwork) -> Offer:
    shape = network.shape
    refused = (("weights", "its weights are a few hundred thousand numbers, read once"),)
    return Offer("small_vlm", head_dim=shape.width // shape.heads, refuses=refused)


class Compressed:
    """`network` read with `applied`."""

    def __init__(self, network: SmallNetwork, applied: Applied) -> None:
        self.network, self.applied = network, applied
        install(network.decoder.model)
        embed = network.decoder.get_input_embeddings()
        self._tongue = Tongue(
            network.decoder.model, embed, network.decoder.lm_head, frozenset({TOKENS["<eos>"]})
        )

    @torch.inference_mode()
    def read(self, maps: Tensor, present: Tensor) -> list[Read]:
        """Of scenes (batch, views, ...) padded to a common number of views, those `present`, which come
        first."""
        scenes = [
            self._choose(self.applied, one[:count]) for one, count in zip(maps, present.sum(1), strict=True)
        ]
        found: dict[int, Read] = {}
        for numbers in _alike([kept for _, kept in scenes]):
            state = self._prefill(self.applied, [scenes[number] for number in numbers])
            last = self._tongue.embed(torch.full((len(numbers),), TOKENS["<answer>"], device=maps.device))
            logits = self.applied.adjust(
                self._tongue.head(state.hidden[:, None])[:, 0], last, self._tongue.head
            )
            share = stored_bytes(state.cache) // len(numbers)
            for row, number in enumerate(numbers):
                visual = int(present[number].sum()) * self.network.shape.view_tokens
                found[number] = Read(logits[row], visual, state.visual[-1], share)
        return [found[number] for number in range(len(maps))]

    @torch.inference_mode()
    def speak(self, maps: Tensor, present: Tensor) -> list[list[int]]:
        """Greedy answers, a list of tokens each, the end mark included where it came in time."""
        pairs = zip(maps, present.sum(1), strict=True)
        return [say(self.reading(one[:count]), self.applied, LONGEST) for one, count in pairs]

    def reading(self, maps: Tensor) -> Reading:
        """One scene (views, ...) that has been read."""

        def read(applied: Applied) -> Reading:
            scene = self._choose(applied, maps)
            state = self._prefill(applied, [scene])
            visual = sum(len(one.index) for one in scene[1])
            ids = [*encode(PROMPT), *[TOKENS["<pad>"]] * visual, TOKENS["<answer>"]]
            return Reading(self._tongue, applied, state, ids, read)

        return read(self.applied)

    def _choose(self, applied: Applied, maps: Tensor) -> tuple[Tensor, list[Kept]]:
        """(views, tokens, width) of a scene's views, and which of them are kept."""
        side = self.network.shape.grid
        seen = self.network.look(maps[None])[0]
        return seen, applied.choose([View(one, (side, side)) for one in seen])

    def _prefill(self, applied: Applied, scenes: Sequence[tuple[Tensor, list[Kept]]]) -> Prefilled:
        """Of scenes that keep equally many tokens of each of their views."""
        tokens, device = self.network.shape.view_tokens, scenes[0][0].device
        views = len(scenes[0][0])
        question = len(PROMPT)
        stays = torch.stack([_stays(kept, tokens, question) for _, kept in scenes])
        rows = stays.nonzero()[:, 1].view(len(scenes), -1)
        everyone = torch.ones(len(scenes), views, dtype=torch.bool, device=device)
        layout = lay_out(everyone, question, tokens, 1)
        mask = layout.mask.gather(2, rows[:, None, :, None].expand(-1, 1, -1, layout.mask.shape[-1]))
        mask = mask.gather(3, rows[:, None, None].expand(-1, 1, rows.shape[1], -1))
        words = self._tongue.embed(torch.tensor([*encode(PROMPT), TOKENS["<answer>"]], device=device))
        seen = torch.stack([_features(one, kept) for one, kept in scenes])
        words = words.expand(len(scenes), -1, -1)
        kept = scenes[0][1]
        marks = Marks(
            length=rows.shape[1],
            visual=torch.arange(question, question + seen.shape[1], device=device),
            views=tuple(len(one.index) for one in kept),
            grids=((self.network.shape.grid, self.network.shape.grid),) * views,
            origin=torch.cat([one.index for one in kept]),
        )
        return prefill(
            self.network.decoder.model,
            applied,
            torch.cat([words[:, :question], seen, words[:, question:]], dim=1),
            layout.positions.gather(1, rows),
            marks,
            mask=mask,
            sizes=counted.of_batch([counted.of_scene(kept) for _, kept in scenes]),
        )


def _features(seen: Tensor, kept: Sequence[Kept]) -> Tensor:
    """[k, width] of all views."""
    parts = [
        view[one.index] if one.features is None else one.features
        for view, one in zip(seen, kept, strict=True)
    ]
    return torch.cat(parts)


def _stays(kept: Sequence[Kept], tokens: int, question: int) -> Tensor:
    """[N] bool over a whole prompt: question, views, the answer's mark."""
    device = kept[0].index.device
    stays = torch.ones(question + len(kept) * tokens + 1, dtype=torch.bool, device=device)
    stays[question:-1] = False
    for number, one in enumerate(kept):
        stays[question + number * tokens + one.index] = True
    return stays


def _alike(scenes: Sequence[Sequence[Kept]]) -> list[list[int]]:
    """Numbers of scenes that keep equally many tokens of each view."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, kept in enumerate(scenes):
        groups.setdefault(tuple(len(one.index) for one in kept), []).append(number)
    return list(groups.values())
