"""Errors whose message is a sentence for the operator."""

from __future__ import annotations


class OperatorError(Exception):
    """Nothing that a traceback would help with: the command line prints the message and exits with 1."""
