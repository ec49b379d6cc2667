"""The control: the same probes against the stock Axon of 9.12.2, which takes what our wire must refuse.

Were a probe so broken that anybody refuses it, the conformance tests would pass for nothing; it shows here.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from availability import python_of
from environments import start
from harness.process import Talk
from harness.stage import VALIDATOR, ss58
from test_conformance import NONCE, SIGNATURE, Validator


@pytest.fixture(scope="module")
def axon_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"port": port, "miner": "//miner", "allowed": [ss58(VALIDATOR)]}
    python = python_of("9.12.2")
    with start(python, "stock_axon.py", tmp_path_factory.mktemp("axon"), settings) as axon:
        assert axon.greeting["version"] == "9.12.2"
        yield port


@pytest.fixture
def validator(dendrite: Talk, axon_port: int) -> Validator:
    return Validator(dendrite, axon_port)


async def test_it_takes_unsigned_requests(validator: Validator) -> None:
    assert (await validator.ask(headers={SIGNATURE: None}))["http_status"] == 200


async def test_it_takes_a_nonce_of_next_hour_and_is_deaf_from_then_on(validator: Validator) -> None:
    assert (await validator.ask(clock_shift_s=3600.0))["http_status"] == 200
    assert (await validator.ask())["http_status"] == 401


async def test_it_takes_old_nonces_from_whoever_claims_an_old_version(validator: Validator) -> None:
    old = {"bt_header_dendrite_version": "7001999"}
    assert (await validator.ask(clock_shift_s=-3600.0, headers=old))["http_status"] == 200


async def test_it_refuses_what_is_wrong_for_everybody(validator: Validator) -> None:
    sent = (await validator.ask())["sent"]
    assert (await validator.ask(headers={NONCE: None}))["http_status"] == 401
    assert (await validator.ask(headers=sent))["http_status"] == 401
