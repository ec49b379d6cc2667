"""A bridge whose replicas know the tests' tiers too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from engine_tiers import KINDS

from miner.engine.ray import bridge, replica
from miner.engine.tiers import FACTORIES


class Replica(replica.Replica):
    @staticmethod
    def build(spec, device):
        return {**FACTORIES, **KINDS}[spec["kind"]](spec, device)


if __name__ == "__main__":
    from engine_bridge import Replica as Importable

    bridge.main(Importable)
