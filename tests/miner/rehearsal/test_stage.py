"""What the stage starts, watches and leaves behind: nothing."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from rehearsal_kit import write_pictures

from miner.chain.local import LocalChain
from miner.rehearsal import scenery, stage
from miner.rehearsal.processes import Child, Interrupts
from miner.settings import load
from miner.settings.fields import ENV_PREFIX

REPOSITORY = Path(__file__).parents[3]
PATIENCE_S = 60.0

STAND_IN_MINER = """
import http.server, pathlib, signal, subprocess, sys
flags = dict(word[2:].split("=", 1) for word in sys.argv[1:])
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("grandchild").write_text(str(grandchild.pid))
print("miner started", flush=True)
if pathlib.Path("die").exists():
    sys.exit("the miner cannot go on")
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = pathlib.Path("ready").exists()
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(b"engine starting")
    def log_message(self, *args): pass
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path("order").open("a").write("miner\\n"), sys.exit(0)))
http.server.HTTPServer(("127.0.0.1", int(flags["page.port"])), Page).serve_forever()
"""
STAND_IN_VALIDATOR = """
import json, pathlib, signal, sys, time
def end(*_):
    pathlib.Path("order").open("a").write("validator\\n"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path("validator").write_text(json.dumps(sys.argv[1:]))
print("validator started", flush=True)
sys.exit(int(pathlib.Path("code").read_text())) if pathlib.Path("code").exists() else time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path):
    """A rehearsal's folder whose miner is ready at once, with stand-ins for both neurons beside it."""
    write_pictures(tmp_path / "pictures", each=1)
    (tmp_path / "neurons").mkdir()
    (tmp_path / "neurons" / "miner.py").write_text(STAND_IN_MINER)
    (tmp_path / "neurons" / "validator.py").write_text(STAND_IN_VALIDATOR)
    data = tmp_path / "data"
    data.mkdir()
    (data / "ready").touch()
    yield data
    if (data / "grandchild").exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((data / "grandchild").read_text()), signal.SIGKILL)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The stage, in a process of its own, with the stand-ins."""
    neurons = str(folder.parent / "neurons")
    program = (
        "import pathlib, sys; from miner.rehearsal import stage;"
        f"stage.NEURONS = pathlib.Path({neurons!r}); sys.exit(stage.main(sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, f"--data={folder}", f"--images={folder.parent}/pictures", *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(condition, what: str):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)
    return found


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def family(process: subprocess.Popen[str], folder: Path) -> list[int]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child.pid for child in children] + [int((folder / "grandchild").read_text())]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_in_reverse(folder, number):
    process = start(folder)
    try:
        wait_for((folder / "validator").exists, "the validator started")
        pids = family(process, folder)
        assert len(set(pids)) == 3
        process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 0
    assert (folder / "order").read_text().split() == ["validator", "miner"]
    assert not [pid for pid in pids if is_running(pid)]
    assert output.count("http://127.0.0.1:") == 1
    assert output.rstrip().endswith("stopped")


def test_a_signal_before_the_miner_is_ready_stops_it(folder):
    (folder / "ready").unlink()
    process = start(folder)
    try:
        wait_for((folder / "grandchild").exists, "the miner started")
        time.sleep(0.2)
        pids = family(process, folder)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 0
    assert not [pid for pid in pids if is_running(pid)]
    assert not (folder / "validator").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux only")
def test_children_end_even_when_the_stage_is_killed(folder):
    process = start(folder)
    try:
        wait_for((folder / "validator").exists, "the validator started")
        children = [child.pid for child in psutil.Process(process.pid).children()]
    finally:
        process.kill()
        process.communicate()
    wait_for(lambda: not [pid for pid in children if is_running(pid)], "the children ended")


def test_a_miner_that_dies_is_reported_with_the_end_of_its_log(folder):
    (folder / "die").touch()
    process = start(folder)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "the miner ended by itself with exit code 1" in output
    assert "the miner cannot go on" in output
    assert not is_running(int((folder / "grandchild").read_text()))


def test_a_miner_that_dies_later_ends_the_rehearsal(folder):
    process = start(folder)
    try:
        wait_for((folder / "validator").exists, "the validator started")
        pids = family(process, folder)
        miner = next(p for p in psutil.Process(process.pid).children() if "miner.py" in " ".join(p.cmdline()))
        miner.kill()
        output, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "the miner ended by itself with exit code -9" in output
    assert not [pid for pid in pids if is_running(pid)]


def test_a_miner_that_never_gets_ready_is_given_up(folder):
    (folder / "ready").unlink()
    process = start(folder, "--wait", "1")
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "not ready after 1 s: engine starting" in output


@pytest.mark.parametrize(("theirs", "ours"), [("0", 0), ("2", 1)])
def test_the_validators_end_is_the_stages_end(folder, theirs, ours):
    (folder / "code").write_text(theirs)
    process = start(folder, "--count", "5", "--rate", "3")
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ours
    flags = json.loads((folder / "validator").read_text())
    assert {"--count=5", "--rate=3.0", "--settle"} <= set(flags)


def test_a_second_rehearsal_in_the_folder_is_refused(folder):
    with scenery.claim(folder):
        process = start(folder)
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "a rehearsal is running" in output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--images", "/nowhere"], "needs pictures"),
        (["--protocol", "9"], "--protocol"),
        (["--count", "0"], "--count"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_runs(folder, arguments, text):
    process = start(folder, *arguments)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert text in output
    assert not (folder / "grandchild").exists()


def test_a_taken_page_port_is_refused_when_asked_for_and_avoided_otherwise():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(scenery.SceneryError, match=str(port)):
            stage._page_port(port)
    assert stage._page_port(port) == port


# what it prepares


def test_preparing_twice_keeps_wallets_and_chain(tmp_path):
    first = scenery.prepare(tmp_path, block_s=0.5, tempo=7)
    keys = {path: path.read_bytes() for path in first.wallets.rglob("*") if path.is_file()}
    scenery.prepare(tmp_path, block_s=9.0, tempo=99)
    assert {path: path.read_bytes() for path in first.wallets.rglob("*") if path.is_file()} == keys
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys)
    with LocalChain(first.chain)._store.open() as state:
        assert (state.rules.block_s, state.rules.tempo) == (0.5, 7)
        assert len(state.neurons()) == 5


def test_lost_wallets_are_made_and_registered_anew(tmp_path):
    import shutil

    first = scenery.prepare(tmp_path, block_s=1.0, tempo=20)
    shutil.rmtree(first.wallets)
    scenery.prepare(tmp_path, block_s=1.0, tempo=20)
    with LocalChain(first.chain)._store.open() as state:
        assert len(state.neurons()) == 7


def test_the_miners_flags_are_settings_that_exist(tmp_path):
    flags = stage._miner_flags(scenery.Scenery(tmp_path), 8092, 0.0, ["--engine.threads=1"])
    settings = load(flags, env={})
    assert settings.subtensor.network == "local"
    assert settings.subtensor.local_file == tmp_path / "chain.sqlite"
    assert settings.axon.announce == "force"
    assert settings.data.path == tmp_path / "miner"
    assert settings.engine.threads == 1
    assert settings.wire.caller_rate > 10_000


def test_an_operators_settings_stay_out_of_the_rehearsal():
    env = {f"{ENV_PREFIX}NETUID": "1", "WALLET_NAME": "mine", "PATH": "/bin", "OMP_NUM_THREADS": "2"}
    assert stage.clean_environment(env) == {"PATH": "/bin", "OMP_NUM_THREADS": "2"}


def test_a_folder_that_cannot_be_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert stage.main(["--data", str(tmp_path / "file" / "data")]) == 2
    assert f"{tmp_path / 'file' / 'data'} cannot be used: Not a directory" in capsys.readouterr().out


def test_the_miners_own_flags_are_passed_on():
    options, extra = stage._parse(["--model.path", "x", "--count", "3", "--engine.threads=1"])
    assert options.count == 3
    assert extra == ["--model.path", "x", "--engine.threads=1"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--cuont", "3"], "--cuont"),
        (["--model.pth", "x"], "--model.path"),
        (["word"], "word"),
        (["--port", "70000"], "above 65535"),
        (["--count", "0"], "below 1"),
    ],
)
def test_a_flag_that_nobody_can_honour_is_refused(words, text, capsys):
    with pytest.raises(SystemExit) as refused:
        stage._parse(words)
    assert refused.value.code == 2
    assert text in capsys.readouterr().err


# processes and signals


def test_a_child_that_ignores_its_end_is_killed_with_all_it_started(tmp_path):
    program = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    )
    child = Child("c", [sys.executable, "-c", program], cwd=tmp_path, env=os.environ, log=tmp_path / "log")
    try:
        grandchild = int(wait_for(lambda: child.last_lines(), "the child's output"))
        child.stop(patience_s=600, hurry=lambda: True)
    finally:
        child.stop(0)
    assert child.code == -signal.SIGKILL
    wait_for(lambda: not is_running(grandchild), "the grandchild ended")


def test_an_interrupt_is_held_back_while_a_child_is_written_down():
    done, before = [], signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt), interrupts.held():
            signal.raise_signal(signal.SIGTERM)
            done.append("finished")
        signal.raise_signal(signal.SIGINT)
        assert interrupts.count == 2
    assert done == ["finished"]
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_while_everything_is_being_stopped_only_counts():
    with Interrupts() as interrupts:
        interrupts.ignore()
        signal.raise_signal(signal.SIGINT)
        assert interrupts.count == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_whole_rehearsal_earns_and_leaves_nothing_behind(tmp_path):
    """The real thing: miner, model, wire, chain, validator, on rendered scenes."""
    from miner.rehearsal.challenges import rendered_scenes

    images, summary = rendered_scenes(tmp_path / "scenes", 24), tmp_path / "summary.json"
    command = [sys.executable, "-c", "import sys; from miner.rehearsal.stage import main; sys.exit(main())"]
    options = ["--data", str(tmp_path / "data"), "--images", str(images), "--json", str(summary)]
    load_options = ["--count", "20", "--rate", "4", "--block-s", "0.5", "--tempo", "10"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [*command, *options, *load_options], cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE
    )
    try:
        wait_for((tmp_path / "data" / "miner.log").exists, "the miner started")
        output, _ = process.communicate(timeout=500)
    finally:
        for left in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
            left.kill()
        process.kill()
    assert process.returncode == 0, output
    found = json.loads(summary.read_text())
    assert (found["challenges"], found["refused"], found["lost"]) == (20, 0, 0), found
    assert found["answered"] >= 15, found
    (row,) = found["miners"]
    assert row["score"] > 0
    assert row["alpha_paid"] > 0
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])
    ]


def test_the_end_says_by_which_members_answers_left():
    row = {"path": ["a", "b"], "certified": False, "count": 3, "share": 1.0, "p50_ms": 12.0, "p95_ms": 20.0}

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"exits": [row]}).encode() if self.path == "/status.json" else b"?")

        def log_message(self, *args): ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert stage.exits(server.server_port) == ["100.0 % a → b: 12 ms (p95 20 ms), 3 answers"]
    server.shutdown()
    server.server_close()
    assert stage.exits(server.server_port) == [], "a page that does not answer spoils no end"
