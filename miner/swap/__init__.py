"""Changing models under load: a second engine beside the first, proven, then the two change places."""
