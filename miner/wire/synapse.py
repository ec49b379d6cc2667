"""The legacy `bt_header_*` wire of SDK 9.9 to 10.5: headers, signed text, body hash, replies, refusals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

PATH = "/ImageSynapse"
NAME = "ImageSynapse"

DENDRITE_HOTKEY = b"bt_header_dendrite_hotkey"
DENDRITE_NONCE = b"bt_header_dendrite_nonce"
DENDRITE_UUID = b"bt_header_dendrite_uuid"
DENDRITE_SIGNATURE = b"bt_header_dendrite_signature"
DENDRITE_VERSION = b"bt_header_dendrite_version"
AXON_HOTKEY = b"bt_header_axon_hotkey"
BODY_HASH = b"computed_body_hash"
TIMEOUT = b"timeout"

EMPTY_HASH = hashlib.sha3_256(b"").hexdigest()
"""Body hash of a synapse that hashes no field, which is what ImageSynapse does: the image is not signed."""

TIMEOUT_S = 12.0
"""What the SDK takes for a timeout that is not there."""

DEFAULTS: Mapping[str, Any] = {
    "name": NAME,
    "timeout": TIMEOUT_S,
    "total_size": 0,
    "header_size": 0,
    "computed_body_hash": "",
    "image": "",
    "prediction": -1.0,
    "testnet_label": -1,
}
"""What the SDK puts in place of a body field that is not there, and the type it casts a field to."""

REASONS: Mapping[str, tuple[int, str]] = {
    "path": (404, "Synapse name not found."),
    "method": (405, "Only POST is answered here."),
    "unsigned": (401, "Not Verified with error: missing authentication headers"),
    "malformed": (401, "Not Verified with error: malformed authentication headers"),
    "receiver": (401, "Not Verified with error: signed for another hotkey"),
    "signature": (401, "Not Verified with error: signature mismatch"),
    "stale": (401, "Not Verified with error: nonce is too old"),
    "future": (401, "Not Verified with error: nonce is too far in the future"),
    "restart": (401, "Not Verified with error: nonce may predate this server's start"),
    "replay": (401, "Not Verified with error: nonce was used or can no longer be checked"),
    "body_hash": (401, "Not Verified with error: body hash mismatch"),
    "stranger": (403, "Forbidden. Key is blacklisted: unrecognized hotkey"),
    "permit": (403, "Forbidden. Key is blacklisted: no validator permit"),
    "stake": (403, "Forbidden. Key is blacklisted: stake below the minimum"),
    "address_rate": (429, "Too many failed signatures from this address"),
    "caller_rate": (429, "Too many requests from this hotkey"),
    "callers": (429, "Too many callers at once"),
    "starting": (503, "Starting: no metagraph yet"),
    "deregistered": (503, "Not registered on the subnet"),
    "length": (400, "Content-Length is not a number"),
    "body_size": (413, "Request body too large"),
    "body_time": (408, "Request body took too long"),
    "gone": (499, "Client closed the connection"),
    "body": (422, "Body is not the JSON of an ImageSynapse"),
    "base64": (422, "Image is not base64"),
    "image": (422, "Not an image this miner judges"),
    "image_size": (413, "Image too large"),
    "shed": (503, "Overloaded: this could not be answered in time"),
    "unavailable": (503, "No model is available"),
    "stopping": (503, "Stopping"),
    "bug": (500, "Internal Server Error"),
    "http": (400, "Not HTTP/1.1"),
    "head_size": (431, "Request headers too large"),
    "head_time": (408, "Request headers took too long"),
    "connections": (503, "Too many connections"),
    "address_connections": (503, "Too many connections from one network"),
}
"""Reason -> HTTP status and text. Small and fixed, so that a reason is fit for a metric's label."""


class Rejected(Exception):
    """A request is refused for `reason`, a key of `REASONS`; `status` and `text` follow from it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status, self.text = REASONS[reason]


def signed_text(nonce: str, dendrite: str, axon: str, uuid: str, body_hash: str) -> bytes:
    """What the Dendrite signs: bound to the receiving hotkey, not to path, method or timeout."""
    return f"{nonce}.{dendrite}.{axon}.{uuid}.{body_hash}".encode()


def body_hash(body: Mapping[str, Any], fields: Sequence[str]) -> str:
    """The SDK's hash over `required_hash_fields`: sha3-256 of the joined hex sha3-256 of each field's text.

    Raises Rejected("body") for what no SDK can have hashed: a lone surrogate, a number that is no float.
    """
    try:
        parts = [_sha3(str(_cast(field, body.get(field, DEFAULTS.get(field))))) for field in fields]
    except (UnicodeEncodeError, OverflowError):
        raise Rejected("body") from None
    return _sha3("".join(parts))


def _sha3(text: str) -> str:
    return hashlib.sha3_256(text.encode()).hexdigest()


def _cast(field: str, value: Any) -> Any:
    """JSON may spell a float field as an integer (9 for 9.0); the SDK's model hashes it as a float."""
    if isinstance(DEFAULTS.get(field), float) and type(value) is int:
        return float(value)
    return value


Reply = tuple[int, bytes, bytes]
"""HTTP status; head (status line and headers, each line with its end); body."""

STATUS_LINE = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
STATUS_LINE[499] = b"HTTP/1.1 499 Client Closed Request\r\n"

_JSON = b"content-type: application/json\r\nname: " + NAME.encode() + b"\r\n"
_GOOD = (
    STATUS_LINE[200]
    + _JSON
    + b"bt_header_axon_status_code: 200\r\nbt_header_axon_status_message: Success\r\n"
    + b"computed_body_hash: %s\r\n" % EMPTY_HASH.encode()
    + b"timeout: %r\r\nbt_header_axon_process_time: %.6f\r\ncontent-length: %d\r\n"
)
_BODY = b'{"name":"' + NAME.encode() + b'","timeout":%r,"testnet_label":%d,"prediction":%r}'


def answer(prediction: float, timeout: float, label: int, seconds: float) -> Reply:
    """A stock Axon's 200 without the image and without a signature: callers read `prediction` alone."""
    content = _BODY % (timeout, label, prediction)
    return 200, _GOOD % (timeout, seconds, len(content)), content


def timeout(body: Mapping[str, Any]) -> float:
    """A finite, sane number of seconds, whatever the caller put there: it must echo as JSON."""
    value: Any = body.get("timeout")
    return float(value) if type(value) in (int, float) and 0 <= value <= 1e6 else TIMEOUT_S


def testnet_label(body: Mapping[str, Any]) -> int:
    """Ground truth that validators attach on the test network: 0 or 1; -1 when there is none."""
    label = body.get("testnet_label")
    return label if type(label) is int and label in (0, 1) else -1


def _refusal(status: int, text: str) -> Reply:
    content = json.dumps({"message": text}).encode()
    head = STATUS_LINE[status] + _JSON
    head += b"bt_header_axon_status_code: %d\r\nbt_header_axon_status_message: %s\r\n" % (
        status,
        text.encode(),
    )
    head += b"content-length: %d\r\n" % len(content)
    if status == 405:
        head += b"allow: POST\r\n"
    if status in (429, 503):
        head += b"retry-after: 1\r\n"
    return status, head, content


_REFUSALS = {reason: _refusal(status, text) for reason, (status, text) in REASONS.items()}


def refusal(reason: str) -> Reply:
    """The reply for a reason: built once, the same bytes for everybody."""
    return _REFUSALS[reason]
