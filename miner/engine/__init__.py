"""Whatever judges, behind one interface: `create_engine` picks the kind that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from miner.engine import ray
from miner.engine.cache import CachedEngine
from miner.engine.child import ChildEngine
from miner.engine.config import EngineConfig
from miner.engine.interface import Engine
from miner.engine.thread import ThreadEngine
from miner.engine.tiers import Spec
from miner.settings import EngineSection, Model
from models.description import EMBEDDED, FILE, SINGLE, Description, DescriptionError, read
from models.imaging.header import Limits
from models.weights import CASCADE

ENGINES: dict[str, Callable[[EngineConfig], Engine]] = {
    "child": ChildEngine,
    "thread": ThreadEngine,
}
COMPRESSING = ("small_vlm", "vlm_inprocess")
"""Kinds of members that take steps of `models.compress`."""


def create_engine(
    engine: EngineSection,
    model: Model,
    device: str,
    limits: Limits,
    *,
    cascade: str | None = None,
    p95_ms: float | None = None,
    budget_ms: float | None = None,
    tiers: Sequence[Spec] | None = None,
    described: Description | None = None,
    gentle: bool = False,
    golden: bool = False,
) -> Engine:
    """The engine of these settings, not started. `device` auto, cpu, cuda or cuda:N; `p95_ms`, `budget_ms`,
    `gentle`, `golden` see EngineConfig; `described` or `tiers` instead of the settings' cascade. Raises
    DescriptionError when its folder describes none."""
    config = EngineConfig(
        cascade=described or _given(tiers) or chosen(cascade, model),
        device=device,
        limits=limits,
        most=engine.max_batch,
        queue=engine.queue,
        threads=engine.threads,
        decoders=engine.decoders,
        heartbeat_s=engine.heartbeat_s,
        hang_s=engine.hang_s,
        standby=engine.standby,
        p95_ms=p95_ms,
        budget_ms=budget_ms,
        gentle=gentle,
        golden=golden,
    )
    inner = _made(engine, config)
    if engine.cache_s == 0:
        return inner
    return CachedEngine(inner, window_s=engine.cache_s, most=engine.cache_items)


def _made(engine: EngineSection, config: EngineConfig) -> Engine:
    if engine.mode in ENGINES:
        return ENGINES[engine.mode](config)
    return ray.create(config, engine.mode, engine.replicas, max(engine.replicas, engine.max_replicas))


def _given(tiers: Sequence[Spec] | None) -> Description | None:
    return None if tiers is None else Description("given", tuple(tiers))


def chosen(cascade: str | None, model: Model) -> Description:
    """`cascade` "embedded", "single" or a folder; without it the embedded one, unless a model of the
    operator's own was named: then that alone. Both named, the model is the embedded cascade's classifier,
    and no certificate holds any more: it names another version. Raises DescriptionError."""
    single = Description("single", (classifier(model),))
    if cascade == SINGLE or (cascade is None and model != Model()) or not _shipped(cascade):
        return single
    if cascade not in (None, EMBEDDED):
        return read(Path(cascade).expanduser())
    embedded = read(CASCADE)
    return embedded if model == Model() else _with(embedded, classifier(model))


def compressing(described: Description, steps: Sequence[str]) -> Description:
    """`described` with these steps (`models.compress`) in each VLM member that runs here and has none itself.

    Raises DescriptionError when there are steps and no such member."""
    if not steps:
        return described
    if not any(tier["kind"] in COMPRESSING for tier in described.tiers):
        kinds = " or ".join(COMPRESSING)
        raise DescriptionError(
            f"cascade.compress: the cascade {described.name!r} has no member of kind {kinds}"
        )
    tiers = tuple(
        {"steps": list(steps), **tier} if tier["kind"] in COMPRESSING else tier for tier in described.tiers
    )
    return replace(described, tiers=tiers)


def _with(embedded: Description, own: Spec) -> Description:
    tiers = tuple(own if tier["kind"] == own["kind"] else tier for tier in embedded.tiers)
    return replace(embedded, tiers=tiers)


def _shipped(cascade: str | None) -> bool:
    """Whether what is asked for is there, as far as it comes with the code."""
    return cascade not in (None, EMBEDDED) or (CASCADE / FILE).is_file()


def classifier(model: Model) -> Spec:
    """The settings' classifier as a tier's spec."""
    return {
        "kind": "classifier",
        "path": model.path,
        "revision": model.revision,
        "label": model.label,
        "temperature": model.temperature,
        "threshold": model.threshold,
    }
