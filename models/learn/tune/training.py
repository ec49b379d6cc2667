"""One training run of a backbone on labelled images, by labels alone or by a teacher too."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from models.learn.data import Example
from models.learn.fit import Say, make_stream, rate_at
from models.learn.kept import key_of
from models.learn.loop import NOWHERE, Batch, Figures, Keep, Look, run
from models.learn.network import Average, norms, revive_norms
from models.learn.recipe import Recipe
from models.learn.snapshot import State
from models.learn.tune.backbone import Backbone, Open
from models.learn.tune.method import Method, apply, train_mode

Watch = Callable[[int, Backbone], Figures]
"""Called at checkpoints with the step and the averaged backbone in evaluation mode; figures for the log."""


@dataclass(frozen=True)
class Seen:
    """A batch and what the student made of it: `views` (batch, 3, side, side) in [-1, 1], `labels` (batch,)
    0 or 1, `logits` (batch, 2), `features` (batch, width) before the head."""

    views: torch.Tensor
    labels: torch.Tensor
    logits: torch.Tensor
    features: torch.Tensor

    @property
    def log_odds(self) -> torch.Tensor:
        return self.logits[:, 1] - self.logits[:, 0]


class Labels(nn.Module):
    """Cross-entropy with smoothed labels. What every objective looks like: (Seen, step from 1) -> loss."""

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, seen: Seen, step: int) -> torch.Tensor:
        return functional.cross_entropy(seen.logits, seen.labels.long(), label_smoothing=self.smoothing)


MakeObjective = Callable[[Backbone], nn.Module]
"""Makes the objective for a student; its own weights are trained with the student's and then dropped."""


@dataclass(frozen=True)
class Run:
    """`losses` per step; `backbone` with averaged weights, in evaluation mode, low-rank changes still
    apart."""

    backbone: Backbone
    losses: list[float]


def tune(
    start: Open,
    examples: Sequence[Example],
    recipe: Recipe,
    method: Method,
    seed: int,
    *,
    objective: MakeObjective | None = None,
    last: int | None = None,
    watch: Watch | None = None,
    say: Say = print,
    keep: Keep = NOWHERE,
    device: str = "cpu",
) -> Run:
    """Train for `recipe.steps` batches, or stop after `last` of them with the same schedule.

    `objective` what is minimised (None: `Labels`). Raises CheckpointError, SnapshotError, ValueError."""
    backbone = start()
    torch.manual_seed(seed)
    stream = make_stream(examples, recipe, seed)
    if method.how == "full" and norms(backbone.module):
        calm = (backbone.normal(views) for views, _ in stream.batches(recipe.batch, 4))
        revive_norms(backbone.module, calm, recipe.momentum)
    backbone.module.to(device)
    apply(method, backbone)
    aim = (objective(backbone) if objective else Labels(recipe.smoothing)).to(device)
    both = nn.ModuleDict({"student": backbone.module, "aim": aim})
    average = Average(both, recipe.decay)
    optimiser = torch.optim.AdamW(_groups(both, recipe.weight_decay), lr=recipe.rate)
    step_on = _Step(backbone, aim, optimiser, method, device)
    losses = run(
        both,
        optimiser,
        average,
        lambda first: stream.batches(recipe.batch, last or recipe.steps, first=first),
        step_on,
        lambda step: rate_at(step, recipe),
        recipe,
        last=last,
        look=_shown(backbone, watch),
        say=say,
        keep=keep,
        key=key_of(f"{asdict(recipe)} {asdict(method)} {last} {keep.note}", examples, seed),
    )
    return Run(_averaged(backbone, average.state), losses)


class _Step:
    """One step of the optimiser."""

    def __init__(
        self,
        backbone: Backbone,
        aim: nn.Module,
        optimiser: torch.optim.Optimizer,
        method: Method,
        device: str,
    ) -> None:
        self._backbone, self._aim, self._optimiser = backbone, aim, optimiser
        self._method, self._device = method, device
        self._features: list[torch.Tensor] = []

    def __call__(self, batch: Batch, step: int) -> float:
        views, labels = (each.to(self._device) for each in batch)
        train_mode(self._method, self._backbone.module)
        hook = self._backbone.layer.register_forward_pre_hook(self._listen)
        logits = self._backbone.module(pixel_values=self._backbone.normal(views)).logits.float()
        hook.remove()  # not there when the module is copied
        loss: torch.Tensor = self._aim(Seen(views, labels, logits, self._features.pop().float()), step)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return float(loss.detach())

    def _listen(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        features: torch.Tensor = inputs[0]
        self._features.append(features if features.ndim == 2 else features.mean(dim=1))


def _groups(module: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weight decay for matrices only."""
    weights = [each for each in module.parameters() if each.requires_grad]
    return [
        {"params": [each for each in weights if each.ndim > 1], "weight_decay": decay},
        {"params": [each for each in weights if each.ndim <= 1], "weight_decay": 0.0},
    ]


def _shown(backbone: Backbone, watch: Watch | None) -> Look | None:
    if watch is None:
        return None
    return lambda step, state: watch(step, _averaged(backbone, state))


def _averaged(backbone: Backbone, state: State) -> Backbone:
    """A copy with these weights, in evaluation mode."""
    still = copy.deepcopy(backbone.module)
    prefix = "student."
    still.load_state_dict(
        {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    )
    still.train(False)
    return backbone.with_module(still)


def sized(recipe: Recipe, backbone: Backbone, side: int | None) -> Recipe:
    """Views of `side` px (None: the size that the backbone is shown images in)."""
    return replace(recipe, side=side or backbone.side)
