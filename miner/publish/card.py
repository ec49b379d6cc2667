"""`model_card.json` as subnet 72 asked for it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass

from miner.errors import OperatorError

NAME = "model_card.json"
VERSION = re.compile(r"\d+(\.\d+){0,2}([-.+][0-9A-Za-z.-]+)?")
MOST_TEXT = 2000


class PublishError(OperatorError):
    """Nothing was published; the message says why."""


class CardError(PublishError):
    """The card cannot be written."""


@dataclass(frozen=True, slots=True)
class Card:
    """`submitted_by` the hotkey's ss58 address; `submission_time` seconds since 1970, whole."""

    model_name: str
    description: str
    version: str
    submitted_by: str
    submission_time: int

    def __post_init__(self) -> None:
        if not self.model_name or len(self.model_name) > 200:
            raise CardError("a model's name has 1 to 200 characters")
        if len(self.description) > MOST_TEXT:
            raise CardError(f"a description has at most {MOST_TEXT} characters")
        if not VERSION.fullmatch(self.version):
            raise CardError(f"{self.version!r} is no version: write 1, 1.2 or 1.2.3")

    def text(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"
