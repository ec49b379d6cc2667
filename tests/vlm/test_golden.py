"""The fake says what the real server said: statuses, shapes and quirks of recorded exchanges."""

from __future__ import annotations

import json

import httpx
import pytest
from fake_server import GOLDEN, FakeServer, golden

PLAYED = (
    "models", "ready", "health", "chat_1tok", "chat_logprobs20", "chat_6img_logprobs", "decisions_6img",
    "chat_unknown_model_is_200", "chat_bad_image_400", "chat_unreachable_url_500",
    "chat_missing_messages_400", "chat_too_long_400", "decisions_extra_field_400", "decisions_version_400",
    "model_get_404", "model_info", "flush_cache", "abort_all", "continue", "v1_loads",
)  # fmt: skip
"""Those that need no state of the server."""
JPEG = "data:image/jpeg;base64,/9j/AAAA"
CUT = "data:image/jpeg;base64,<...>"


def shape(value, name: str = ""):
    """Names and kinds, without values: of a list its first item, a number or null where either may be."""
    if isinstance(value, dict):
        return {key: shape(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value and name != "bytes" else []
    return "number" if isinstance(value, int | float) else type(value).__name__


def with_pictures(request):
    """A recorded request with a picture where one was cut out."""
    return json.loads(json.dumps(request).replace(CUT, JPEG))


def play(fake: FakeServer, name: str) -> tuple[dict, httpx.Response]:
    one = golden(name)
    body = None if one["request"] is None else with_pictures(one["request"])
    if name == "chat_bad_image_400":
        body = json.loads(json.dumps(one["request"]).replace("<...>", "AAAA"))
    if name == "chat_too_long_400":  # its 8000 words were cut out, too
        body["messages"][0]["content"] = "yes no " * 4000
    with httpx.Client(base_url=fake.url, trust_env=False, timeout=20) as client:
        return one, client.request(one["method"], one["path"], json=body)


def said(response: httpx.Response):
    try:
        return response.json()
    except ValueError:
        return response.text


@pytest.mark.parametrize("name", PLAYED)
def test_the_fake_answers_as_was_recorded(fake, name):
    recorded, answer = play(fake, name)
    assert answer.status_code == recorded["status"]
    expected = recorded["response"]
    if name.startswith("decisions") and "answers" in expected:
        expected["answers"] = {"rw": expected["answers"]["rw"]}
    if isinstance(expected, dict) and "choices" not in expected:
        assert shape(said(answer)) == shape(expected)
    elif isinstance(expected, dict):
        assert shape(said(answer)).keys() == shape(expected).keys()
        theirs, ours = expected["choices"][0], said(answer)["choices"][0]
        assert ours.keys() == theirs.keys() and ours["finish_reason"] == theirs["finish_reason"]
        assert (ours["logprobs"] is None) == (theirs["logprobs"] is None)
        if theirs["logprobs"]:
            assert shape(ours["logprobs"]) == shape(theirs["logprobs"])


def test_a_pause_is_health_503_and_ping_200_and_ends(fake):
    play(fake, "pause_abort")
    with httpx.Client(base_url=fake.url, trust_env=False) as client:
        assert client.get("/health").status_code == golden("health_paused_503")["status"]
        assert client.get("/ready").status_code == 503 and client.get("/ping").status_code == 200
        play(fake, "continue")
        assert client.get("/ready").status_code == 200


def test_an_abort_is_a_200_that_says_so(fake):
    fake.set(abort=1)
    recorded, answer = play(fake, "chat_aborted")
    assert answer.status_code == recorded["status"] == 200
    assert said(answer)["choices"][0]["finish_reason"] == "abort"
    assert recorded["response"]["choices"][0]["finish_reason"] == "abort"


def test_an_update_renames_the_model_and_a_missing_path_is_a_400(fake):
    _, answer = play(fake, "update_ok")
    assert said(answer).keys() == golden("update_ok")["response"].keys()
    listed = play(fake, "models_after_update_name_changed")[1].json()["data"][0]["id"]
    assert listed == golden("update_ok")["request"]["model_path"]
    recorded, answer = play(fake, "update_missing_path_400")
    assert answer.status_code == recorded["status"]


def test_every_recording_is_of_the_version_that_we_serve_with():
    assert len(list(GOLDEN.glob("*.json"))) >= 30
    assert golden("v1_loads")["response"]["version"] == "0.5.23"
