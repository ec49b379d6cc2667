"""The command line of the rehearsal validator, which is also the load generator."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from miner.rehearsal.challenges import Draws, NoImages, default_images, pictures_in
from miner.rehearsal.options import (
    CHAIN_FILE,
    EXIT_REFUSED,
    NETUID,
    VALIDATOR,
    WALLETS,
    folder,
    positive,
    regimes_of,
    shared,
    whole,
)

if TYPE_CHECKING:
    from miner.rehearsal.run import Validator


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="neurons/validator.py",
        description="Challenge a local chain's miners as subnet 72's validators do, score them by its "
        "formula, and write weights that the chain's epochs pay for. `make rehearse` starts it and the rest.",
        epilog="Load: --rate 0 --concurrency 32 --distinct 200 --count 5000",
        parents=[shared()],
        allow_abbrev=False,
    )
    add = result.add_argument
    add("--netuid", type=int, default=NETUID, help="subnet (default: %(default)s)")
    add(
        "--subtensor.local_file",
        dest="chain",
        type=folder,
        metavar="FILE",
        help=f"the local chain (default: {CHAIN_FILE} in --data)",
    )
    add(
        "--wallet.name",
        dest="wallet",
        default=VALIDATOR,
        help="the validator's wallet (default: %(default)s)",
    )
    add("--wallet.hotkey", dest="hotkey", default="default", help="and its hotkey (default: %(default)s)")
    add(
        "--wallet.path",
        dest="wallets",
        type=folder,
        help=f"folder of the wallets (default: {WALLETS}/ in --data)",
    )
    add("--sample", type=whole(1), default=10, help="most miners asked per challenge (default: %(default)s)")
    add("--timeout", type=positive, default=9.0, help="seconds an answer may take (default: %(default)s)")
    add("--settle", action="store_true", help="with --count: wait in the end for the epoch that pays")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run until the count is reached or a signal comes. Exit code 2: refused, with the reason on stderr."""
    options = parser().parse_args(argv)
    try:
        return asyncio.run(_run(options))
    except (NoImages, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return 0


async def _run(options: argparse.Namespace) -> int:
    from miner.rehearsal.show import create_view, summary_text

    view = create_view()
    try:
        validator = _validator(options, view)
        await _until_signal(validator)
    finally:
        view.close()
    summary = validator.summary()
    sys.stdout.write(summary_text(summary) + "\n")
    if options.json:
        options.json.write_text(json.dumps(summary, indent=2) + "\n")
    return 0


def _validator(options: argparse.Namespace, view: Any) -> Validator:
    from miner.chain.client import Chain
    from miner.chain.local import LocalChain
    from miner.rehearsal.run import Pace, Validator
    from miner.rehearsal.wallets import load_keypair

    chain = options.chain or options.data / CHAIN_FILE
    if not chain.is_file():
        raise FileNotFoundError(f"there is no local chain at {chain}; `make rehearse` makes one")
    keypair = load_keypair(options.wallets or options.data / WALLETS, options.wallet, options.hotkey)
    pictures = pictures_in(options.images or default_images(options.data))
    seed = random.randrange(2**32) if options.seed is None else options.seed
    pace = Pace(
        rate=options.rate,
        concurrency=options.concurrency,
        count=options.count,
        sample=options.sample,
        timeout_s=options.timeout,
        distinct=options.distinct,
        settle=options.settle,
    )
    draws = Draws(pictures, regimes_of(options.regime), seed)
    return Validator(Chain(options.netuid, substrate=LocalChain(chain)), keypair, draws, pace, view)


async def _until_signal(validator: Validator) -> None:
    """Run; the first SIGINT or SIGTERM ends it, and that is no error."""
    work = asyncio.create_task(validator.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    await asyncio.wait([work])
    if not work.cancelled():
        work.result()
