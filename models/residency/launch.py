"""How to start what a plan holds: a command line per server, and the same as a file for its systemd unit."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from models.catalog import Precision
from models.residency.plan import Placement, Plan

FIRST_PORT = 30_000
KV_FLAGS: dict[Precision, str] = {"bf16": "bf16", "fp8": "fp8_e4m3", "nvfp4": "nvfp4"}


class NoCheckpoint(ValueError):
    """No checkpoint of this precision is known; the message says what works."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One server. `name` its unit's instance; `gpus` indices; `port`; `argv` without the Python before it."""

    name: str
    gpus: tuple[int, ...]
    port: int
    argv: tuple[str, ...]
    note: str = ""

    @property
    def command(self) -> str:
        """As typed in a shell: `sglang serve ...` on its GPUs; "" when SGLang does not serve it."""
        if not self.argv:
            return ""
        devices = ",".join(map(str, self.gpus))
        return f"CUDA_VISIBLE_DEVICES={devices} {shlex.join(self.argv)}"

    @property
    def env(self) -> str:
        """An EnvironmentFile for `sglang@NAME.service`: KEY=VALUE lines."""
        devices = ",".join(map(str, self.gpus))
        flags = shlex.join(self.argv[2:])
        return f"CUDA_VISIBLE_DEVICES={devices}\nSGLANG_PORT={self.port}\nSGLANG_ARGS={flags}\n"


def launches(plan: Plan) -> list[Launch]:
    """A launch per SGLang server of the plan, ports counted up from 30000. In-process members need none.

    To be started in this order, the engine before them and each when the one before it is ready: SGLang takes
    `--mem-fraction-static` as a share of what is free when it comes, not of the GPU.
    """
    servers = [placed for placed in plan.placements if placed.member.served]
    return [
        _launch(placed, _share(placed, servers[:number], plan), FIRST_PORT + number)
        for number, placed in enumerate(servers)
    ]


def _share(placed: Placement, before: Sequence[Placement], plan: Plan) -> float:
    """Weights and KV pool as a share of what is free before loading, on the fullest of its GPUs.

    SGLang 0.5.23, `_profile_available_bytes`: the pool is what is free after loading, less 1 - share of what
    was free before.
    """
    static = placed.part("weights") + placed.part("KV cache")
    return max(static / (_free(gpu, before, plan) - placed.part("process")) for gpu in placed.gpus)


def _free(gpu: int, before: Sequence[Placement], plan: Plan) -> int:
    """Bytes of a GPU beside the engine, its members and the servers that run already."""
    small = [placed for placed in plan.on(gpu) if not placed.member.served]
    there = [*small, *(placed for placed in before if gpu in placed.gpus)]
    return plan.gpus[gpu].memory - plan.engine(gpu) - sum(placed.bytes for placed in there)


def _launch(placed: Placement, share: float, port: int) -> Launch:
    member, model = placed.member, placed.member.model
    if "sglang" not in model.servers:
        note = f"{model.name} is not served by SGLang; {model.servers[0]}: see docs/vlm-servers.md"
        return Launch(model.name, placed.gpus, port, (), note)
    flags = {
        "--model-path": checkpoint(placed),
        "--served-model-name": model.name,
        "--host": "127.0.0.1",
        "--port": str(port),
        "--tp-size": str(member.tensor_parallel),
        "--kv-cache-dtype": KV_FLAGS[member.kv],
        "--mem-fraction-static": f"{share:.3f}",
        "--max-running-requests": str(max(1, min(256, placed.concurrency))),
        "--limit-mm-data-per-request": f'{{"image":{member.views}}}',
    }
    argv = ["sglang", "serve", *(word for pair in flags.items() for word in pair)]
    if model.revision and checkpoint(placed) == model.hub:
        argv += ["--revision", model.revision]
    if member.tensor_parallel > 1:
        argv.append("--mm-enable-dp-encoder")
    if member.precision == "fp8" and "fp8" not in model.checkpoints:
        argv += ["--quantization", "fp8"]
    return Launch(model.name, placed.gpus, port, tuple(argv), placed.remark)


def checkpoint(placed: Placement) -> str:
    """The hub id to load: a published checkpoint of the precision; bf16 weights where the server quantises
    while it loads (fp8). Raises NoCheckpoint."""
    model, precision = placed.member.model, placed.member.precision
    if precision in model.checkpoints:
        return model.checkpoints[precision]
    if precision in ("bf16", "fp8"):
        return model.hub
    known = ", ".join(["bf16", "fp8", *(each for each in model.checkpoints if each != "fp8")])
    raise NoCheckpoint(f"no {precision} checkpoint of {model.name} is known; there are: {known}")
