"""What `/openapi.json` says: OpenAPI 3.1, written by hand beside the code that it describes."""

from __future__ import annotations

from typing import Any, get_args

from miner.page.api import operating
from miner.page.api.asked import FORM, JSON, LONGEST_S, NAME, SCENES
from miner.settings import Wire
from models.core import MAX_VIEWS
from models.layout import Stage

PATH = "/v1/classify"
Schema = dict[str, Any]

NUMBER: Schema = {"type": "number"}
TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "array", "items": TEXT}
NUMBERS: Schema = {"type": "object", "additionalProperties": NUMBER}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
WHOLE: Schema = {"type": "integer", "minimum": 0}
SERIES: Schema = {
    "type": "boolean",
    "default": False,
    "description": "the scenes are moments of one place, in order of time; their progression is told",
}


def document(wire: Wire, *, token: bool) -> dict[str, Any]:
    """The document for these limits; with `token` every call needs one."""
    operation = {
        "operationId": "classify",
        "summary": "How likely a scene shows roadwork",
        "description": f"Bodies of at most {wire.body_bytes} bytes, images (JPEG, PNG, WebP) of at most "
        f"{wire.image_bytes} bytes and {wire.pixels} pixels. Validators are always served first.",
        "requestBody": {"required": True, "content": _bodies(wire)},
        "responses": _responses(),
        **({"security": [{"token": []}]} if token else {}),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "StreetVision classifier", "version": "1"},
        "paths": {PATH: {"post": operation}, **operating.paths(token=token)},
        "components": {
            "schemas": schemas(wire),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _bodies(wire: Wire) -> Schema:
    form = {
        "type": "object",
        "description": "Files under one name are views of one scene of that name.",
        "properties": {"deadline_s": _deadline(wire)},
        "additionalProperties": {
            "type": "array",
            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
            "minItems": 1,
            "maxItems": MAX_VIEWS,
        },
    }
    return {JSON: {"schema": _ref("Question")}, FORM: {"schema": form}}


def _responses() -> Schema:
    answered = {
        "description": "The verdict; of a batch all of them; as a stream one a line, as they get ready",
        "content": {
            JSON: {"schema": {"anyOf": [_ref("Answer"), _ref("Batch")]}},
            "application/x-ndjson": {"schema": {"anyOf": [_ref("Answer"), _ref("NoAnswer")]}},
        },
    }
    refusals = {
        "400": "The request makes no sense",
        "401": "The token is missing or wrong",
        "403": "From another machine without a token, or from another site's page",
        "408": "The body took too long",
        "413": "A body, or a scene asked alone, over the limits",
        "415": "Neither JSON nor a form",
        "421": "Called by a name that is not ours",
        "422": "The body cannot be read, or the scene asked alone is no picture that is judged",
        "429": "Too many requests at once",
        "503": "The scene asked alone was not judged in time, or no model is alive",
    }
    return {"200": answered, **{status: _refusal(status, words) for status, words in refusals.items()}}


def _refusal(status: str, words: str) -> Schema:
    content = {"text/plain": {"schema": TEXT}} if status == "421" else {JSON: {"schema": _ref("NoAnswer")}}
    return {"description": words, "content": content}


def schemas(wire: Wire) -> Schema:
    """Of the bodies, both ways."""
    image = {"type": "string", "contentEncoding": "base64"}
    images = {"type": "array", "items": image, "minItems": 1, "maxItems": MAX_VIEWS}
    scene = _object({"images": images}, {"name": {"type": "string", "maxLength": NAME}}, closed=True)
    scenes = {"type": "array", "items": scene, "minItems": 1, "maxItems": SCENES}
    more = {"deadline_s": _deadline(wire), "series": SERIES}
    ways = ({"image": image}, {"images": images}, {"scenes": scenes})
    place = {"scene": WHOLE, "name": TEXT}
    batch = {"type": "array", "items": {"anyOf": [_ref("Answer"), _ref("NoAnswer")]}}
    return {
        "Question": {"oneOf": [_object(way, more, closed=True) for way in ways]},
        "Answer": _object({**place, **_verdict()}),
        "NoAnswer": _object({"error": TEXT, "message": TEXT}, place),
        "Batch": _object(
            {"versions": {"type": "object", "additionalProperties": TEXT}, "results": batch},
            {"progression": {"type": "array", "items": {"enum": [*get_args(Stage), None]}}},
            closed=True,
        ),
        "Layout": _layout(),
        "Box": _object(
            {
                "view": WHOLE,
                "label": TEXT,
                "score": SHARE,
                "x0": SHARE,
                "y0": SHARE,
                "x1": SHARE,
                "y1": SHARE,
            },
            closed=True,
        ),
    }


def _verdict() -> Schema:
    return {
        "id": TEXT,
        "roadwork": {"type": "boolean"},
        "seen": {**TEXT, "description": "what stands where, in a sentence; empty without boxes"},
        "layout": _ref("Layout"),
        "prediction": {**SHARE, "description": "P(roadwork)"},
        "log_odds": {"type": "number", "description": "the fused log-odds behind it, natural logarithm"},
        "path": {**TEXTS, "description": "the tiers that spoke, in order"},
        "certified": {"type": "boolean", "description": "whether the exit taken holds a certificate"},
        "versions": {"type": "object", "additionalProperties": TEXT},
        "ms": {**NUMBERS, "description": "milliseconds by stage"},
        "notes": TEXTS,
        "evidence": {**NUMBERS, "description": "log-odds by tier, before fusion"},
        "boxes": {"type": "array", "items": _ref("Box")},
    }


def _layout() -> Schema:
    counts = {"type": "object", "additionalProperties": WHOLE}
    line = _object({"devices": WHOLE, "side": {"enum": ["left", "right"]}}, closed=True)
    area = _object(dict.fromkeys(("x0", "y0", "x1", "y1"), SHARE), closed=True)
    view = _object(
        {"view": WHOLE, "counts": counts, "taper": _or_null(line), "area": _or_null(area)}, closed=True
    )
    pair = {"type": "array", "items": WHOLE, "minItems": 2, "maxItems": 2}
    return _object(
        {
            "stage": {"enum": [*get_args(Stage)]},
            "counts": counts,
            "taper": _or_null(line),
            "views": {"type": "array", "items": view},
            "joined": {"type": "array", "items": pair, "description": "neighbours whose works go on"},
        },
        closed=True,
    )


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _deadline(wire: Wire) -> Schema:
    about = "seconds after arrival by which every scene must be judged"
    return {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": LONGEST_S,
        "default": wire.answer_within_s,
        "description": about,
    }


def _object(required: Schema, more: Schema | None = None, *, closed: bool = False) -> Schema:
    made: Schema = {
        "type": "object",
        "required": sorted(required),
        "properties": {**required, **(more or {})},
    }
    return {**made, "additionalProperties": False} if closed else made


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
