"""The address validators call: can it be listened on, is it published, does it lead here?"""

from __future__ import annotations

import socket
from pathlib import Path

from miner.chain.announce import Probe, answers, objection, shown_as
from miner.control import SOCKET_NAME, ControlError, call
from miner.doctor.finding import Finding, fail, ok, skip, warn
from miner.settings import Axon
from miner.wire.server import BindError, bind


def port(axon: Axon, data_path: Path) -> Finding:
    """Binds it for a moment, unless our own miner runs on this data folder."""
    if running(data_path):
        return ok("port", f"The running miner listens on port {axon.port}.")
    try:
        bind(axon.ip, axon.port).close()
    except BindError as error:
        return fail("port", f"{error}.", "Free the port, or set axon.port.")
    return ok("port", f"Port {axon.port} can be listened on.")


def running(data_path: Path) -> bool:
    """Whether a miner answers on this data folder's control socket."""
    try:
        call(data_path / SOCKET_NAME, "status")
    except ControlError:
        return False
    return True


def ipv6(axon: Axon, has: bool | None = None) -> Finding:
    there = _has_ipv6() if has is None else has
    if ":" in axon.ip and not there:
        return warn(
            "IPv6",
            "This host has no IPv6: the wire listens on IPv4 alone.",
            "Nothing, as long as validators reach the IPv4 address; axon.ip 0.0.0.0 says so openly.",
        )
    return ok("IPv6", "IPv6 and IPv4 share one socket." if ":" in axon.ip else "IPv4 only, as axon.ip asks.")


async def reachable(axon: Axon, data_path: Path, *, local: bool, probe: Probe = answers) -> Finding:
    """Whether the published address leads here. Only a running miner can prove it. `local`: a rehearsal."""
    if axon.external_ip is None:
        if local:
            return skip("reachable", "Not published; the rehearsal's validator is told where to ask.")
        return warn(
            "reachable",
            "axon.external_ip is not set: nothing is published, so no validator will find this miner.",
            "Set axon.external_ip to this host's public address.",
        )
    if said := objection(axon.external_ip, local=local, force=axon.announce == "force"):
        return fail("reachable", f"{said}.", "Set axon.external_ip to this host's public address.")
    shown = shown_as(axon.external_ip, axon.external_port or axon.port)
    if not running(data_path):
        return skip("reachable", f"{shown} can be tried once the miner runs.")
    if await probe(axon.external_ip, axon.external_port or axon.port):
        return ok(
            "reachable", f"{shown} leads here; whether firewalls let strangers in is seen from outside only."
        )
    return fail(
        "reachable",
        f"Nothing answers at {shown}.",
        "Open the port in firewall and router; a host that cannot reach its own address sets axon.announce "
        "to force.",
    )


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as found:
            found.bind(("::", 0))
    except OSError:
        return False
    return True
