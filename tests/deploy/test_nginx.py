"""A real nginx with the shipped files: it takes them, ends TLS, holds limits, marks who comes through."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from deploy_kit import DEPLOY, run, tool

from miner.page.api.door import FORWARDED
from miner.page.desk import BODY_BYTES
from miner.rehearsal.scenery import free_port
from miner.settings import Settings

FOLDER = DEPLOY / "nginx"
NAME = "miner.example.org"


def configuration(folder: Path, ports: dict[str, int]) -> Path:
    """The shipped files in a whole configuration, with ports that are free and a certificate of our own."""
    page = (FOLDER / "page.conf").read_text().replace("/etc/letsencrypt/live/miner.example.org", str(folder))
    page = re.sub(r"listen .*\b443 ssl;", lambda line: _listen(line[0], ports["tls"], " ssl"), page)
    page = re.sub(r"listen .*\b80;", lambda line: _listen(line[0], ports["plain"], ""), page)
    page = page.replace("127.0.0.1:8092", f"127.0.0.1:{ports['miner']}")
    axon = (FOLDER / "axon.conf").read_text().replace("127.0.0.1:8093", f"127.0.0.1:{ports['miner']}")
    axon = re.sub(r"listen 8091", f"listen 127.0.0.1:{ports['axon']}", axon)
    axon = re.sub(r"listen \[::\]:8091.*\n", "\n", axon)
    (folder / "page.conf").write_text(page)
    (folder / "axon.conf").write_text(axon)
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    scratch = "".join(
        f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    whole = f"""
{f"load_module {module};" if module.exists() else ""}
{user} daemon off; pid {folder / "pid"}; error_log {folder / "error.log"}; worker_processes 1;
events {{ worker_connections 256; }}
http {{ access_log off; {scratch} include {folder / "page.conf"}; }}
stream {{ include {folder / "axon.conf"}; }}
"""
    path = folder / "nginx.conf"
    path.write_text(whole)
    return path


def _listen(line: str, port: int, rest: str) -> str:
    """Only IPv4: not every machine that runs tests has the other."""
    return "" if "[::]" in line else f"listen 127.0.0.1:{port}{rest};"


@pytest.fixture
def ports() -> dict[str, int]:
    return {name: free_port() for name in ("tls", "plain", "axon", "miner")}


@pytest.fixture
def miner(ports) -> Iterator[list[tuple[str, dict[str, str], int]]]:
    """Stands for the page: what it was asked, with which headers, and the size of the body."""
    asked: list[tuple[str, dict[str, str], int]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, len(body)))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", ports["miner"]), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def nginx(tmp_path, ports) -> Iterator[dict[str, int]]:
    program, openssl = tool("nginx", "nginx-light and libnginx-mod-stream"), tool("openssl", "openssl")
    key, certificate = tmp_path / "privkey.pem", tmp_path / "fullchain.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}"]
    assert run(openssl, *made, "-keyout", key, "-out", certificate).returncode == 0
    path = configuration(tmp_path, ports)
    checked = run(program, "-t", "-p", tmp_path, "-c", path)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr.replace('the "user" directive', ""), checked.stderr
    process = subprocess.Popen([program, "-p", str(tmp_path), "-c", str(path)], stderr=subprocess.DEVNULL)
    try:
        _listens(ports["tls"])
        _listens(ports["axon"])
        yield ports
    finally:
        process.terminate()
        process.wait(timeout=20)


def _listens(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nginx does not listen on {port}")


def ask(port: int, path: str = "/", body: bytes | None = None, headers: dict[str, str] | None = None) -> int:
    with contextlib.closing(connected(port)) as connection:
        return status(connection, path, body, headers or {})


def connected(port: int) -> http.client.HTTPSConnection:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)


def status(
    connection: http.client.HTTPSConnection, path: str, body: bytes | None, headers: dict[str, str]
) -> int:
    connection.request("POST" if body else "GET", path, body, {"Host": NAME, **headers})
    reply = connection.getresponse()
    reply.read()
    return reply.status


def test_the_page_comes_over_tls_and_whoever_comes_through_is_marked(nginx, miner):
    assert ask(nginx["tls"], headers={"Authorization": "Bearer t", "X-Forwarded-For": "127.0.0.1"}) == 200
    (path, headers, _), *_ = miner
    assert path == "/" and headers["host"] == NAME and headers["authorization"] == "Bearer t"
    assert set(FORWARDED) & set(headers), "the miner would take a stranger for a program of its own machine"


def test_plain_http_is_sent_to_tls(nginx, miner):
    connection = http.client.HTTPConnection("127.0.0.1", nginx["plain"], timeout=20)
    connection.request("GET", "/x", headers={"Host": NAME})
    reply = connection.getresponse()
    assert reply.status == 301 and reply.headers["location"] == f"https://{NAME}/x"
    assert not miner


def test_large_bodies_and_the_metrics_do_not_come_through(nginx, miner):
    assert ask(nginx["tls"], "/v1/classify", b"x" * Settings().wire.body_bytes) == 200
    assert ask(nginx["tls"], "/v1/commands/jobs", b"x" * BODY_BYTES) == 200
    assert ask(nginx["tls"], "/v1/commands/jobs", b"x" * (BODY_BYTES + 1)) == 413
    assert ask(nginx["tls"], "/metrics") == 404
    assert [path for path, _, _ in miner] == ["/v1/classify", "/v1/commands/jobs"]


def test_a_flood_is_refused_before_the_miner(nginx, miner):
    with contextlib.closing(connected(nginx["tls"])) as connection:
        statuses = [status(connection, "/", None, {}) for _ in range(300)]
    assert 429 in statuses and statuses[0] == 200 and len(miner) == statuses.count(200)


def test_the_stream_passes_bytes_as_they_are(nginx, miner):
    with socket.create_connection(("127.0.0.1", nginx["axon"]), timeout=20) as wire:
        wire.sendall(b"POST /ImageSynapse HTTP/1.1\r\nhost: x\r\nBt_Header_Dendrite_Nonce: 7\r\n"
                     b"content-length: 3\r\n\r\nabc")  # fmt: skip
        assert wire.recv(100).startswith(b"HTTP/1.1 200")
    (path, headers, size), *_ = miner
    assert path == "/ImageSynapse" and size == 3 and not set(FORWARDED) & set(headers)


def test_the_files_fit_the_settings():
    settings = Settings()
    page, axon = ((FOLDER / name).read_text() for name in ("page.conf", "axon.conf"))
    assert f"http://{settings.page.host}:{settings.page.port};" in page
    assert f"listen {settings.axon.port} " in axon
    assert float(re.search(r"proxy_timeout (\d+)s", axon)[1]) > settings.wire.keep_alive_s
