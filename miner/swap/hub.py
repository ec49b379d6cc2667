"""A repository on the Hugging Face hub, or on whatever speaks like it (HF_ENDPOINT)."""

from __future__ import annotations

from pathlib import Path

from miner.registry.door import PLAIN, SUFFIXES


class HuggingFaceHub:
    """A `sources.Hub`. `repo` owner/name; `branch` whose newest commit counts."""

    def __init__(self, repo: str, branch: str = "main", endpoint: str | None = None) -> None:
        self._repo = repo
        self._branch = branch
        self._endpoint = endpoint

    def revision(self) -> str:
        """The branch's commit. Raises OSError."""
        from huggingface_hub import HfApi

        try:
            found = HfApi(endpoint=self._endpoint).model_info(self._repo, revision=self._branch, timeout=20.0)
        except Exception as error:  # the client lets its transport's own errors through
            raise OSError(f"{self._repo}: {error}") from error
        if not found.sha:
            raise OSError(f"{self._repo} names no commit")
        return found.sha

    def fetch(self, revision: str, folder: Path) -> None:
        """Files that may come in, as real files. Others stay there: weights that can run code are not even
        fetched. Raises OSError."""
        from huggingface_hub import snapshot_download

        wanted = [f"*{suffix}" for suffix in SUFFIXES] + list(PLAIN)
        try:
            snapshot_download(
                self._repo,
                revision=revision,
                local_dir=folder,
                allow_patterns=wanted,
                ignore_patterns=["*/*", ".*"],
                endpoint=self._endpoint,
            )
        except Exception as error:  # as above
            raise OSError(f"{self._repo}: {error}") from error
