"""What an int8 copy of a model must have shown on real images before it may answer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

INT8, PROOF = "int8.onnx", "int8.json"
"""In a checkpoint's folder: the copy, and the proof that goes with it."""
AGREEMENT = 0.995
MCC_LOSS = 0.005
LEAST_IMAGES = 200


@dataclass(frozen=True, slots=True)
class Proof:
    """`version` of the float model it was made from; `images` real ones that were not used to calibrate it;
    `agreement` the part of them on which both decide alike; `mcc`, `mcc_float` of the two."""

    version: str
    images: int
    agreement: float
    mcc: float
    mcc_float: float

    @property
    def why_not(self) -> str:
        """Why it does not hold; "" when it does."""
        if self.images < LEAST_IMAGES:
            return f"shown on {self.images} images only ({LEAST_IMAGES} needed)"
        if self.agreement < AGREEMENT:
            return f"decides alike on {self.agreement:.2%} of the images ({AGREEMENT:.1%} needed)"
        if self.mcc_float - self.mcc > MCC_LOSS:
            return f"MCC {self.mcc:.3f}, not {self.mcc_float:.3f} (at most {MCC_LOSS} less)"
        return ""


def proven(folder: Path, version: str) -> Path | None:
    """The int8 copy of the checkpoint in `folder`, if there is one whose proof holds for this `version`."""
    try:
        proof = Proof(**json.loads((folder / PROOF).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    sound = proof.version == version and not proof.why_not and (folder / INT8).is_file()
    return folder / INT8 if sound else None


def keep(folder: Path, copy: Path, proof: Proof) -> None:
    """Put `copy` and its proof into the place of earlier ones; at no moment does a proof stand beside a copy
    that it is not about."""
    (folder / PROOF).unlink(missing_ok=True)
    copy.replace(folder / INT8)
    write(folder, proof)


def write(folder: Path, proof: Proof) -> None:
    (folder / PROOF).write_text(json.dumps(asdict(proof), indent=1), encoding="utf-8")
