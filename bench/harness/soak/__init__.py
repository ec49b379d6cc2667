"""A miner that runs for long under load while everything goes wrong that can: see `bench/soak.py`."""
