"""Where models come from: a folder that people copy into, and a hub."""

import asyncio
import hashlib
import json
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from swap_kit import TIER, brought, weights

from miner.registry import Registry
from miner.swap.hub import HuggingFaceHub
from miner.swap.sources import FolderSource, HubSource, changes


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models")


def watched(tmp_path, registry, settle=lambda: None):
    return FolderSource(tmp_path / "watched", registry, [TIER], settle=settle)


def test_what_is_copied_into_the_folder_comes_in_once(tmp_path, registry):
    source = watched(tmp_path, registry)
    assert source.look() == []
    brought(tmp_path / "watched" / TIER / "night", ms=1)
    [arrival] = source.look()
    assert (arrival.tier, arrival.version) == (TIER, registry.versions(TIER)[0].name)
    assert registry.versions(TIER)[0].manifest.facts.source == "folder night"
    assert source.look() == [], "once"
    assert watched(tmp_path, Registry(registry.folder)).look() == [], "also after a restart"


def test_other_tiers_and_stray_files_are_left_alone(tmp_path, registry):
    brought(tmp_path / "watched" / "vlm" / "x")
    (tmp_path / "watched" / TIER).mkdir()
    (tmp_path / "watched" / TIER / "notes.txt").write_text("")
    assert watched(tmp_path, registry).look() == []


def test_a_folder_that_is_still_being_copied_is_waited_for(tmp_path, registry):
    folder = brought(tmp_path / "watched" / TIER / "big")

    def more_comes():
        (folder / "second.safetensors").write_bytes(weights(8))

    assert watched(tmp_path, registry, settle=more_comes).look() == []
    [arrival] = watched(tmp_path, registry).look()
    assert "second.safetensors" in registry.version(TIER, arrival.version).manifest.files


def test_what_is_refused_is_said_once_and_looked_at_again_when_it_changes(tmp_path, registry):
    folder = brought(tmp_path / "watched" / TIER / "bad")
    (folder / "weights.bin").write_bytes(b"x")
    source = watched(tmp_path, registry)
    assert source.look() == []
    assert "can run code" in registry.seen()[str(folder)].why
    (folder / "weights.bin").unlink()
    assert len(source.look()) == 1
    assert registry.seen()[str(folder)].why == ""


def test_what_is_gone_from_the_folder_is_forgotten(tmp_path, registry):
    folder = brought(tmp_path / "watched" / TIER / "bad")
    (folder / "weights.bin").write_bytes(b"x")
    source = watched(tmp_path, registry)
    source.look()
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    source.look()
    assert registry.seen() == {}


async def test_a_change_in_the_folder_is_noticed_at_once(tmp_path):
    folder = tmp_path / "watched"
    folder.mkdir()
    seen = changes(folder)
    waiting = asyncio.create_task(anext(seen))
    end = asyncio.get_running_loop().time() + 20
    n = 0
    while not waiting.done() and asyncio.get_running_loop().time() < end:
        (folder / f"new-{(n := n + 1)}").mkdir()
        await asyncio.sleep(0.2)
    assert waiting.done()
    await waiting


class FakeHub(BaseHTTPRequestHandler):
    """As much of the hub's HTTP as fetching a public model takes."""

    def do_GET(self):
        files = self.server.files
        path = self.path.partition("?")[0]
        siblings = [{"rfilename": name} for name in files]
        if "/tree/" in path:
            about = {"type": "file", "oid": "0" * 40}
            tree = [{**about, "path": name, "size": len(data)} for name, data in files.items()]
            return self._send(json.dumps(tree).encode())
        if path.startswith("/api/models/us/night"):
            about = {"id": "us/night", "sha": self.server.sha, "siblings": siblings}
            return self._send(json.dumps(about).encode())
        name = path.rpartition("/")[2]
        if name in files:
            self.server.fetched.append(name)
            return self._send(files[name])
        self.send_error(404)

    do_HEAD = do_GET

    def _send(self, data):
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.send_header("etag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("x-repo-commit", self.server.sha)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    server.sha, server.fetched = "a" * 40, []
    server.files = {"model.safetensors": weights(), "lamp.json": b"{}", "pytorch_model.bin": b"code"}
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@contextmanager
def scratch(folder):
    folder.mkdir()
    try:
        yield folder
    finally:
        for file in sorted(folder.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        with suppress(OSError):
            folder.rmdir()


def at(hub, tmp_path, registry):
    client = HuggingFaceHub("us/night", endpoint=f"http://127.0.0.1:{hub.server_address[1]}")
    return HubSource("us/night", TIER, client, registry, lambda: scratch(Path(tmp_path / "scratch")))


def test_each_commit_of_a_hub_repository_comes_in_once_without_what_can_run_code(tmp_path, registry, hub):
    source = at(hub, tmp_path, registry)
    [arrival] = source.look()
    facts = registry.version(TIER, arrival.version).manifest.facts
    assert facts.source == "hub us/night" and facts.revision == "a" * 40
    assert "pytorch_model.bin" not in hub.fetched
    assert source.look() == []
    hub.sha, hub.files = "b" * 40, {**hub.files, "lamp.json": b'{"ms": 1}'}
    [second] = source.look()
    assert second.version != arrival.version
    assert len(registry.versions(TIER)) == 2


def test_a_hub_that_is_away_is_asked_again(tmp_path, registry, hub):
    source = at(hub, tmp_path, registry)
    hub.shutdown()
    hub.server_close()
    assert source.look() == []
    assert registry.seen() == {}
