"""Looks at a servers file once, without a miner: can those here be started, do those elsewhere answer?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from miner.servers import flags
from miner.servers.probe import Probe
from miner.servers.spec import ServerSpec
from models.residency import GPU
from models.vlm import Absent
from models.vlm.secret import Secret

WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one server."""

    name: str
    fine: bool
    sentence: str


async def look(
    specs: Sequence[ServerSpec],
    keys: Mapping[str, Secret],
    gpus: Mapping[int, GPU],
    within_s: float = WITHIN_S,
) -> list[Finding]:
    """A finding per server, in order; nothing is started."""
    here = [spec for spec in specs if spec.here]
    refused, remarks = flags.check_all(here, gpus)
    found = []
    for spec in specs:
        if not spec.here:
            found.append(await _ask(spec, keys.get(spec.name), within_s))
        elif spec.name in refused:
            found.append(Finding(spec.name, False, refused[spec.name]))
        else:
            said = "; ".join(remark for name, remark in remarks if name == spec.name)
            found.append(Finding(spec.name, True, said or "can be started"))
    return found


async def _ask(spec: ServerSpec, key: Secret | None, within_s: float) -> Finding:
    probe = Probe(spec, key)
    try:
        taken = await probe.picture(within_s)
    except Absent as absent:
        return Finding(spec.name, False, f"no answer to a picture: {absent.reason}")
    finally:
        await probe.close()
    return Finding(spec.name, True, f"answers: a picture took {taken:.0f} ms")
