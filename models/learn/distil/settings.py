"""Teachers and objectives by what is written on the command line."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from models.learn.distil import teachers
from models.learn.distil.soft import SoftLabels
from models.learn.distil.teachers import ImageText, Soft
from models.learn.distil.vl2lite import VL2Lite
from models.learn.recipe import Recipe
from models.learn.tune.backbone import Backbone
from models.learn.tune.training import MakeObjective


def objective(kind: str, teacher: str, recipe: Recipe, device: str, weight: float) -> MakeObjective:
    """`kind` "kd" or "vl2lite"; `teacher` as `soft` and `image_text` take it; `weight` of the labels. Raises
    ValueError."""
    if kind == "kd":
        told = soft(teacher, device)
        return lambda student: SoftLabels(told, weight, recipe.smoothing)
    if kind != "vl2lite":
        raise ValueError(f"distillation is kd or vl2lite, not {kind!r}")
    shown = image_text(teacher, device)

    def make(student: Backbone) -> nn.Module:
        return VL2Lite(shown, student.width, weight=weight, smoothing=recipe.smoothing)

    return make


def soft(text: str, device: str) -> Soft:
    """ "ensemble:A,B" classifiers' folders, or "cascade:DIR". Raises ValueError."""
    kind, _, rest = text.partition(":")
    if kind == "ensemble" and rest:
        return teachers.checkpoints(rest.split(","), device)
    if kind == "cascade" and rest:
        return teachers.cascade(Path(rest))
    raise ValueError(f"a teacher of kd is ensemble:A,B or cascade:DIR, not {text!r}")


def image_text(text: str, device: str) -> ImageText:
    """ "clip:DIR", "clip:HUB-ID@COMMIT", or "drawn": learned on rendered scenes. Raises ValueError."""
    kind, _, rest = text.partition(":")
    if kind == "drawn":
        from models.learn.distil.drawn import drawn

        return drawn(device=device)
    if kind == "clip" and rest:
        path, _, revision = rest.partition("@")
        return teachers.Clip(path, revision or None, device)
    raise ValueError(f"a teacher of vl2lite is clip:DIR[@COMMIT] or drawn, not {text!r}")
