"""What `/openapi.json` says of the operator's own paths: commands, pictures, status, metrics, health."""

from __future__ import annotations

from typing import Any

from miner.page.api.asked import JSON

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ANYTHING: Schema = {}
REFUSED = {
    "401": "The token is missing or wrong",
    "403": "From another machine without a token, or from another site's page",
    "421": "Called by a name that is not ours",
}


def paths(*, token: bool) -> Schema:
    """By path. With `token`, whoever is not on the miner's own machine needs one for all but metrics and
    health."""
    guarded: Schema = {"security": [{"token": []}, {}]} if token else {}
    return {
        "/v1/commands": {"get": {**guarded, **_listed()}},
        "/v1/commands/{name}": {"post": {**guarded, **_called()}},
        "/v1/pictures/{digest}": {"get": {**guarded, **_picture()}},
        "/status.json": {
            "get": {**guarded, **_told("status", "What the miner is doing now", {"type": "object"})}
        },
        "/metrics": {"get": _open("metrics", "Prometheus' text", {"200": _text("The metrics")})},
        "/health/live": {
            "get": _open("live", "Whether the process works", {"200": _json("It does", _flag("live"))})
        },
        "/health/ready": {"get": _open("ready", "Whether challenges are answered", _readiness())},
        "/health/members": {
            "get": _open("members", "The state of each part", {"200": _json("One row each", _members())})
        },
    }


def _listed() -> Schema:
    return _told("commands", "Names of the commands that can be called", {"type": "array", "items": TEXT})


def _called() -> Schema:
    words = {
        "400": "The command refuses these arguments",
        "404": "No such command",
        "413": "Too long",
        "415": "Not application/json",
        "504": "The command took too long",
    }
    return {
        "operationId": "command",
        "summary": "Call a command of the control socket with a JSON object of arguments",
        "parameters": [_in_path("name", TEXT)],
        "requestBody": {"required": True, "content": {JSON: {"schema": {"type": "object"}}}},
        "responses": {"200": _json("What it answers", _object({"result": ANYTHING})), **_refusals(words)},
    }


def _picture() -> Schema:
    binary = {"image/jpeg": {"schema": {**TEXT, "contentMediaType": "image/jpeg"}}}
    digest = {**TEXT, "pattern": "^[0-9a-f]{64}$"}
    return {
        "operationId": "picture",
        "summary": "A kept picture, by the SHA-256 of what was sent",
        "parameters": [_in_path("digest", digest)],
        "responses": {
            "200": {"description": "The picture", "content": binary},
            **_refusals({"404": "No such picture is kept"}),
        },
    }


def _told(name: str, summary: str, schema: Schema) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": _json(summary, schema), **_refusals({})},
    }


def _open(name: str, summary: str, responses: Schema) -> Schema:
    return {"operationId": name, "summary": summary, "responses": {**responses, "421": _text(REFUSED["421"])}}


def _readiness() -> Schema:
    reasons = {"type": "array", "items": TEXT}
    schema = _object({"ready": {"type": "boolean"}, "reasons": reasons})
    return {"200": _json("They are", schema), "503": _json("They are not, and why", schema)}


def _members() -> Schema:
    row = _object({"member": TEXT, "state": TEXT, "restarts": {"type": "integer"}})
    return _object({"members": {"type": "array", "items": row}})


def _refusals(words: Schema) -> Schema:
    told = _object({"error": TEXT, "message": TEXT})
    refused = {status: _json(text, told) for status, text in {**words, **REFUSED}.items() if status != "421"}
    return {**refused, "421": _text(REFUSED["421"])}


def _in_path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _json(words: str, schema: Schema) -> Schema:
    return {"description": words, "content": {JSON: {"schema": schema}}}


def _text(words: str) -> Schema:
    return {"description": words, "content": {"text/plain": {"schema": TEXT}}}


def _flag(name: str) -> Schema:
    return _object({name: {"type": "boolean"}})


def _object(required: Schema) -> Schema:
    return {"type": "object", "required": sorted(required), "properties": required}
