"""Weights in fewer bits: linear layers changed in place when a model is loaded, one file a method."""
