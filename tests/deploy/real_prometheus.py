"""A real Prometheus in a folder of its own, that scrapes one address every second."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from deploy_kit import DEPLOY, documents, tool

from miner.rehearsal.scenery import free_port

PATIENCE_S = 30.0


class Prometheus:
    """Answers queries; `port` is its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query, an empty list while it does not listen. Raises on a bad query."""
        words = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/api/v1/query?{words}", timeout=5
            ) as reply:
                return json.load(reply)["data"]["result"]
        except urllib.error.HTTPError:
            raise
        except OSError:
            return []

    def wait(self, expression: str, patience_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        """Until the query has samples; what it has at the end of the patience otherwise."""
        deadline = time.monotonic() + patience_s
        while not (found := self.query(expression)) and time.monotonic() < deadline:
            time.sleep(0.3)
        return found


@contextlib.contextmanager
def scraping(target: str, folder: Path) -> Iterator[Prometheus]:
    """With the scrape settings and rules that are shipped, but for the address and the haste."""
    program = tool("prometheus", "prometheus")
    (config,) = documents(DEPLOY / "prometheus" / "prometheus.yml")
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / "alerts.yml")]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    words = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *words, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
        try:
            yield Prometheus(port)
        finally:
            process.kill()
            process.wait()
