"""What a request to /v1/classify asks: scenes of one to six views, and by when.

JSON     {"image": base64} or {"images": [base64, ...]}: one scene; {"scenes": [{"name", "images"}, ...]}:
         several. "deadline_s" beside them, and "series": true for moments of one place.
multipart  every file is a view; files under one field name are views of one scene, which has that name. A
         text field "deadline_s" beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from miner.page.api.door import Fault
from miner.settings import Wire
from miner.wire.auth import Incoming
from miner.wire.body import decoded, parse, read_body
from miner.wire.synapse import Rejected
from models.core import MAX_VIEWS
from models.imaging.header import ImageError, Limits, inspect

JSON, FORM = "application/json", "multipart/form-data"
SCENES = 64
"""Most scenes of one request."""
NAME = 200
"""Most characters of a scene's name."""
LONGEST_S = 120.0
WORDS = {"body": "the body is no JSON object", "base64": "a view is not base64"}
"""Where the wire's own words speak of a validator's challenge."""


@dataclass(frozen=True, slots=True)
class Scene:
    """`fault` the reason for which its views cannot be judged, a key of `miner.classify.scenes.REASONS`."""

    name: str
    views: tuple[bytes, ...]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """`several`: asked as a batch, so each scene has its own outcome; `deadline_s` from the arrival;
    `series`: the scenes of a batch are moments of one place, in order of time."""

    scenes: tuple[Scene, ...]
    deadline_s: float
    several: bool
    series: bool = False


class Posted:
    """A request to starlette, as the wire's reader of bodies takes one."""

    whole = False

    def __init__(self, request: Request) -> None:
        self.incoming = Incoming(request.method, request.url.path, dict(request.headers.raw))
        self.more_body = True
        self._request = request

    def take(self) -> bytes:
        return b""

    async def receive(self) -> bytes | None:
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            return None
        self.more_body = message.get("more_body", False)
        return bytes(message.get("body", b""))


async def read(request: Request, wire: Wire) -> Asked:
    """Raises Fault, all of them 4xx."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, FORM):
        raise Fault(415, "content_type", f"the body is {JSON} or {FORM}")
    try:
        body = await read_body(Posted(request), wire)
        return _of_json(parse(body), wire) if kind == JSON else await _of_form(request, body, wire)
    except Rejected as rejected:
        raise Fault(rejected.status, rejected.reason, WORDS.get(rejected.reason, rejected.text)) from None


def _of_json(fields: Mapping[str, Any], wire: Wire) -> Asked:
    given = [name for name in ("image", "images", "scenes") if fields.get(name) is not None]
    if len(given) != 1:
        raise Fault(400, "body", 'give one of "image", "images" and "scenes"')
    if unknown := sorted(set(fields) - {"image", "images", "scenes", "deadline_s", "series"}):
        raise Fault(400, "body", f"there is no field {unknown[0][:NAME]!r}")
    deadline_s = _deadline(fields.get("deadline_s"), wire)
    series = fields.get("series", False)
    if not isinstance(series, bool):
        raise Fault(400, "body", "series is true or false")
    if given == ["scenes"]:
        return Asked(_scenes(fields["scenes"], wire), deadline_s, several=True, series=series)
    texts = fields["images"] if given == ["images"] else [fields["image"]]
    return Asked((_scene("0", _views(texts), wire),), deadline_s, several=False)


def _scenes(given: Any, wire: Wire) -> tuple[Scene, ...]:
    if not isinstance(given, list) or not 1 <= len(given) <= SCENES:
        raise Fault(400, "scenes", f"scenes is a list of 1 to {SCENES} objects")
    scenes = []
    for number, each in enumerate(given):
        if not isinstance(each, dict) or set(each) - {"name", "images"}:
            raise Fault(400, "scenes", f'scene {number} is not an object of "images" and, if need be, "name"')
        name = each.get("name", str(number))
        if not isinstance(name, str) or len(name) > NAME:
            raise Fault(400, "scenes", f"scene {number}: a name is a text of at most {NAME} characters")
        scenes.append(_scene(name, _views(each.get("images")), wire))
    return tuple(scenes)


def _views(texts: Any) -> list[bytes]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Fault(400, "body", "a view is a text in base64, and images a list of them")
    return [decoded(text) for text in texts]


async def _of_form(request: Request, body: bytes, wire: Wire) -> Asked:
    form = await _form(request, body)
    texts = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    if unknown := sorted(set(texts) - {"deadline_s"}):
        raise Fault(400, "body", f"the field {unknown[0][:NAME]!r} is no file")
    views: dict[str, list[bytes]] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            views.setdefault(name, []).append(await value.read())
    await form.close()
    if not 1 <= len(views) <= SCENES or max(map(len, views)) > NAME:
        raise Fault(400, "scenes", f"give files of 1 to {SCENES} scenes, named in at most {NAME} characters")
    scenes = tuple(_scene(name, each, wire) for name, each in views.items())
    return Asked(scenes, _deadline(texts.get("deadline_s"), wire), several=len(scenes) > 1)


async def _form(request: Request, body: bytes) -> FormData:
    """The parts of a body that is here already."""
    once = iter([{"type": "http.request", "body": body}])

    async def receive() -> dict[str, Any]:
        return next(once)

    scope = {**request.scope, "app": None}
    del scope["app"]  # with an application at hand, Starlette raises its own answer
    try:
        return await Request(scope, receive).form(max_files=SCENES * MAX_VIEWS, max_fields=4)
    except (MultiPartException, KeyError, ValueError) as error:
        raise Fault(400, "body", f"no multipart form: {error}"[:NAME]) from None


def _scene(name: str, views: Sequence[bytes], wire: Wire) -> Scene:
    if not 1 <= len(views) <= MAX_VIEWS:
        return Scene(name, (), "views")
    limits = Limits(bytes=wire.image_bytes, pixels=wire.pixels)
    try:
        for view in views:
            inspect(view, limits)
    except ImageError as error:
        return Scene(name, (), error.reason)
    return Scene(name, tuple(views))


def _deadline(given: Any, wire: Wire) -> float:
    """Seconds; from a form it is a text."""
    if given is None:
        return wire.answer_within_s
    try:
        seconds = float(given) if isinstance(given, int | float | str) and given is not True else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if not 0 < seconds <= LONGEST_S:
        raise Fault(400, "deadline_s", f"deadline_s is a number of seconds above 0, at most {LONGEST_S:g}")
    return seconds
