"""From a fresh host to a running service by the operator's guide: its own lines, in their order, in a folder.

What a test cannot have is left out (git, make, btcli's questions, the journal); the rest is done as it
stands, with /etc, /var and /opt inside the folder. systemd's part is played by what the unit says: its
environment, its settings file, its command, and the notification that it waits for.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bittensor.keyfiles import Keypair
from deploy_kit import ROOT

from miner.chain.client import Chain
from miner.chain.local import LocalChain
from miner.rehearsal.scenery import free_port
from miner.rehearsal.stage import clean_environment
from miner.rehearsal.wallets import HOTKEY, identity

pytestmark = pytest.mark.timeout(400)
TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
VALIDATOR = Keypair.create_from_uri("//guide/validator")
READY_S = 150.0
NOT_HERE = {"git", "make", "btcli", "journalctl", "cd"}
SANDBOX = """
SVM_SUBTENSOR__NETWORK=local
SVM_SUBTENSOR__LOCAL_FILE={chain}
SVM_SUBTENSOR__REFRESH_S=1
SVM_AXON__IP=127.0.0.1
SVM_AXON__EXTERNAL_IP=127.0.0.1
SVM_AXON__PORT={port}
SVM_PAGE__PORT=0
SVM_CASCADE__PATH={cascade}
SVM_ENGINE__MODE=thread
"""
"""What a host with an internet has otherwise."""


def blocks(heading: str) -> Iterator[tuple[str, list[str]]]:
    """(language, lines) of each block below a heading of the guide."""
    section = re.split(r"(?m)^## ", TEXT.partition(f"\n## {heading}\n")[2])[0]
    for language, block in re.findall(r"^ *```(\w+)\n(.*?)^ *```", section, re.MULTILINE | re.DOTALL):
        yield language, [line.strip() for line in block.splitlines()]


class Host:
    """A folder in the place of a host's root; `run` does a line of the guide."""

    def __init__(self, folder: Path) -> None:
        self.root, self.checkout, self.tools = folder / "root", folder / "checkout", folder / "tools"
        self.checkout.mkdir(parents=True)
        for name in ("miner", "models", "neurons", "systemd", "env.example"):
            (self.checkout / name).symlink_to(ROOT / name)
        (self.checkout / ".venv").symlink_to(sys.prefix)
        self.tools.mkdir()
        self._tool("runuser", 'shift 3; exec "$@"')
        self._tool("id", "case $1 in -u) echo 0 ;; *) echo root ;; esac")
        self.wallet = identity(folder / "operator", "rewards")
        self.handed = folder / "HOTKEY"
        self.handed.write_bytes((folder / "operator" / "rewards" / "hotkeys" / HOTKEY).read_bytes())
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(folder / "notify"))
        self.service: subprocess.Popen[bytes] | None = None

    def _tool(self, name: str, script: str) -> None:
        (self.tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / name).chmod(0o755)

    def here(self, text: str) -> str:
        """With the sandbox's paths and names."""
        for place in ("/etc", "/var/lib"):
            text = text.replace(f"{place}/streetvision-miner", f"{self.root}{place}/streetvision-miner")
        text = text.replace("/tmp/HOTKEY", str(self.handed)).replace("%S/", f"{self.root}/var/lib/")
        text = re.sub(r"(?<![_A-Z/])HOTKEY\b|(?<=hotkeys/)HOTKEY\b", HOTKEY, text)
        return re.sub(r"(?<![_A-Z])NAME\b", self.wallet.name, text)

    def run(self, line: str) -> str:
        words = [word for word in shlex.split(self.here(line)) if word != "sudo"]
        program, rest = words[0], words[1:]
        if program in NOT_HERE:
            return ""
        if program == "systemctl":
            self.stop()
            self.start(rest[-1])
            return ""
        if program == "streetvision-miner":
            words[0] = str(self.root / "usr/local/bin" / program)
        if program == "install":  # users that are not here
            words = [program, *shlex.split(re.sub(r"-o \S+ -g \S+", "", shlex.join(rest)))]
        path = f"{self.tools}:{os.environ['PATH']}"
        environment = {**os.environ, "DESTDIR": str(self.root), "PATH": path}
        done = subprocess.run(
            words, cwd=self.checkout, env=environment, capture_output=True, text=True, timeout=READY_S
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def settle(self) -> None:
        """What the installer wrote names the real places."""
        for name in ("usr/local/bin/streetvision-miner", "etc/systemd/system/streetvision-miner.service"):
            (self.root / name).write_text(self.here((self.root / name).read_text()))

    def set(self, text: str) -> None:
        with (self.root / "etc/streetvision-miner/miner.env").open("a") as file:
            file.write(self.here(text) + "\n")

    def start(self, name: str) -> None:
        """As systemd does; returns when the service says that it is ready."""
        unit = (self.root / f"etc/systemd/system/{name}.service").read_text()
        given = dict(re.findall(r"(?m)^(\w+)=(.+)$", unit))
        settings = Path(given["EnvironmentFile"]).read_text()
        variables = re.findall(r"(?m)^Environment=(\w+)=(.+)$", unit) + re.findall(
            r"(?m)^(SVM_\w+)=(.+)$", settings
        )
        environment = {**clean_environment(os.environ), **dict(variables)}
        environment["NOTIFY_SOCKET"] = str(self.notified.getsockname())
        Path(environment["SVM_DATA__PATH"]).mkdir(parents=True, exist_ok=True)
        log = (self.root / "log").open("ab")
        words = given["ExecStart"].replace("/opt/streetvision-miner", str(self.checkout)).split()
        self.service = subprocess.Popen(words, cwd=self.checkout, env=environment, stdout=log, stderr=log)
        until = time.monotonic() + READY_S
        while time.monotonic() < until and self.service.poll() is None:
            self.notified.settimeout(1.0)
            try:
                if b"READY=1" in self.notified.recv(4096):
                    return
            except TimeoutError:
                continue
        raise AssertionError((self.root / "log").read_text())

    def stop(self) -> None:
        if self.service is not None:
            self.service.terminate()
            assert self.service.wait(30) == 0
            self.service = None


@pytest.fixture
def host(tmp_path) -> Iterator[Host]:
    one = Host(tmp_path)
    yield one
    if one.service is not None:
        one.service.kill()
        one.service.wait()
    one.notified.close()


async def chain_of(folder: Path, wallet) -> LocalChain:
    """A subnet that pays the hotkey."""
    rules = {"block_s": 1.0, "weights_rate_limit": 0, "serving_rate_limit": 1}
    chain = LocalChain.create(folder / "chain.sqlite", allow_loopback=True, immunity_period=100_000, **rules)
    chain.register(VALIDATOR.ss58_address, alpha=50_000.0, permit=True)
    uid = chain.register(wallet.hotkey, wallet.coldkey)
    await Chain(72, substrate=chain).set_weights({uid: 1.0}, VALIDATOR)
    return chain


async def test_the_guide_leads_from_a_fresh_host_to_a_service_that_is_healthy(tmp_path, host):
    chain = await chain_of(tmp_path, host.wallet)
    for language, lines in blocks("Install"):
        assert language == "sh"
        for line in lines:
            host.run(line)
    host.settle()
    for _, lines in blocks("Keys"):
        for line in lines:
            host.run(line)
    assert not host.handed.exists(), "shredded"
    language, lines = next(blocks("Settings"))
    assert language == "ini"
    host.set("\n".join(lines))
    (tmp_path / "cascade").mkdir()
    (tmp_path / "cascade" / "cascade.json").write_text(
        json.dumps({"name": "plain", "tiers": [{"kind": "trivial"}]})
    )
    host.set(SANDBOX.format(chain=chain.path, port=free_port(), cascade=tmp_path / "cascade"))
    said = [host.run(line) for kind, lines in blocks("Testnet 323 first") if kind == "sh" for line in lines]
    assert any("UID 2" in text for text in said), "doctor failed nothing, and found the registration"
    _, *after = [lines for kind, lines in blocks("Mainnet 72") if kind == "sh"]
    status, rewards = [host.run(line) for lines in after for line in lines if "streetvision" in line]
    assert "answering" in status and "UID 2" in status and "Paid per epoch" in rewards
    host.stop()
