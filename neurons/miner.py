"""The miner daemon: python neurons/miner.py --wallet.name NAME [--help]"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Run as a script, this folder comes first on sys.path (not with python -P), where miner.py would shadow
    # the package `miner`: the repository must come before it.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

    from miner.start import main

    sys.exit(main(sys.argv[1:]))
