"""What a model in int8 or bfloat16 must have shown on real images before it may answer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

INT8, PROOF = "int8.onnx", "int8.json"
"""In a checkpoint's folder: the copy, and the proof that goes with it."""
BF16_PROOF = "bfloat16.json"
"""There too; the weights are those of the checkpoint, rounded when they are loaded."""
AGREEMENT = 0.995
MCC_LOSS = 0.005
LEAST_IMAGES = 200


@dataclass(frozen=True, slots=True)
class Proof:
    """`version` of the float model it was made from; `images` real ones that were not used to calibrate it;
    `agreement` the part of them on which both decide alike; `mcc`, `mcc_float` of the two; `margin` the
    calibrated log-odds within which the float model was asked again (`models.backends.close`)."""

    version: str
    images: int
    agreement: float
    mcc: float
    mcc_float: float
    margin: float = 0.0

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


@dataclass(frozen=True, slots=True)
class Proven:
    """What besides float32 a model may answer in: `int8` the copy, None without one, and the `margin` of its
    proof; `bf16` bfloat16."""

    int8: Path | None = None
    margin: float = 0.0
    bf16: bool = False

    def __bool__(self) -> bool:
        return self.int8 is not None or self.bf16


FLOAT32 = Proven()
"""Nothing else."""


def proven(folder: Path, version: str) -> Proven:
    """What the proofs in the checkpoint's `folder` allow that hold for this `version`."""
    bf16 = _read(folder / BF16_PROOF, version) is not None
    copy, proof = folder / INT8, _read(folder / PROOF, version)
    if proof is None or not copy.is_file():
        return Proven(bf16=bf16)
    return Proven(copy, proof.margin, bf16)


def _read(file: Path, version: str) -> Proof | None:
    """The proof in `file`, if it holds for this `version`."""
    try:
        proof = Proof(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return proof if proof.version == version and not proof.why_not else None


def keep(folder: Path, copy: Path, proof: Proof) -> None:
    """Put `copy` and its proof into the place of earlier ones; at no moment does a proof stand beside a copy
    that it is not about."""
    (folder / PROOF).unlink(missing_ok=True)
    copy.replace(folder / INT8)
    write(folder / PROOF, proof)


def write(file: Path, proof: Proof) -> None:
    file.write_text(json.dumps(asdict(proof), indent=1), encoding="utf-8")
