"""InternVL3 and 3.5. No InternVL3.5-78B exists: 3.5 comes in 1, 2, 4, 8, 14, 20-A4, 30-A3, 38, 241-A28 B."""

from models.catalog.entry import Model, Server, Text
from models.catalog.visual import Visual

SERVERS: tuple[Server, ...] = ("sglang", "vllm", "lmdeploy")
TILES = Visual(rule="closest", unit=448, per_tile=256, limit=12, thumbnail=True, patches=4)
SOURCE = "configs/ (towers named by the release, counted on the meta device)"
NOTE = "SGLang runs the original repositories with --trust-remote-code, not the -HF ones"

ROWS = (
    Model(
        name="internvl3-78b",
        system="A6",
        hub="OpenGVLab/InternVL3-78B",
        revision="9e3847ed2bcc7a31535af8df019a7537f22a2078",
        licence="MIT for the weights' own part, Qwen licence for the Qwen2.5-72B language tower",
        role="heavy",
        parameters=78_408_318_336,
        active=78_408_318_336,
        kept=8_195_669_376,
        vision=5_536_496_000,
        text=Text(layers=80, heads=64, kv_heads=8, head_dim=128),
        visual=TILES,
        servers=SERVERS,
        verified=True,
        sources=(SOURCE, "the release states 78.41 B"),
        notes=NOTE,
    ),
    Model(
        name="internvl3.5-8b",
        system="A6",
        hub="OpenGVLab/InternVL3_5-8B",
        revision="9bb6a56ad9cc69db95e2d4eeb15a52bbcac4ef79",
        licence="Apache-2.0",
        role="light",
        parameters=8_528_318_464,
        active=8_528_318_464,
        kept=1_582_551_040,
        vision=304_012_288,
        text=Text(layers=36, heads=32, kv_heads=8, head_dim=128),
        visual=TILES,
        servers=SERVERS,
        verified=True,
        sources=(SOURCE,),
        notes=NOTE,
    ),
    Model(
        name="internvl3.5-38b",
        system="A6",
        hub="OpenGVLab/InternVL3_5-38B",
        licence="Apache-2.0",
        role="heavy",
        parameters=38_390_405_504,
        active=38_390_405_504,
        kept=7_184_783_744,
        vision=5_536_496_000,
        text=Text(layers=64, heads=64, kv_heads=8, head_dim=128),
        visual=TILES,
        servers=SERVERS,
        verified=True,
        sources=(SOURCE,),
        notes=NOTE,
    ),
    Model(
        name="internvl3.5-241b-a28b",
        system="A6",
        hub="OpenGVLab/InternVL3_5-241B-A28B",
        licence="Apache-2.0",
        role="heavy",
        parameters=240_699_370_368,
        active=27_796_499_328,
        kept=6_851_193_728,
        vision=5_536_496_000,
        text=Text(layers=94, heads=64, kv_heads=4, head_dim=128, expert_width=1536),
        visual=TILES,
        servers=SERVERS,
        verified=True,
        sources=(SOURCE, "a public table lists 483.4 GB in bf16 for its Flash variant"),
        notes=NOTE,
    ),
)
