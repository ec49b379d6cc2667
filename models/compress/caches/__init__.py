"""Caches that store keys and values in fewer bits: a format, a layer that holds it, one file a method."""
