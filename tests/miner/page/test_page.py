"""The operator's page: readable, safe against callers and other web pages, honest about readiness."""

from __future__ import annotations

import re
import socket
from importlib import resources

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_status import sample_status
from starlette.testclient import TestClient

from miner.page import PageServer, create_page
from miner.page.app import Guard, host_name
from miner.settings import Page, SettingsError
from miner.telemetry import Metrics

PATHS = (
    "/",
    "/page.css",
    "/page.js",
    "/review.js",
    "/status.json",
    "/metrics",
    "/health/live",
    "/health/ready",
    "/health/members",
)


def client(reasons: list[str] | None = None, hosts: list[str] | None = None, **changes) -> TestClient:
    app = create_page(lambda: sample_status(**changes), Metrics().text, lambda: reasons or [], hosts or [])
    return TestClient(app, base_url="http://127.0.0.1:8092")


@pytest.mark.parametrize("path", PATHS)
def test_everything_is_served_with_the_security_headers(path):
    reply = client().get(path)
    assert reply.status_code == 200
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in reply.headers


def test_the_page_needs_nothing_from_elsewhere():
    page = client()
    files = resources.files("miner.page").joinpath("site").iterdir()
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    assert re.findall(r"(?:src|href)=\"(?!/|#|data:,)[^\"]*\"", page.get("/").text) == []
    assert [url for url in re.findall(r"https?://[^\s\"']+", text) if "www.w3.org" not in url] == []
    assert "innerHTML" not in text and "insertAdjacentHTML" not in text
    assert "<script>" not in page.get("/").text and "style=" not in page.get("/").text


def test_the_status_is_given_as_it_is():
    assert client(uid=99).get("/status.json").json()["uid"] == 99


def test_metrics_are_prometheus_text():
    reply = client().get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain") and "svm_build_info" in reply.text


def test_every_part_that_can_fail_by_itself_is_told_to_anybody():
    rows = [{"member": "engine main", "state": "crash_loop", "restarts": 5}]
    app = create_page(dict, lambda: b"", list, members=lambda: rows)
    reply = TestClient(app).get("/health/members", headers={"host": "probe.example"})
    assert reply.json() == {"members": rows}


def test_readiness_gives_its_reasons_and_liveness_does_not_depend_on_it():
    down = client(reasons=["engine starting", "chain down: refused"])
    assert down.get("/health/ready").status_code == 503
    assert down.get("/health/ready").json() == {
        "ready": False,
        "reasons": ["engine starting", "chain down: refused"],
    }
    assert down.get("/health/live").status_code == 200
    assert client().get("/health/ready").json() == {"ready": True, "reasons": []}


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("127.0.0.1:8092", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]:8092", True),
        ("192.0.2.7", True),
        ("miner.lan:8092", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:8092", False),
        ("", False),
        ("2130706433", False),
        ("[::1].evil.example", False),
    ],
)
def test_only_our_own_names_are_answered(host, served):
    page = client(hosts=["miner.lan"])
    for path in ("/", "/status.json", "/metrics"):
        assert (page.get(path, headers={"host": host}).status_code == 200) is served
    assert page.get("/health/live", headers={"host": host}).status_code == 200, "probes may use any name"


@given(st.text(max_size=40))
def test_no_host_header_breaks_the_guard(host):
    name = host_name(host)
    assert isinstance(Guard(None).knows(host), bool) and name == name.lower()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(method):
    assert all(client().request(method, path).status_code == 405 for path in PATHS)


def test_unknown_paths_are_not_found():
    assert client().get("/../settings").status_code == 404 and client().get("/page.py").status_code == 404


async def test_it_serves_over_a_socket_and_stops():
    server = PageServer(create_page(sample_status, lambda: b"", lambda: []), Page(port=0))
    await server.start()
    async with httpx.AsyncClient() as http:
        assert (await http.get(server.url)).status_code == 200
        await server.stop()
        await server.stop()
        with pytest.raises(httpx.ConnectError):
            await http.get(server.url)


async def test_a_taken_port_is_a_sentence_that_names_the_setting():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = PageServer(
            create_page(sample_status, lambda: b"", lambda: []), Page(port=other.getsockname()[1])
        )
        with pytest.raises(SettingsError, match=r"page\.port"):
            await server.start()
        await server.stop()


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:5/"), ("[::]", "http://[::1]:5/"), ("0.0.0.0", "http://127.0.0.1:5/")],
)
def test_the_url_can_be_opened_on_this_machine(host, url):
    assert PageServer(None, Page(host=host, port=5)).url == url
