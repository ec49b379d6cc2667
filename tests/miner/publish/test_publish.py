"""Nothing leaves without being asked for; what does is exact and signed by the hotkey."""

from __future__ import annotations

import json
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from bittensor import sp_core
from bittensor.keyfiles import Keypair

from miner.publish import history, hub, natix
from miner.publish.card import NAME, Card, CardError, PublishError

KEY = Keypair.create_from_uri("//us")
CARD = Card("streets", "a roadwork classifier", "1.2.0", KEY.ss58_address, 1_790_000_000)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    (made / "model.safetensors").write_bytes(b"weights")
    (made / "config.json").write_text("{}")
    (made / NAME).write_text("an older card")
    return made


@pytest.fixture
def server():
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            self.answer(200 if asked[-1][1]["uid"] != 7 else 409, b'{"status":"pending"}')

        def do_GET(self):
            asked.append((self.path, None))
            self.answer(200, b'{"status":"succeeded"}')

        def answer(self, status, body):
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Quiet."""

    found = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{found.server_port}", asked=asked)
    found.shutdown()
    found.server_close()


def content(operation):
    with operation.as_file() as file:
        return file.read()


def test_the_card_has_the_subnets_five_fields():
    assert json.loads(CARD.text()).keys() == {
        "model_name",
        "description",
        "version",
        "submitted_by",
        "submission_time",
    }


@pytest.mark.parametrize("change", [{"version": "latest"}, {"model_name": ""}, {"description": "x" * 3000}])
def test_a_card_that_makes_no_sense_is_refused(change):
    fields = {"model_name": "m", "description": "", "version": "1", "submitted_by": "5", "submission_time": 1}
    with pytest.raises(CardError):
        Card(**{**fields, **change})


def test_a_plan_names_every_file_with_its_hash_and_not_the_old_card(folder):
    planned = hub.plan(folder, "me/streets", CARD)
    assert [(file.name, file.size) for file in planned.files] == [
        ("config.json", 2),
        ("model.safetensors", 7),
    ]
    assert planned.files[1].sha256 == sha256(b"weights").hexdigest()
    (folder / "LICENSE").write_text("MIT")
    assert "LICENSE" in {file.name for file in hub.plan(folder, "me/streets", CARD).files}


@pytest.mark.parametrize("name", ["model.bin", "model.pt", ".env", "weights.pkl", "run.py"])
def test_what_must_not_be_published_is_not(folder, name):
    (folder / name).write_bytes(b"x")
    with pytest.raises(PublishError, match="not published"):
        hub.plan(folder, "me/streets", CARD)


def test_a_link_out_of_the_folder_is_not_followed(folder, tmp_path):
    (tmp_path / "secret.json").write_text("{}")
    (folder / "extra.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(PublishError, match="no links"):
        hub.plan(folder, "me/streets", CARD)


def test_an_empty_folder_and_a_bad_name_are_refused(tmp_path, folder):
    with pytest.raises(PublishError, match="OWNER/NAME"):
        hub.plan(folder, "streets", CARD)
    (folder / "model.safetensors").unlink()
    with pytest.raises(PublishError, match="no weights"):
        hub.plan(folder, "me/streets", CARD)
    with pytest.raises(PublishError, match="no folder"):
        hub.plan(tmp_path / "nowhere", "me/streets", CARD)


def test_an_upload_is_one_commit_of_all_files_and_the_card(folder):
    sent = {}

    class Api:
        def __init__(self, token):
            sent["token"] = token

        def create_repo(self, repo, private, exist_ok):
            sent["repo"] = (repo, private, exist_ok)

        def create_commit(self, repo, operations, commit_message):
            sent["files"] = {op.path_in_repo: content(op) for op in operations}
            return SimpleNamespace(commit_url="https://hub/commit/1")

    planned = hub.plan(folder, "me/streets", CARD, private=True)
    assert hub.upload(planned, folder, "hf_x", Api) == "https://hub/commit/1"
    assert sent["token"] == "hf_x" and sent["repo"] == ("me/streets", True, True)
    assert sent["files"] == {
        "config.json": b"{}",
        "model.safetensors": b"weights",
        NAME: CARD.text().encode(),
    }


def test_a_refusing_hub_is_reported(folder):
    class Api:
        def __init__(self, token):
            """Any token."""

        def create_repo(self, *_, **__):
            raise ValueError("no such namespace")

    with pytest.raises(PublishError, match="no such namespace"):
        hub.upload(hub.plan(folder, "me/streets", CARD), folder, "t", Api)


def test_the_registration_signs_the_time_and_verifies_with_the_public_key(server):
    signed = natix.sign(KEY, 17, "me/streets", now=lambda: 1_790_000_123.9)
    assert natix.send(signed, server.url) == '{"status":"pending"}'
    path, body = server.asked[0]
    assert path == "/participants/register" and body == {
        "uid": 17,
        "message": "1790000123",
        "natix_public_key": KEY.ss58_address,
        "natix_signature": signed.natix_signature,
        "type": "miner",
        "model_repo": "me/streets",
    }
    raw = bytes.fromhex(body["natix_signature"].removeprefix("0x"))
    assert sp_core.verify(body["message"].encode(), raw, KEY.ss58_address)
    assert not sp_core.verify(b"1790000124", raw, KEY.ss58_address)
    assert natix.state(17, f"{server.url}/") == '{"status":"succeeded"}'


def test_a_server_that_refuses_or_is_not_there(server):
    with pytest.raises(PublishError, match="409"):
        natix.send(natix.sign(KEY, 7, "me/streets"), server.url)
    for address in ("http://127.0.0.1:9", "http://[::1", "hydra"):
        with pytest.raises(PublishError, match="cannot be asked"):
            natix.state(7, address)


@pytest.mark.parametrize(("uid", "repo"), [(-1, "me/streets"), (1, "streets"), (1, "me/")])
def test_nonsense_is_not_signed(uid, repo):
    with pytest.raises(PublishError):
        natix.sign(KEY, uid, repo)


def test_the_command_shows_everything_and_sends_nothing(tmp_path, folder, monkeypatch):
    from miner.publish import command
    from miner.settings import Settings

    monkeypatch.setattr(command, "load_hotkey", lambda _: KEY)
    monkeypatch.setattr(hub, "upload", None)
    monkeypatch.setattr(natix, "send", None)
    shown = command.publish(Settings(), Path(folder), "me/streets", version="2.0")
    assert shown["commit"] is None and shown["card"]["submitted_by"] == KEY.ss58_address
    assert command.register(Settings(), 17, "me/streets")["reply"] is None


def test_an_upload_is_noted_for_whoever_reminds_of_its_age(tmp_path, folder, monkeypatch):
    from miner.publish import command
    from miner.settings import Settings

    monkeypatch.setattr(command, "load_hotkey", lambda _: KEY)
    monkeypatch.setattr(hub, "token_here", lambda: "hf_x")
    monkeypatch.setattr(hub, "upload", lambda *_: "https://hub/commit/1")
    settings = Settings(data={"path": tmp_path / "data"})
    assert history.uploaded(tmp_path / "data") == {}
    for at in (1_790_000_000, 1_790_000_500):
        monkeypatch.setattr(command.time, "time", lambda at=at: at + 0.5)
        command.publish(settings, folder, "me/streets", version="2.0", really=True)
    with (tmp_path / "data" / history.NAME).open("a") as file:
        file.write('{"weights": ["x"], "at')
    assert history.uploaded(tmp_path / "data") == {sha256(b"weights").hexdigest(): 1_790_000_500}


def test_a_registration_that_was_taken_is_no_failure_when_its_state_cannot_be_asked(server, monkeypatch):
    from miner.publish import command
    from miner.settings import Settings

    def silent(uid, server):
        raise PublishError("503")

    monkeypatch.setattr(command, "load_hotkey", lambda _: KEY)
    monkeypatch.setattr(natix, "state", silent)
    done = command.register(Settings(), 17, "me/streets", server=server.url, really=True)
    assert "pending" in done["reply"] and done["state"] == "not known: 503"


def test_a_registration_is_posted_and_its_state_asked(server, monkeypatch):
    from miner.publish import command
    from miner.settings import Settings

    monkeypatch.setattr(command, "load_hotkey", lambda _: KEY)
    done = command.register(Settings(), 17, "me/streets", server=server.url, really=True)
    assert "pending" in done["reply"] and "succeeded" in done["state"]
