"""python -m models.kernels [--json] [--compile 80,90,100]: whether kernels do what their references do.

Without a GPU set TRITON_INTERPRET=1 to compare; --compile needs neither a GPU nor the interpreter. Ends with
1 when a kernel is further from its reference than it may be, with 2 when nothing can run here.
"""

from __future__ import annotations

import argparse
import json
import sys

from models.kernels import missing


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m models.kernels")
    parser.add_argument("--json", action="store_true", help="one JSON list instead of lines")
    parser.add_argument("--compile", metavar="CAPABILITIES", help="compile for these instead, as 80,90,100")
    asked = parser.parse_args()
    if asked.compile:
        return _compile([int(each) for each in asked.compile.split(",")], asked.json)
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if reason := missing(device):
        sys.stderr.write(f"{reason}.\n")
        return 2
    from models.kernels.check import compare

    compared = compare(device)
    if asked.json:
        sys.stdout.write(json.dumps([each.to_json() for each in compared]) + "\n")
    else:
        for each in compared:
            verdict = "ok" if each.ok else "WRONG"
            sys.stdout.write(
                f"{each.kernel:22}{each.case:42}{each.apart:9.2g} of {each.allowed:g}  {verdict}\n"
            )
    return 0 if all(each.ok for each in compared) else 1


def _compile(capabilities: list[int], as_json: bool) -> int:
    from models.kernels.ahead import compile_for

    compiled = [each for capability in capabilities for each in compile_for(capability)]
    if as_json:
        sys.stdout.write(json.dumps([each.to_json() for each in compiled]) + "\n")
    for each in compiled if not as_json else ():
        sys.stdout.write(
            f"{each.kernel:22} sm_{each.capability}  {each.warps} warps  {each.shared:6} B shared"
            f"  {each.binary:6} B of code\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
