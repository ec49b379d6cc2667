"""What would be, or was, published: as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def publish_view(found: Mapping[str, Any]) -> str:
    card = "\n".join(f"  {name}: {value}" for name, value in found["card"].items())
    files = "\n".join(
        f"  {file['sha256'][:12]}  {file['size']:>12,}  {file['name']}" for file in found["files"]
    )
    kind = "private" if found["private"] else "public"
    done = f"Published: {found['commit']}" if found["commit"] else "Nothing was sent: --upload does it."
    return f"To {found['repo']} ({kind}), with model_card.json:\n{card}\nFiles:\n{files}\n{done}"


def registration_view(found: Mapping[str, Any]) -> str:
    names = ("uid", "message", "natix_public_key", "natix_signature", "type", "model_repo")
    body = "\n".join(f"  {name}: {found[name]}" for name in names)
    done = (
        f"The server said: {found['reply']}; now: {found['state']}"
        if found["reply"] is not None
        else "Not sent: --post does it."
    )
    return f"POST {found['server']}/participants/register\n{body}\n{done}"
