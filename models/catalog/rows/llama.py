"""Llama 4 (mixtures of experts) and Llama 3.2 Vision (cross-attention). Meta's community licences."""

from models.catalog.entry import Model, Server, Text
from models.catalog.visual import Visual

LICENCE_4 = "Llama 4 Community (not granted to persons or companies of the EU for the vision models)"
LICENCE_32 = "Llama 3.2 Community (not granted to persons or companies of the EU for the vision models)"
SERVERS: tuple[Server, ...] = ("sglang", "vllm", "tensorrt-llm")
TILES = Visual(rule="cover", unit=336, per_tile=144, limit=16, thumbnail=True, patches=4)
# 1,601 states per 560 px tile, always padded to four tiles; they fill the cross-attention layers only.
PADDED = Visual(rule="fixed", fixed=4 * 1601)
SOURCE = "configs/ (printed config, counted on the meta device)"

ROWS = (
    Model(
        name="llama-4-scout",
        system="A6",
        hub="meta-llama/Llama-4-Scout-17B-16E-Instruct",
        revision="92f3b1597a195b523d8d9e5700e57e4fbb8f20d3",
        licence=LICENCE_4,
        role="heavy",
        parameters=108_641_793_536,
        active=18_044_827_136,
        kept=2_941_400_576,
        vision=850_960_896,
        text=Text(layers=48, heads=40, kv_heads=8, head_dim=128, expert_width=8192),
        visual=TILES,
        servers=SERVERS,
        verified=True,
        sources=(SOURCE, "Meta states 17 B active, 109 B total"),
    ),
    Model(
        name="llama-4-maverick",
        system="A6",
        hub="meta-llama/Llama-4-Maverick-17B-128E-Instruct",
        revision="73d14711bcc77c16df3470856949c3764056b617",
        licence=LICENCE_4,
        role="heavy",
        parameters=401_583_781_376,
        active=18_056_623_616,
        kept=2_941_400_576,
        vision=850_960_896,
        text=Text(layers=48, heads=40, kv_heads=8, head_dim=128, expert_width=8192),
        visual=TILES,
        servers=SERVERS,
        checkpoints={"fp8": "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8"},
        verified=True,
        sources=(SOURCE, "Meta states 17 B active, 400 B total"),
        notes="17 B active is what a token computes; all 400 B are resident",
    ),
    Model(
        name="llama-3.2-11b-vision",
        system="A6",
        hub="meta-llama/Llama-3.2-11B-Vision-Instruct",
        revision="9eb2daaa8597bf192a8b0e73f848f3a102794df5",
        licence=LICENCE_32,
        role="medium",
        parameters=10_670_220_835,
        active=10_670_220_835,
        kept=1_946_068_515,
        vision=863_567_379,
        text=Text(layers=32, heads=32, kv_heads=8, head_dim=128, cross_layers=8),
        visual=PADDED,
        servers=("sglang", "vllm"),
        verified=True,
        sources=(SOURCE, "the model card states 10.6 B"),
        notes="the small sister of the 90 B",
    ),
    Model(
        name="llama-3.2-90b-vision",
        system="A6",
        hub="meta-llama/Llama-3.2-90B-Vision-Instruct",
        revision="ec79ddbe5c61f433eb855f4007bb6cb158ad3b35",
        licence=LICENCE_32,
        role="heavy",
        parameters=88_593_355_323,
        active=88_593_355_323,
        kept=3_029_553_723,
        vision=863_567_379,
        text=Text(layers=80, heads=64, kv_heads=8, head_dim=128, cross_layers=20),
        visual=PADDED,
        servers=("sglang", "vllm"),
        verified=True,
        sources=(SOURCE, "the model card states 88.8 B"),
        notes="no chunked prefill in SGLang; each view costs 6,404 states in 20 cross-attention layers",
    ),
)
