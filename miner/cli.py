"""The command line: streetvision-miner COMMAND; `--help` lists them.

The daemon is neurons/miner.py.

Every command takes the daemon's flags too (`--data.path`, `--env-file`, ...): same settings, same folder.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from miner.commands import Commands
from miner.control import SOCKET_NAME, NotRunning, call
from miner.errors import OperatorError
from miner.settings import Settings, SettingsError, load, version
from miner.terminal import echo

DAY_NS = 86_400 * 10**9
SERVER_S = 35.0
"""A little more than the control socket grants a command: a server takes its time to end."""
PROFILE_S = 32.0
"""The longest look, and writing it down."""
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
PARTS = ("bittensor", "torch", "transformers", "uvicorn")

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Looks after a miner of Bittensor subnet 72, which `python neurons/miner.py` starts.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Run the command line; exits with 0, 1 (no) or 2 (the settings cannot be honoured)."""
    try:
        app(prog_name="streetvision-miner")
    except SettingsError as error:
        sys.stderr.write(f"streetvision-miner: {error}\n")
        raise SystemExit(2) from None
    except OperatorError as error:
        sys.stderr.write(f"streetvision-miner: {error}\n")
        raise SystemExit(1) from None


@app.command(context_settings=PASS_ON)
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """What the miner is doing now; without one, what it last did (and exit status 1)."""
    from miner.show import offline_view, status_view

    settings = load(context.args)
    try:
        answer = call(settings.data.path / SOCKET_NAME, "status")
    except NotRunning:
        last = _last_facts(settings)
        _put(as_json, last, lambda: offline_view(last))
        raise typer.Exit(1) from None
    _put(as_json, answer, lambda: status_view(answer))


@app.command(context_settings=PASS_ON)
def hotkeys(context: typer.Context, as_json: AsJson = False) -> None:
    """The hotkeys that the running miner serves: where each stands, and whether validators find it."""
    from miner.show import hotkeys_view

    rows = call(load(context.args).data.path / SOCKET_NAME, "hotkeys")
    _put(as_json, rows, lambda: hotkeys_view(rows))


@app.command(context_settings=PASS_ON)
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Whether this host, these settings and the subnet can earn anything. Exit status 1 when they cannot."""
    from miner.doctor.command import healthy, run, view

    found = run(load(context.args))
    _put(as_json, [asdict(each) for each in found], lambda: view(found))
    raise typer.Exit(0 if healthy(found) else 1)


@app.command(context_settings=PASS_ON)
def publish(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder with weights, configuration and card.")],
    repo: Annotated[str, typer.Argument(help="Hub repository, OWNER/NAME.")],
    version: Annotated[str, typer.Option("--card-version", help="Version the card states.")],
    description: Annotated[str, typer.Option(help="What the card says of the model.")] = "",
    private: Annotated[bool, typer.Option(help="Make the repository private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run/--upload", help="Show it, or upload it.")] = True,
    as_json: AsJson = False,
) -> None:
    """Publish a model with its model_card.json. Shows what it would do; --upload does it, with HF_TOKEN."""
    from miner.publish.command import publish as prepare
    from miner.publish.view import publish_view

    more: Any = {"version": version, "description": description, "private": private, "really": not dry_run}
    found = prepare(load(context.args), folder, repo, **more)
    _put(as_json, found, lambda: publish_view(found))


@app.command(context_settings=PASS_ON)
def register(
    context: typer.Context,
    uid: Annotated[int, typer.Argument(min=0, help="The hotkey's UID on the subnet.")],
    model_repo: Annotated[str, typer.Argument(help="Hub repository of the model, OWNER/NAME.")],
    server: Annotated[str, typer.Option(help="Where to post it (none: NATIX's own).")] = "",
    post: Annotated[bool, typer.Option("--post", help="Post it; otherwise it is only shown.")] = False,
    as_json: AsJson = False,
) -> None:
    """NATIX's registration, signed by the hotkey: shown, and posted only with --post."""
    from miner.publish.command import register as sign
    from miner.publish.view import registration_view

    where = {"server": server} if server else {}
    found = sign(load(context.args), uid, model_repo, really=post, **where)
    _put(as_json, found, lambda: registration_view(found))


@app.command(context_settings=PASS_ON)
def alert(context: typer.Context, as_json: AsJson = False) -> None:
    """Send a test by the channels of the settings `alerts`. Exit status 1 when one does not take it."""
    import asyncio

    from miner.alerts import AlertSender

    settings = load(context.args)
    found = asyncio.run(AlertSender(settings.alerts, settings.wallet.hotkey).try_out())
    lines = [f"{channel}: {why or 'taken'}" for channel, why in found.items()]
    _put(as_json, found, lambda: "\n".join(lines) or "alerts.webhook and alerts.command are not set")
    raise typer.Exit(int(not found or any(found.values())))


@app.command(context_settings=PASS_ON)
def profile(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(help="How long to look: at most 20, of models 5.")] = 5.0,
    models: Annotated[bool, typer.Option("--models", help="Of the models, by torch's profiler.")] = False,
    as_json: AsJson = False,
) -> None:
    """Where the running miner spends its time: the front's functions, or the models' operators. Writes a file
    to the data folder: for flame graphs, or (--models) a trace for Perfetto."""
    socket = load(context.args).data.path / SOCKET_NAME
    found = call(socket, "profile", timeout_s=PROFILE_S, seconds=seconds, models=models)
    lines = [f"{share:6.1%}  {function}" for function, share in found["top"]]
    _put(as_json, found, lambda: "\n".join([*lines, found["file"]]))


@app.command(context_settings={**PASS_ON, "help_option_names": []})
def rehearse(context: typer.Context) -> None:
    """The whole subnet on this machine: miner, local chain, validator and status page."""
    from miner.rehearsal.stage import main as stage

    raise typer.Exit(stage(context.args))


@app.command(context_settings={**PASS_ON, "help_option_names": []})
def classify(context: typer.Context) -> None:
    """Judge pictures and folders: a table, CSV, JSON, a page that explains. Needs no subnet."""
    from miner.classify import main as judge

    raise typer.Exit(judge(context.args))


@app.command(context_settings={**PASS_ON, "help_option_names": []})
def evaluate(context: typer.Context) -> None:
    """How a model or a cascade does on labelled pictures: tables, curves, worst cases, comparisons."""
    _become("models.learn.evaluate", context.args)


@app.command(context_settings={**PASS_ON, "help_option_names": []})
def train(context: typer.Context) -> None:
    """Train a classifier on your own labelled pictures: the embedded one, or with --recipe any backbone."""
    from miner.train import main as learn

    raise typer.Exit(learn(context.args))


@app.command(name="import", context_settings={**PASS_ON, "help_option_names": []})
def bring_in(context: typer.Context) -> None:
    """Bring labelled pictures from other layouts into a folder that evaluate and train read."""
    _become("models.learn.importing", context.args)


@app.command(context_settings={**PASS_ON, "help_option_names": []})
def plan(context: typer.Context) -> None:
    """What fits on which GPUs, in sums that can be followed, and how to start it."""
    from miner.plan import main as reckon

    raise typer.Exit(reckon(context.args))


@app.command(context_settings=PASS_ON)
def server(
    context: typer.Context,
    order: Annotated[
        Literal["load", "unload", "release", "resume"], typer.Argument(help="What it is to do.")
    ],
    name: Annotated[str, typer.Argument(help="The server's name in the servers file.")],
    as_json: AsJson = False,
) -> None:
    """Load or unload a VLM server of the running miner; have it release its GPU memory, or resume."""
    where = load(context.args).data.path / SOCKET_NAME
    answer = call(where, f"server_{order}", timeout_s=SERVER_S, name=name)
    _put(as_json, answer, lambda: answer)


@app.command()
def servers(
    file: Annotated[Path, typer.Argument(help="TOML or JSON list of VLM servers (docs/vlm-servers.md).")],
    as_json: AsJson = False,
) -> None:
    """Whether VLM servers can be started here, or answer elsewhere. Starts nothing; exit status 1 if not."""
    import asyncio

    from miner.servers.check import look
    from miner.servers.gpus import gpus_here
    from miner.servers.specfile import read_keys, read_specs

    try:
        specs = read_specs(file)
        found = asyncio.run(look(specs, read_keys(specs), asyncio.run(gpus_here())))
    except SettingsError as error:
        echo(str(error))
        raise typer.Exit(2) from error
    rows = [f"{'ok' if one.fine else 'NO':3} {one.name}: {one.sentence}" for one in found]
    _put(as_json, [asdict(one) for one in found], lambda: "\n".join(rows))
    raise typer.Exit(0 if all(one.fine for one in found) else 1)


@app.command(name="version")
def show_version(as_json: AsJson = False) -> None:
    """The versions of the miner and of what it stands on."""
    import platform

    found = {"streetvision-miner": version(), "python": platform.python_version()}
    found |= {name: _installed(name) for name in PARTS}
    _put(as_json, found, lambda: "\n".join(f"{name} {text}" for name, text in found.items()))


def _become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Go on as another program: what looks at pictures has no place in the daemon's packages."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


def _put(as_json: bool, answer: Any, view: Any) -> None:
    echo(json.dumps(answer, indent=2) if as_json else view())


def _last_facts(settings: Settings) -> dict[str, Any]:
    """What the ledger knows of a miner that does not run."""
    from miner.ledger import LEDGER_NAME, events, last_subnet_health, payouts, recent, summary

    path = settings.data.path / LEDGER_NAME
    day, newest = summary(path, time.time_ns() - DAY_NS), recent(path, 1)
    return {
        "running": False,
        "data_path": str(settings.data.path),
        "last_challenge_s": newest[0].at_ns / 1e9 if newest else None,
        "last_day": {"outcomes": day.outcomes, "p50_ms": day.p50_ms, "p95_ms": day.p95_ms},
        "last_events": events(path, 3),
        "last_payout": next(iter(payouts(path, 1)), None),
        "last_subnet": last_subnet_health(path),
    }


def _installed(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
