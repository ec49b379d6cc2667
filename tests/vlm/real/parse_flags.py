"""Whether SGLang's own parser takes command lines.

python parse_flags.py < [[flag, ...], ...] > ["", "what it says of the second", ...]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys

from sglang.srt.server_args import ServerArgs


def refusal(parser: argparse.ArgumentParser, flags: list[str]) -> str:
    """The parser's complaint; empty when it has none."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parser.parse_args(flags)
    except SystemExit:
        return said.getvalue().strip().splitlines()[-1]
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    with contextlib.redirect_stdout(sys.stderr):
        ServerArgs.add_cli_args(parser)
        found = [refusal(parser, flags) for flags in json.load(sys.stdin)]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
