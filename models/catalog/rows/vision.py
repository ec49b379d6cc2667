"""Models without a language tower: classifiers (A1), detectors (A2, A3); the arbiter (A8), no weights."""

from models.catalog.entry import Model, Role, Server
from models.weights import EMBEDDED_LICENCE

CONFIG = "configs/ (counted on the meta device)"
FACTS = "its README or paper, rounded"


def _local(
    name: str,
    hub: str,
    role: Role,
    system: str,
    parameters: int,
    licence: str = "Apache-2.0",
    servers: tuple[Server, ...] = ("in-process",),
    verified: bool = True,
    notes: str = "",
) -> Model:
    """A small model that runs in the engine's own process, in bf16 or better: all of it is "kept"."""
    sources = (CONFIG,) if verified else (FACTS,)
    return Model(
        name=name,
        system=system,
        hub=hub,
        licence=licence,
        role=role,
        parameters=parameters,
        active=parameters,
        kept=parameters,
        vision=parameters,
        servers=servers,
        verified=verified,
        sources=sources,
        notes=notes,
    )


ROWS = (
    _local(
        "roadwork-mobilenetv2",
        "models/weights/roadwork-mobilenetv2",
        "classifier",
        "A1",
        2_226_434,
        licence=EMBEDDED_LICENCE,
        notes="the embedded default; no download",
    ),
    _local("mobilenetv2", "google/mobilenet_v2_1.0_224", "classifier", "A1", 2_226_434),
    _local("vit-base", "google/vit-base-patch16-224", "classifier", "A1", 85_800_194),
    _local("dinov2-base", "facebook/dinov2-base", "classifier", "A1", 86_583_554),
    _local("dinov2-registers-base", "facebook/dinov2-with-registers-base", "classifier", "A1", 86_586_626),
    _local("siglip2-base", "google/siglip2-base-patch16-224", "classifier", "A1", 92_885_762),
    _local(
        "convnextv2-base",
        "facebook/convnextv2-base-22k-224",
        "classifier",
        "A1",
        87_694_850,
        licence="CC-BY-NC-4.0",
    ),
    _local("rf-detr-base", "Roboflow/rf-detr-base", "detector", "A2", 32_248_546),
    _local("d-fine-l", "ustc-community/dfine-large-coco", "detector", "A2", 31_244_152),
    _local("rt-detr-v2-r50", "PekingU/rtdetr_v2_r50vd", "detector", "A2", 42_891_372),
    _local(
        "yolov12-x",
        "sunsmarterjie/yolov12 (yolov12x)",
        "detector",
        "A2",
        59_100_000,
        licence="AGPL-3.0",
        servers=("ultralytics",),
        verified=False,
        notes="optional extra, never a dependency",
    ),
    _local("owlv2-base", "google/owlv2-base-patch16-ensemble", "detector", "A3", 154_966_792),
    _local("llmdet-tiny", "iSEE-Laboratory/llmdet_tiny", "detector", "A3", 172_250_628),
    _local(
        "omdet-turbo-tiny",
        "omlab/omdet-turbo-swin-tiny-hf",
        "detector",
        "A3",
        115_000_000,
        verified=False,
        notes="its Swin backbone comes from timm, an extra: not counted here",
    ),
    _local(
        "yolo-world-v2.1-l",
        "wondervictor/YOLO-World-V2.1 (l_stage2)",
        "detector",
        "A3",
        110_000_000,
        licence="GPL-3.0",
        servers=("ultralytics",),
        verified=False,
        notes="with its CLIP text encoder; optional extra, never a dependency",
    ),
    _local(
        "frontier-api",
        "any OpenAI-compatible endpoint",
        "arbiter",
        "A8",
        0,
        licence="the provider's terms",
        servers=("api",),
        verified=False,
        notes="the plan's Behemoth was never released; only on disagreement, capped in money, off by default",
    ),
)
