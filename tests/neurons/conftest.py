"""One subnet and one miner for all tests that leave it as they found it; others start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from neurons_kit import Common, Miner, Stage, tiny_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def stage(tmp_path: Path, checkpoint: Path) -> Iterator[Stage]:
    """A subnet of the test's own."""
    made = Stage(tmp_path, checkpoint)
    yield made
    made.close()


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[Common]:
    """Use `miner`, and its subnet as `common.stage`."""
    made = Common(Stage(tmp_path_factory.mktemp("common"), checkpoint))
    yield made
    made.stage.close()


@pytest.fixture
def miner(common: Common) -> Miner:
    """The shared miner, ready; another one in its place should a test have left it dead."""
    if common.miner is None or common.miner.child.code is not None:
        common.miner = common.stage.start(engine__standby="true")
    return common.miner.await_ready()
