"""python -m miner: the command line, as the console script streetvision-miner."""

from miner.cli import main

main()
