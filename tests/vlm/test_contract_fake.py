"""The contract suite against the fake server."""

from __future__ import annotations

import pytest
from contract_suite import *  # noqa: F403
from contract_suite import Live, plain_pictures

PICTURES = plain_pictures()


@pytest.fixture
def live(fake):
    return Live(fake.url, fake.model, PICTURES)
