"""Commands and pictures over the page's port: only for whom they are, only what the page may do."""

from __future__ import annotations

import pytest
from sample_status import sample_status
from starlette.testclient import TestClient

from miner.capture import NoPicture
from miner.page import create_page
from miner.page.api.door import admit_near
from miner.page.desk import create_desk

TOKEN = "a-token-of-sixteen-or-more"
DIGEST = "ab" * 32


async def jobs():
    return [{"name": "backup"}]


async def swap(tier: str, version: str, force: bool = False):
    if tier != "classifier":
        raise ValueError("no tier of that name")
    return {"tier": tier, "version": version, "force": force}


async def status():
    return {}


def kept(digest: str) -> bytes:
    if digest != DIGEST:
        raise NoPicture("none")
    return b"\xff\xd8jpeg"


def client(token: str | None = None, near: bool = True, commands=None) -> TestClient:
    commands = {"jobs": jobs, "swap": swap, "status": status} if commands is None else commands
    app = create_page(
        *(sample_status, lambda: b"", lambda: []),
        more=create_desk(commands, kept, token),
        admit=lambda request: admit_near(request, token),
    )
    address = "127.0.0.1" if near else "198.51.100.7"
    return TestClient(app, base_url="http://127.0.0.1:8092", client=(address, 4000))


def test_the_page_is_told_what_it_can_ask():
    assert client().get("/v1/commands").json() == ["jobs", "swap"], "status is not the page's"


def test_a_command_gets_its_arguments_and_answers():
    reply = client().post("/v1/commands/swap", json={"tier": "classifier", "version": "v2", "force": True})
    assert reply.json() == {"result": {"tier": "classifier", "version": "v2", "force": True}}
    assert client().post("/v1/commands/jobs", json={}).json() == {"result": [{"name": "backup"}]}


@pytest.mark.parametrize(
    ("path", "sent", "status", "word"),
    [
        ("swap", {"json": {"tier": "x", "version": "v"}}, 400, "no tier of that name"),
        ("swap", {"json": {"tier": "classifier"}}, 400, "version"),
        ("swap", {"json": {"nonsense": 1}}, 400, "nonsense"),
        ("status", {"json": {}}, 404, "no such command"),
        ("nothing", {"json": {}}, 404, "no such command"),
        ("jobs", {"json": [1]}, 400, "object"),
        ("jobs", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "object"),
        ("jobs", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "application/json"),
        ("jobs", {"json": {"x": "y" * 20_000}}, 413, "bytes"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(path, sent, status, word):
    reply = client().post(f"/v1/commands/{path}", **sent)
    assert reply.status_code == status and word in reply.json()["message"]


def test_pictures_are_jpegs_by_their_digest_and_nothing_else():
    reply = client().get(f"/v1/pictures/{DIGEST}")
    assert reply.content == kept(DIGEST) and reply.headers["content-type"] == "image/jpeg"
    for digest in ("cd" * 32, "..%2f..%2fetc", "x", DIGEST.upper()):
        assert client().get(f"/v1/pictures/{digest}").status_code == 404


@pytest.mark.parametrize("path", ["/v1/commands", f"/v1/pictures/{DIGEST}", "/status.json"])
def test_strangers_read_nothing_without_the_token(path):
    assert client(near=False).get(path).status_code == 403
    assert client(TOKEN, near=False).get(path).status_code == 401
    right = {"authorization": f"Bearer {TOKEN}"}
    assert client(TOKEN, near=False).get(path, headers=right).status_code == 200
    assert client(TOKEN, near=True).get(path).status_code == 200, "this machine needs none"
    assert client(TOKEN).get(path, headers={"x-forwarded-for": "1.2.3.4"}).status_code == 401, (
        "a proxy's does"
    )


def test_another_sites_page_cannot_order_anything():
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        reply = client().post("/v1/commands/jobs", json={}, headers=headers)
        assert reply.status_code == 403
        assert client(TOKEN).post("/v1/commands/jobs", json={}, headers=headers).status_code == 403
