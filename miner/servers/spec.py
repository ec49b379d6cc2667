"""One server: a process to run on this host, or an address elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Protocol = Literal["chat_logprobs", "decisions"]
PRECISIONS = ("bf16", "fp8", "int4", "nvfp4")
KV = ("auto", "bf16", "fp8", "nvfp4")
DEFAULT_PORT = 30000


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """What the servers file says of one server.

    `name`        ours, for logs and status; `model` the name it serves its model by.
    `url`         of a server elsewhere (or of a router before several); without it, a process here.
    `dialect`     "sglang", or "openai" for everybody else; of a server elsewhere.
    `model_path`  folder or hub id for a process here; `revision` the commit of a hub id.
    `python`      the interpreter of SGLang's own environment (none: `servers.python`).
    `host`, `port`  where a process here listens; its gate listens on `gate_port` (0: port + 1000).
    `gpus`        indices of the GPUs it is split among; empty for `device` "cpu".
    `weights`, `kv`  precisions, checked against the GPUs before it is started.
    `mem_fraction`  share of each GPU for weights and KV cache, whatever else is on it.
    `slots`       most requests at a time, also given to SGLang as its own limit.
    `key_env`     environment variable with the key that callers must give.
    `flags`       more flags of SGLang, without "--": true for a bare one, a list for several values.
    `env`         more environment of the process.
    `protocol`    how the probe asks; `probe_mass` the least label mass that counts as an answer.
    `on_demand`   stays down until `server load` is said: a heavy model whose GPUs others use meanwhile.
    `start_s`, `hang_s`, `check_s`, `stop_s`  most seconds until ready; without an answered probe before it is
                  restarted; between two probes; for a clean end.
    """

    name: str
    model: str
    url: str = ""
    dialect: Literal["sglang", "openai"] = "sglang"
    model_path: str = ""
    revision: str | None = None
    python: str | None = None
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    gate_port: int = 0
    device: Literal["cuda", "cpu"] = "cuda"
    gpus: tuple[int, ...] = (0,)
    weights: str = "bf16"
    kv: str = "auto"
    mem_fraction: float = 0.6
    slots: int = 16
    key_env: str | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    protocol: Protocol = "chat_logprobs"
    probe_mass: float = 0.25
    on_demand: bool = False
    start_s: float = 1800.0
    hang_s: float = 60.0
    check_s: float = 10.0
    stop_s: float = 15.0

    def __post_init__(self) -> None:
        for wrong, sentence in _faults(self):
            if wrong:
                raise ValueError(sentence)

    @property
    def here(self) -> bool:
        return not self.url

    @property
    def address(self) -> str:
        """Root of its HTTP API."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return self.url or f"http://{host}:{self.port}"

    @property
    def gate(self) -> int:
        return self.gate_port or self.port + 1000


def _faults(spec: ServerSpec) -> list[tuple[bool, str]]:
    """(whether it is so, the sentence that says so)."""
    return [*_words(spec), *_numbers(spec)]


def _words(spec: ServerSpec) -> list[tuple[bool, str]]:
    name = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", spec.name)
    both = bool(spec.url) == bool(spec.model_path)
    return [
        (not name, "name must be 1 to 41 letters, digits, dots, dashes"),
        (not spec.model or ":" in spec.model, "model must be a name without ':' (SGLang keeps it for LoRA)"),
        (both, "give either url (a server elsewhere) or model_path (a process here)"),
        (_odd(spec.url), "url must start with http:// or https://"),
        (spec.weights not in PRECISIONS, f"weights must be one of {', '.join(PRECISIONS)}"),
        (spec.kv not in KV, f"kv must be one of {', '.join(KV)}"),
        (spec.device not in ("cuda", "cpu"), "device must be cuda or cpu"),
        (spec.dialect not in ("sglang", "openai"), "dialect must be sglang or openai"),
        (spec.protocol not in ("chat_logprobs", "decisions"), "protocol must be chat_logprobs or decisions"),
        (spec.on_demand and bool(spec.url), "on_demand is for a process here: nobody else's can be started"),
        (spec.protocol == "decisions" and spec.dialect != "sglang", "only SGLang itself serves decisions"),
    ]


def _odd(url: str) -> bool:
    return bool(url) and not url.startswith(("http://", "https://"))


def _numbers(spec: ServerSpec) -> list[tuple[bool, str]]:
    gpus = spec.gpus
    on_gpu = spec.here and spec.device == "cuda"
    return [
        (not 1 <= spec.port <= 65535 or not 1 <= spec.gate <= 65535, "port and gate_port lie in 1..65535"),
        (spec.gate == spec.port, "port and gate_port must differ"),
        (on_gpu and (not gpus or len(set(gpus)) != len(gpus) or min(gpus) < 0), "gpus lists each index once"),
        (not 0 < spec.mem_fraction < 1, "mem_fraction must lie between 0 and 1"),
        (spec.slots < 1, "slots must be at least 1"),
        (not 0 <= spec.probe_mass <= 1, "probe_mass must lie in [0, 1]"),
        (min(spec.start_s, spec.hang_s, spec.check_s, spec.stop_s) <= 0, "seconds must be above 0"),
    ]
