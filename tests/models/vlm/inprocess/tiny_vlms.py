"""VLMs of a few thousand random weights, of several families, and a tokenizer whose tokens are words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

from models.calibration import Calibration
from models.vlm.inprocess.load import assemble
from models.vlm.inprocess.tier import InProcessVLM
from models.vlm.labels import LowMass
from models.vlm.question import Question

SPECIAL = (
    "<pad>",
    "<unk>",
    "<end>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<picture>",
    "<img>",
    "</img>",
    "<fake_token_around_image>",
    "<global-img>",
    "<|image_start|>",
    "<|image_end|>",
    "<|image|>",
    "<video>",
)
WORDS = (
    *SPECIAL,
    *("yes", "no", "is", "there", "roadwork", "in", "these", "pictures", ":"),
    *("cones", "signs", "left", "right", "ahead", "nothing", "seen"),
)
PICTURE = WORDS.index("<picture>")
INSTRUCTION = "is there roadwork in these pictures :"
TEMPLATE = (
    "{% for part in messages[0]['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }} {% else %}"
    "<|vision_start|>MARK<|vision_end|>{% endif %}{% endfor %} :"
)

_TEXT = {
    "vocab_size": len(WORDS),
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 2,
}
_SIGLIP = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 7,
}
_QWEN_VISION = {
    "depth": 2,
    "hidden_size": 32,
    "num_heads": 2,
    "intermediate_size": 48,
    "out_hidden_size": 64,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "patch_size": 14,
}
_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}

CONFIGS: dict[str, dict[str, Any]] = {
    "qwen2_5_vl": {
        "text_config": {**_TEXT, "rope_parameters": _MROPE},
        "vision_config": {**_QWEN_VISION, "fullatt_block_indexes": [1], "window_size": 56},
        "image_token_id": PICTURE,
    },
    "qwen3_vl": {
        "text_config": {**_TEXT, "rope_parameters": {**_MROPE, "mrope_interleaved": True}},
        "vision_config": {
            **_QWEN_VISION,
            "patch_size": 14,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        "image_token_id": PICTURE,
    },
    "video_llama_3": {
        "text_config": {"model_type": "qwen2", **_TEXT},
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "patch_size": 14,
        },
        "image_token_id": PICTURE,
    },
    "internvl": {
        "text_config": {"model_type": "qwen2", **_TEXT},
        "vision_config": {**_SIGLIP, "image_size": [28, 28], "patch_size": [7, 7]},
        "image_token_id": PICTURE,
        "downsample_ratio": 0.5,
    },
    "llava": {
        "text_config": {"model_type": "llama", **_TEXT},
        "vision_config": {"model_type": "siglip_vision_model", **_SIGLIP, "vision_use_head": False},
        "image_token_index": PICTURE,
        "vision_feature_select_strategy": "full",
        "vision_feature_layer": -1,
    },
    "llava_onevision": {
        "text_config": {"model_type": "qwen2", **_TEXT},
        "vision_config": {"model_type": "siglip_vision_model", **_SIGLIP, "vision_use_head": False},
        "image_token_index": PICTURE,
        "vision_feature_select_strategy": "full",
        "vision_feature_layer": -1,
        "image_grid_pinpoints": [[28, 28]],
        "vision_aspect_ratio": "anyres_max_9",
    },
    "llama4": {
        "text_config": {**_TEXT, "intermediate_size_mlp": 96, "num_local_experts": 2, "moe_layers": [1, 3]},
        "vision_config": {
            **_SIGLIP,
            "num_hidden_layers": 1,
            "vision_output_dim": 32,
            "projector_input_dim": 32,
            "projector_output_dim": 32,
            "vision_feature_select_strategy": "full",
            "intermediate_size": 128,
        },
        "image_token_index": PICTURE,
    },
    "smolvlm": {
        "text_config": {"model_type": "llama", **_TEXT},
        "vision_config": {"model_type": "smolvlm_vision", **_SIGLIP},
        "image_token_id": PICTURE,
        "scale_factor": 2,
    },
}


def tokenizer(mark: str | None = "<picture>") -> PreTrainedTokenizerFast:
    """One whose chat template writes `mark` for a picture; None: without a template."""
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<end>",
        additional_special_tokens=list(SPECIAL[3:]),
    )
    if mark:
        fast.chat_template = TEMPLATE.replace("MARK", mark)
    return fast


def model(family: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **CONFIGS[family])
    made = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa")
    with torch.no_grad():
        for part in made.parameters():
            part.mul_(3.0)  # a random model as initialised answers everything alike
    return made.train(False).requires_grad_(False)


class Images:
    """Pictures as the family's image processor would give them, at a fixed size."""

    def __init__(self, family: str, side: int = 56) -> None:
        self._qwen, self._nested = family.startswith("qwen"), family == "smolvlm"
        self._tiled, self._merged = family == "llava_onevision", family == "video_llama_3"
        self._side = side if self._qwen or self._merged else 28

    def __call__(self, images: list[Image.Image], return_tensors: str) -> dict[str, torch.Tensor]:
        pixels = [self._pixels(image) for image in images]
        if self._tiled:  # the whole picture and one tile of it
            tiles = torch.stack(pixels)[:, None].repeat(1, 2, 1, 1, 1)
            return {"pixel_values": tiles, "image_sizes": torch.tensor([[self._side] * 2] * len(images))}
        if not (self._qwen or self._merged):
            stacked = torch.stack(pixels)
            return {"pixel_values": stacked[:, None] if self._nested else stacked}
        patches = torch.cat([self._patches(one, 2 if self._qwen else 1) for one in pixels])
        cells = self._side // 14
        grids = torch.tensor([[1, cells, cells]] * len(images))
        merges = {"image_merge_sizes": torch.tensor([2] * len(images))} if self._merged else {}
        return {"pixel_values": patches, "image_grid_thw": grids, **merges}

    def _pixels(self, image: Image.Image) -> torch.Tensor:
        array = np.asarray(image.resize((self._side, self._side)), dtype=np.float32) / 255 - 0.5
        return torch.from_numpy(array).permute(2, 0, 1) * 4

    def _patches(self, pixels: torch.Tensor, times: int) -> torch.Tensor:
        """[cells * cells, 3 * times * 14 * 14], cells merged two by two one after another, as Qwen has
        them."""
        cells = self._side // 14 // 2
        parts = pixels.view(3, cells, 2, 14, cells, 2, 14).permute(1, 4, 2, 5, 0, 3, 6)
        return parts.unsqueeze(5).expand(*parts.shape[:5], times, 14, 14).reshape(cells * cells * 4, -1)


def tier(
    family: str = "qwen2_5_vl",
    steps: tuple[str, ...] = (),
    reuse: bool = True,
    made: Any = None,
    side: int = 56,
) -> InProcessVLM:
    question = Question(INSTRUCTION, low_mass=LowMass(rule="wide"), calibration=Calibration())
    mark = "<|image|>" if family == "llama4" else "<picture>"
    return assemble(
        "vlm",
        "1",
        made or model(family),
        Images(family, side),
        tokenizer(mark),
        question,
        steps,
        "cpu",
        reuse,
    )


def scenes(count: int, views: int = 1, seed: int = 0) -> list[list[Image.Image]]:
    """Pictures of noise over a gradient, all different."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 128, 56)[:, None, None]
    return [
        [Image.fromarray((rng.random((56, 56, 3)) * 127 + slope).astype(np.uint8)) for _ in range(views)]
        for _ in range(count)
    ]


PROCESSORS = {"qwen2_5_vl": "Qwen2VLImageProcessor", "video_llama_3": "VideoLlama3ImageProcessor"}


def save(folder: Path, family: str = "qwen2_5_vl") -> Path:
    """A checkpoint folder of one of these, with its own image processor."""
    model(family).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    pixels = {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
    about = {
        "image_processor_type": PROCESSORS[family],
        "size": pixels,
        "patch_size": 14,
        "merge_size": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(about), encoding="utf-8")
    return folder
