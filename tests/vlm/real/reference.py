"""What transformers says to the same question: the oracle for SGLang's scores.

    python reference.py MODEL < request.json > answer.json

In: the body of a chat completion. Out: the log-probabilities of the next token over the whole vocabulary, and
its tokens as text.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from typing import Any

import torch
from PIL import Image
from transformers import AutoProcessor, Qwen3VLForConditionalGeneration


def picture(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")


def inputs(processor: Any, messages: list[dict[str, Any]]) -> Any:
    parts = [part for message in messages for part in message["content"]]
    pictures = [picture(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return processor(text=[text], images=pictures, return_tensors="pt")


def main() -> None:
    processor = AutoProcessor.from_pretrained(sys.argv[1])
    model = Qwen3VLForConditionalGeneration.from_pretrained(sys.argv[1], dtype=torch.float32)
    given = inputs(processor, json.load(sys.stdin)["messages"])
    with torch.inference_mode():
        logits = model(**given).logits[0, -1].float()
    logprobs = torch.log_softmax(logits, -1).tolist()
    words = [processor.tokenizer.decode([number]) for number in range(len(processor.tokenizer))]
    json.dump({"logprobs": logprobs, "tokens": words, "prompt": given["input_ids"].shape[1]}, sys.stdout)


if __name__ == "__main__":
    main()
