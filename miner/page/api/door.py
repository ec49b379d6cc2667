"""Who may ask on the operator's port: whoever knows the token; without a token, programs of this machine.

Another site's page in the operator's browser is a program of this machine too: it is known by its Origin.
"""

from __future__ import annotations

import hmac
import ipaddress

from starlette.requests import Request
from starlette.responses import JSONResponse

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Fault(Exception):
    """What is wrong with a request: an HTTP `status`, a `reason` for programs, a `message` for people."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message

    def reply(self) -> JSONResponse:
        headers = {401: {"www-authenticate": "Bearer"}, 429: {"retry-after": "1"}, 503: {"retry-after": "1"}}
        told = {"error": self.reason, "message": self.message}
        return JSONResponse(told, status_code=self.status, headers=headers.get(self.status))


def admit(request: Request, token: str | None) -> None:
    """Raises Fault (401 or 403)."""
    if not _own_origin(request):
        raise Fault(403, "origin", "pages of other sites may not ask")
    if token is not None:
        given = request.headers.get("authorization", "").encode("latin-1")
        scheme, _, secret = given.partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(secret.strip(), token.encode()):
            raise Fault(401, "token", "say Authorization: Bearer and the token of page.token")
    elif not _is_near(request):
        raise Fault(403, "remote", "without page.token only this machine itself is answered")


def admit_near(request: Request, token: str | None) -> None:
    """For the operator's page: this machine needs no token, whoever is elsewhere does. Raises Fault."""
    if token is None or not _is_near(request):
        admit(request, token)
    elif not _own_origin(request):
        raise Fault(403, "origin", "pages of other sites may not ask")


def _own_origin(request: Request) -> bool:
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return False
    return origin is None or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def _is_near(request: Request) -> bool:
    """Whether it comes from this machine and not through a proxy on it."""
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(request.client.host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
