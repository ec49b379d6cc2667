"""int4fp8: linear layers with four-bit weights and eight-bit activations, after FireQ.

FireQ (arXiv 2505.20839, Samsung SDS) multiplies INT4 weights by FP8 activations in a kernel of its own on an
H100. Its text was read as an abstract, so this is its arithmetic and not its kernel; what it leaves open is
ours:

weights       symmetric integers -7..7, one FP16 step for `group` (128) inputs of an output: amax / 7, rounded
to
              nearest, ties to even. 4 + 16 / group bits a weight, two to a byte.
activations   FP8 E4M3, one FP32 scale a token: amax / 448. `activations=false` leaves them as they are.
product       an integer of four bits is exact in E4M3, so what a tensor core would multiply is what is
multiplied
              here; but in the layer's own precision, after unpacking, as there is no such kernel: this saves
              bytes of weights, and costs time.

Left out: its scaling of keys before and after the rotary embedding, and its INT4 cache, which `int4` is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.compress.packing import codes_of, fp8_rows, nibbles
from models.compress.step import Step
from models.compress.weights.linears import decoder_linears

LARGEST = 7


class Int4Fp8Linear(nn.Module):
    """In the place of `layer`. Raises ValueError when groups do not fill its inputs."""

    codes: Tensor
    steps: Tensor

    def __init__(self, layer: nn.Linear, group: int, activations: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self._activations = activations
        codes, steps = quantise(layer.weight.detach(), min(group, layer.in_features))
        self.register_buffer("codes", codes)
        self.register_buffer("steps", steps)
        self.bias = layer.bias

    def forward(self, states: Tensor) -> Tensor:
        weight = dequantise(self.codes, self.steps).to(states.dtype)
        if not self._activations:
            return functional.linear(states, weight, self.bias)
        rounded, scale = fp8_rows(states)
        product = functional.linear(rounded.to(states.dtype), weight) * scale.to(states.dtype)
        return product if self.bias is None else product + self.bias

    @property
    def weight_bytes(self) -> int:
        return self.codes.numel() + self.steps.numel() * self.steps.element_size()


def quantise(weight: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """uint8 [out, in / 2] and FP16 steps [out, in / group] of a weight [out, in]. Raises ValueError when
    groups do not fill a row."""
    rows, width = weight.shape
    if group < 2 or width % group or width % 2:
        raise ValueError(f"groups of {group} do not fill {width} inputs: choose another group")
    groups = weight.float().reshape(rows, width // group, group)
    steps = (groups.abs().amax(-1) / LARGEST).half()
    divisor = torch.where(steps > 0, steps, torch.ones_like(steps)).float()
    codes = (groups / divisor[..., None]).round().clamp(-LARGEST, LARGEST).to(torch.int8)
    return nibbles(codes.reshape(rows, width).view(torch.uint8) & 15), steps


def dequantise(codes: Tensor, steps: Tensor) -> Tensor:
    """FP32 [out, in]."""
    numbers = codes_of(codes).to(torch.int8)
    signed = torch.where(numbers > 7, numbers - 16, numbers).float()
    groups = signed.reshape(*steps.shape, -1) * steps.float()[..., None]
    return groups.flatten(1)


def convert(model: nn.Module, step: Step) -> None:
    """Raises ValueError when groups do not fill a layer."""
    group, activations = step.whole("group", 128), step.switch("activations", True)
    for parent, name, layer in decoder_linears(model, step):
        try:
            setattr(parent, name, Int4Fp8Linear(layer, group, activations))
        except ValueError as error:
            raise ValueError(f"{step}: {name}: {error}") from None
