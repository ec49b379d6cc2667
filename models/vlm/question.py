"""What VLM members are asked, and how pictures travel: text first, then pictures as data URIs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from models.calibration import Calibration
from models.core import MAX_VIEWS
from models.vlm.labels import Labels, LowMass
from models.vlm.member import Absent

INSTRUCTION = (
    "The pictures that follow were taken at the same moment by the cameras of one vehicle in a street. "
    "Decide whether roadwork is visible in any of them: construction or maintenance of the road, with signs, "
    "cones, barriers, excavation, machines or workers that belong to it. Answer with one word: yes or no."
)
"""The same for one picture and for six, so that every request shares its prefix in the server's cache."""

STATEMENT = (
    "Roadwork is visible in at least one of the pictures: construction or maintenance of the road, with "
    "signs, cones, barriers, excavation, machines or workers that belong to it."
)
CONTEXT = "Pictures taken at the same moment by the cameras of one vehicle in a street."

MOST_TOP = 1000
"""SGLang 0.5.23 dies of a question for more log-probabilities than its model has tokens."""

_KINDS = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"RIFF", "webp"))


@dataclass(frozen=True, slots=True)
class Question:
    """How a member asks and reads the answer.

    `instruction`  text before the pictures (`chat_logprobs`).
    `statement`, `context`  what is true or not, and of what (`decisions`, which words the prompt itself).
    `labels`       the words for the answers.
    `top`          log-probabilities asked for; vLLM takes at most 20 unless told otherwise.
    `low_mass`     what to do when the labels get little of the probability.
    `calibration`  from the reading's log-odds to the evidence's.
    `text_odds`    log-odds of an answer in words from a server without log-probabilities (None: absent then).
    `extra`        more fields of the request's body; None takes one of ours away.
    """

    instruction: str = INSTRUCTION
    statement: str = STATEMENT
    context: str = CONTEXT
    labels: Labels = field(default_factory=Labels)
    top: int = 20
    low_mass: LowMass = field(default_factory=LowMass)
    calibration: Calibration = field(default_factory=Calibration)
    text_odds: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.top <= MOST_TOP:
            raise ValueError(f"top must lie in 1..{MOST_TOP}, not {self.top}")

    def digest(self, protocol: str, model: str) -> str:
        """Eight hex digits that change with anything that may change an answer."""
        said = json.dumps([protocol, model, asdict(self)], sort_keys=True, default=str)
        return hashlib.sha256(said.encode()).hexdigest()[:8]


def check(views: Sequence[bytes]) -> None:
    """Raises Absent("views") unless there are one to six pictures, each JPEG, PNG or WebP."""
    if not 1 <= len(views) <= MAX_VIEWS or any(_kind(view) is None for view in views):
        raise Absent("views")


def data_uri(view: bytes) -> str:
    """An encoded picture as a data URI: a server must never fetch a URL for us."""
    return f"data:image/{_kind(view)};base64,{base64.b64encode(view).decode()}"


def content(instruction: str, views: Sequence[bytes]) -> list[dict[str, Any]]:
    """The parts of a user message: the instruction, then the pictures."""
    pictures = [{"type": "image_url", "image_url": {"url": data_uri(view)}} for view in views]
    return [{"type": "text", "text": instruction}, *pictures]


def with_extra(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The body with the extra fields; a None takes a field away."""
    return {name: value for name, value in {**body, **extra}.items() if value is not None}


def _kind(view: bytes) -> str | None:
    return next((kind for magic, kind in _KINDS if view.startswith(magic)), None)
