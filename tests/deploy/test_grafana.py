"""The dashboard: a real Prometheus has data for every panel of a miner that has done everything once."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import exposition
import pytest
from deploy_kit import DEPLOY, documents
from real_prometheus import scraping

FOLDER = DEPLOY / "grafana"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def targets(panel: dict[str, Any]) -> list[str]:
    """Its queries with the dashboard's variables filled in."""
    return [
        target["expr"].replace("$instance", ".*").replace("$__rate_interval", "20s")
        for target in panel["targets"]
    ]


@pytest.fixture
def exporter() -> Iterator[str]:
    """The address of something that exports all metrics, and works a little at every scrape."""
    metrics = exposition.everything()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            exposition.work(metrics)
            text = metrics.text()
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.timeout(120)
def test_every_panel_has_data_and_every_query_parses(exporter, tmp_path):
    with scraping(exporter, tmp_path) as prometheus:
        assert prometheus.wait("rate(svm_challenges_total[20s]) > 0"), (
            tmp_path / "prometheus.log"
        ).read_text()
        empty = {
            panel["title"]: expression
            for panel in PANELS
            for expression in targets(panel)
            if not prometheus.query(expression)
        }
    assert not empty


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_a_miner_exports(panel):
    for expression in targets(panel):
        asked = set(re.findall(r"\b(?:svm|process)_[a-z_0-9]+", expression))
        assert asked and asked <= exposition.names()
        for words in re.findall(r"\bby \(([^)]*)\)", expression):
            known = set().union(*map(exposition.labels, asked)) | {"instance", "job"}
            assert {word.strip() for word in words.split(",")} <= known


def test_panels_stand_side_by_side_with_names_of_their_own():
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        taken = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and max(x for x, _ in taken) < 24
        cells |= taken
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)


def test_provisioning_names_the_source_that_the_dashboard_takes():
    (sources,) = documents(FOLDER / "provisioning" / "datasources" / "prometheus.yml")
    (source,) = sources["datasources"]
    variable = next(each for each in DASHBOARD["templating"]["list"] if each["type"] == "datasource")
    assert source["type"] == variable["query"] and source["isDefault"]
