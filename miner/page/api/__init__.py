"""The classifier over HTTP on the operator's port: `POST /v1/classify`, described by `/openapi.json`."""

from miner.page.api.route import create_api

__all__ = ["create_api"]
