"""A model made public and a miner made known: the card, the hub, NATIX's registration."""
