"""The contract suite against the real SGLang."""

from __future__ import annotations

import pytest
from contract_suite import *  # noqa: F403
from contract_suite import Live, plain_pictures

PICTURES = plain_pictures()


@pytest.fixture
def live(supervised, vocabulary):
    supervised.until_ready()
    return Live(supervised.spec.address, "tiny", PICTURES, top=vocabulary, slow=True)
