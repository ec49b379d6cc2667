"""Caches that forget: what of a prompt's keys and values stays once it is read, one file a method."""
