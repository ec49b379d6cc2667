"""A vision-language model with random weights: Qwen3-VL's architecture, 0.6 M parameters, no network.

    python tiny.py FOLDER

Its tokenizer is trained here on a few sentences, so that "yes" and "no" are tokens in their usual spellings.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLVideoProcessor,
)

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
SENTENCES = (
    "Is there roadwork in this picture? Answer with one word: yes or no. Yes No yes no YES NO true false",
    "system user assistant You are a helpful assistant. Is the following true? Answer with yes or no only.",
    "Pictures taken at the same moment by the cameras of one vehicle in a street. Question A B C",
)
TEMPLATE = """{% for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}\
{% if part['type'] in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>\
{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
PIXELS = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2}


def tokenizer() -> PreTrainedTokenizerFast:
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, min_frequency=2)
    bare.train_from_iterator(SENTENCES * 50, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bare,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL),
        chat_template=TEMPLATE,
    )


def config(words: PreTrainedTokenizerFast) -> Qwen3VLConfig:
    ids = {name: words.convert_tokens_to_ids(name) for name in SPECIAL}
    rope = {
        "rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True,
    }  # fmt: skip
    text = {
        "model_type": "qwen3_vl_text", "vocab_size": -(-len(words) // 64) * 64, "hidden_size": 64,
        "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 16, "max_position_embeddings": 4096, "rope_parameters": rope,
        "bos_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"], "tie_word_embeddings": False,
    }  # fmt: skip
    vision = {
        "depth": 3, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": 64,
        "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 256,
        "deepstack_visual_indexes": [0, 1],
    }  # fmt: skip
    marks = {f"{kind}_token_id": ids[f"<|{kind}_pad|>"] for kind in ("image", "video")}
    ends = {f"vision_{end}_token_id": ids[f"<|vision_{end}|>"] for end in ("start", "end")}
    return Qwen3VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=False, dtype="float32", **marks, **ends
    )


def make(folder: Path, seed: int = 0) -> None:
    """Write the model; the same seed gives the same bytes."""
    words = tokenizer()
    words.save_pretrained(folder)
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(config(words)).to(torch.float32)
    model.generation_config.eos_token_id = words.eos_token_id
    model.generation_config.pad_token_id = words.pad_token_id
    model.save_pretrained(folder)
    Qwen2VLImageProcessor(**PIXELS, min_pixels=64 * 64, max_pixels=448 * 448).save_pretrained(folder)
    Qwen3VLVideoProcessor().save_pretrained(folder)
    _name_processor(folder / "preprocessor_config.json")


def _name_processor(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "processor_class": "Qwen3VLProcessor"}))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
