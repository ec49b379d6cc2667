"""An engine child that knows the lamps too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from swap_tiers import KINDS

from miner.engine import child_main, tiers

if __name__ == "__main__":
    tiers.FACTORIES.update(KINDS)
    child_main.main()
