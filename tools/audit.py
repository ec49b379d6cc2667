"""What is this built of, may we use it, and is anything known against it?

    python tools/audit.py [--sbom FILE] [--json FILE]

Writes the SBOM (CycloneDX 1.6), fails for a licence that this project may not carry (GPL, AGPL) or one that
nobody states, and asks pip-audit for known vulnerabilities where it is installed and its database answers;
where it does not, that is said and is no failure. `make audit` installs pip-audit beside, not into, the
project's environment.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sbom import PROJECT, Part, document, extras_of, parts

PATIENCE_S = 300.0
PRIVATE = frozenset({PROJECT, "torch"})
"""Not asked about by version: the project itself, and a CPU build that no index knows under that name."""


def licences(found: Sequence[Part]) -> list[str]:
    """What is wrong with the licences, a sentence each."""
    bad = [
        f"{part.name} {part.version} is {part.licence}" for part in found if part.licence and part.forbidden
    ]
    return bad + [
        f"{part.name} {part.version} does not say its licence" for part in found if not part.licence
    ]


def vulnerabilities(found: Sequence[Part], program: Sequence[str]) -> tuple[list[str], str]:
    """(what is known, a sentence each; what could not be asked, and why, else empty)."""
    pins = [f"{part.name}=={part.version.partition('+')[0]}" for part in found if part.name not in PRIVATE]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins))
        file.flush()
        words = [
            *program,
            "--no-deps",
            "--disable-pip",
            "--format",
            "json",
            "--progress-spinner",
            "off",
            "-r",
        ]
        try:
            done = subprocess.run([*words, file.name], capture_output=True, text=True, timeout=PATIENCE_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            return [], f"pip-audit cannot be run: {error}"
    try:
        told = json.loads(done.stdout)
    except ValueError:
        return [], f"pip-audit says nothing: {(done.stderr.strip().splitlines() or ['no reason'])[-1][:200]}"
    return _known(told), _skipped(told)


def _skipped(told: dict[str, Any]) -> str:
    """How many the database did not know: behind a mirror, which has packages and no advice, all of them."""
    left_out = [each for each in told["dependencies"] if "skip_reason" in each]
    return f"{len(left_out)} of {len(told['dependencies'])} could not be looked up" if left_out else ""


def _known(told: dict[str, Any]) -> list[str]:
    return [
        f"{each['name']} {each['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions'])}"
        for each in told["dependencies"]
        for fault in each.get("vulns", ())
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sbom", type=Path, metavar="FILE", help="write the SBOM there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there")
    parser.add_argument("--pip-audit", default="pip-audit", metavar="PROGRAM", help="which pip-audit to ask")
    options = parser.parse_args()
    found = parts(extras=extras_of())
    version = next(part.version for part in found if part.name == PROJECT)
    if options.sbom:
        options.sbom.write_text(json.dumps(document(found, version), indent=1) + "\n")
    wrong = licences(found)
    known, unasked = vulnerabilities(found, [options.pip_audit])
    print(f"{len(found) - 1} distributions; licences: {len(wrong)} objections")
    print(f"vulnerabilities: {len(known)} known{'; ' + unasked if unasked else ''}")
    for line in (*wrong, *known):
        print(f"  {line}")
    if options.json:
        told = {"parts": len(found), "licences": wrong, "known": known, "unasked": unasked}
        options.json.write_text(json.dumps(told, indent=1))
    return int(bool(wrong or known))


if __name__ == "__main__":
    sys.exit(main())
