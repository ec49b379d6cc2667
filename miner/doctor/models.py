"""The members that shall decide, their files and certificate, and the VLM servers."""

from __future__ import annotations

from pathlib import Path

from miner.doctor.finding import Finding, fail, ok, warn
from miner.engine import chosen, compressing
from miner.servers.check import Finding as ServerFinding
from miner.servers.check import look
from miner.servers.gpus import gpus_here
from miner.servers.specfile import read_keys, read_specs
from miner.settings import CascadeSection, Model, Servers, SettingsError
from models.description import DescriptionError

WEIGHTS = (".safetensors", ".onnx")


def cascade(section: CascadeSection, model: Model) -> Finding:
    """Whether the description can be read and every local member has weights."""
    try:
        found = compressing(chosen(section.path, model), section.compress)
    except DescriptionError as error:
        return fail(
            "models", f"{error}.", "Set cascade.path to a folder with a cascade.json, or leave it out."
        )
    lacking = [str(tier["path"]) for tier in found.tiers if _lacks(tier.get("path"))]
    if lacking:
        return fail(
            "models", f"No weights in {', '.join(lacking)}.", "Set model.path to a folder with .safetensors."
        )
    return ok("models", f"{found.name}: {' -> '.join(str(tier['kind']) for tier in found.tiers)}.")


def certificate(section: CascadeSection, model: Model) -> Finding:
    """Whether answers may leave early under a promise. Without one everybody is asked, which is no fault."""
    try:
        found = chosen(section.path, model)
    except DescriptionError:
        return fail("certificate", "There is no cascade to certify.", "Mend the finding on models first.")
    if len(found.tiers) == 1:
        return ok("certificate", "One member: nothing is left out.")
    if found.certificate is None:
        return ok("certificate", "No certificate: every member is asked while there is time.")
    return ok("certificate", "A certificate is named; it is checked against the members at start.")


async def servers(section: Servers) -> list[Finding]:
    """Each VLM server: can it be started here, does it answer elsewhere."""
    if section.file is None:
        return [ok("servers", "No VLM servers are named: the local members decide.")]
    try:
        specs = read_specs(section.file)
        seen = await look(specs, read_keys(specs), await gpus_here())
    except SettingsError as error:
        return [fail("servers", f"{error}.", "See docs/vlm-servers.md.")]
    found = [_server(each) for each in seen]
    if any(spec.here for spec in specs) and not section.python.is_file():
        found.append(
            fail(
                "servers",
                f"There is no Python at {section.python}.",
                "Run make sglang-env, or set servers.python.",
            )
        )
    return found


def _server(seen: ServerFinding) -> Finding:
    sentence = f"{seen.name}: {seen.sentence}."
    if seen.fine:
        return ok("servers", sentence)
    return warn("servers", sentence, "The cascade goes on without it; see docs/vlm-servers.md.")


def _lacks(path: object) -> bool:
    """Whether a local folder that is named holds no weights. A hub id is looked up at start."""
    folder = Path(str(path)).expanduser() if path else None
    if folder is None or not folder.is_dir():
        return folder is not None and folder.is_absolute()
    return not any(file.suffix in WEIGHTS for file in folder.iterdir())
