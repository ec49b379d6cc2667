"""Looks at host, settings, keys, chain and subnet before money or time is spent."""
