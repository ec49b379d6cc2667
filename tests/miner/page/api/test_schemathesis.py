"""Everything /openapi.json describes, asked as schemathesis has it: in process, nothing leaves the machine.

A miner that is built and not started stands behind it, so that the commands are the real ones. No request is
answered with a 500, and what is answered is what the document says.
"""

from __future__ import annotations

import inspect
import json

import pytest
import schemathesis
from api_kit import Engine
from bittensor.keyfiles import Keypair
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import positive_data_acceptance
from starlette.testclient import TestClient

from miner.app import Miner
from miner.capture import NoPicture
from miner.page import create_page
from miner.page.api import create_api
from miner.page.api.door import admit_near
from miner.page.api.openapi import document
from miner.page.desk import COMMANDS, create_desk
from miner.settings import Page, Settings, Wire

HERE = ("127.0.0.1", 4000)
JSON = {"content-type": "application/json"}
LABELS = [
    f"{method.upper()} {path}"
    for path, methods in document(Wire(), token=False)["paths"].items()
    for method in methods
]
LITTLE = settings(
    max_examples=12, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
    st.sampled_from(["classifier", "backup", "../x", "0" * 64, "roadwork", "none", 10**30, -1, 0]),
)


def no_picture(digest: str) -> bytes:
    raise NoPicture("none")


class FromHere:
    """The application, for a caller on this machine by a name of this machine."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            others = [pair for pair in scope["headers"] if pair[0] != b"host"]
            scope = {**scope, "client": HERE, "headers": [*others, (b"host", b"127.0.0.1:8092")]}
        await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def miner(tmp_path_factory):
    folder = tmp_path_factory.mktemp("miner")
    given = Settings(subtensor={"network": "local"}, data={"path": folder}, engine={"mode": "thread"})
    made = Miner(given, Keypair.create_from_uri("//desk"))
    made.recorder.start()  # what is asked of the ledger is done by its thread
    yield made
    made.recorder.stop()
    made.ledger.close()


@pytest.fixture(scope="module")
def app(miner):
    routes = create_api(Engine(), Page(), Wire(), lambda *_: None)
    desk = create_desk(miner.commands, no_picture, None)
    page = create_page(
        *(lambda: {"running": True}, lambda: b"", lambda: []),
        more=[*routes, *desk],
        admit=lambda request: admit_near(request, None),
    )
    return FromHere(page)


@pytest.fixture(scope="module")
def described(app):
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize("label", LABELS)
def test_what_is_described_is_what_is_answered(label, described):
    (operation,) = [each.ok() for each in described.get_all_operations() if each.ok().label == label]

    @LITTLE
    @given(operation.as_strategy())
    def ask(case):
        # Not asked: a text that is no picture is valid data, and is refused all the same.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    ask()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_argument_of_a_command_is_our_500(name, app, miner):
    names = list(inspect.signature(miner.commands[name]).parameters)
    client = TestClient(app, raise_server_exceptions=False)

    @LITTLE
    @given(st.dictionaries(st.sampled_from([*names, "more"]), VALUES, max_size=4))
    def ask(arguments):
        reply = client.post(f"/v1/commands/{name}", content=json.dumps(arguments), headers=JSON)
        assert reply.status_code in (200, 400, 404), (arguments, reply.text)

    ask()
