"""Models as Ray Serve deployments: the front's side, which never imports Ray.

A child process, the bridge, is what Ray calls a driver: it deploys the replicas, takes the front's questions
and asks one of them. To the front it is an engine child like any other, so what it had in its hands when it
ended goes to the one that stands by, which judges here, on the CPU: a cluster that is gone costs no answer.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from itertools import count

from miner.engine.child import ChildEngine
from miner.engine.config import EngineConfig
from miner.engine.process import COMMAND as CHILD
from miner.settings import version

SCHEME = "ray://"
LOCAL = "local"
COMMAND = (sys.executable, "-P", "-m", "miner.engine.ray.bridge")
PROBE_S = 3.0
"""How long a cluster's head may take to accept a connection."""
LEAVE_S = 15.0
"""A bridge takes its replicas away before it ends; after this long it is not waited for."""
_numbers = count(1)


def unreachable(mode: str, patience_s: float = PROBE_S) -> str | None:
    """Why there can be no replicas, in a sentence; None when a cluster seems to be there, or is no matter.

    Takes up to `patience_s` seconds. Ray's own attempt would take minutes and end the process."""
    if not mode.startswith(SCHEME):
        return None
    if find_spec("ray") is None:
        return (
            f"engine.mode is {mode}, but Ray is not installed in {sys.prefix}: pip install -e '.[ray]' -c "
            "constraints.txt, or leave models to --engine.mode child"
        )
    address = mode.removeprefix(SCHEME)
    if address == LOCAL:
        return None
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=patience_s).close()
    except (OSError, OverflowError) as error:
        return (
            f"engine.mode is {mode}, but no Ray cluster answers there ({error}): start one with "
            "`ray start --head --port=6379`, and make this machine a node of it (docs/scale-out.md)"
        )
    return None


def create(config: EngineConfig, mode: str, replicas: int, most: int) -> ChildEngine:
    """An `Engine`, not started, whose main child is a bridge to the cluster of `mode`: `replicas` of them at
    least, `most` under load. What stands by (`config.standby`) is a child of the usual kind."""
    config = replace(config, cluster=mode.removeprefix(SCHEME), replicas=(replicas, most))
    config = replace(config, app=_name(config))
    return ChildEngine(config, command=COMMAND, standby=CHILD, leave_s=LEAVE_S)


def _name(config: EngineConfig) -> str:
    """Of an application on the cluster. The same name is the same configuration and code, also where every
    miner has process id 1."""
    about = json.dumps([version(), config.to_json()]).encode()
    return f"{app_prefix()}{os.getpid()}-{next(_numbers)}-{sha256(about).hexdigest()[:8]}"


def app_prefix() -> str:
    """How the names of this host's applications on a cluster begin; the pid of their miner follows."""
    return f"svm-{re.sub('[^a-z0-9]', '', socket.gethostname().lower()) or 'host'}-"


def gone(name: str) -> bool:
    """Whether an application of that name is what a dead miner of this host has left behind."""
    found = re.fullmatch(rf"{re.escape(app_prefix())}(\d+)-\d+-[0-9a-f]{{8}}", name)
    return found is not None and not _alive(int(found[1]))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, so it is there
    return True
