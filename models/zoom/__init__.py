"""A closer look: the classifier asked again about parts of the frame, as long as that may change its mind."""

from models.zoom.tier import Zoom, load_zoom

__all__ = ["Zoom", "load_zoom"]
