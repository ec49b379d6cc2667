"""The page in a real Chromium: it draws the status, and nothing a caller sent becomes markup or script."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from sample_status import HOSTILE, hotkey_row, sample_status

from miner.page import PageServer, create_page
from miner.settings import Page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here: the page is not looked at in a browser"
)


async def drawn(folder: Path, *flags: str, **changes) -> str:
    """The document as Chromium has it after the first answer."""
    server = PageServer(create_page(lambda: sample_status(**changes), lambda: b"", lambda: []), Page(port=0))
    await server.start()
    try:
        browser = await asyncio.create_subprocess_exec(
            *(
                BROWSER,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-dev-shm-usage",
            ),
            *(f"--user-data-dir={folder}", "--virtual-time-budget=1500", *flags, "--dump-dom", server.url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        out, _ = await asyncio.wait_for(browser.communicate(), 60)
    finally:
        await server.stop()
    return out.decode()


async def test_the_status_is_drawn_and_hostile_text_stays_text(tmp_path):
    ours = [
        hotkey_row("5FirstHotkey", 17, twin=(0.61, 0.93), challenges=412, answered=409),
        hotkey_row("5SecondHotkey", 18, port=8092, immune_blocks=3100),
        hotkey_row("5ThirdHotkey", None, port=8093),
    ]
    document = await drawn(tmp_path, hotkeys=ours)
    for words in (
        *(
            "5First…",
            "0.610 to 0.930",
            "pruned after 7 registrations",
            "immune for 3,100 blocks",
            "not registered",
        ),
        "● answering",
        "UID 17",
        "8,104,216",
        "412 answered",
        "Think twice: 86 %",
        "12.1 α a day",
        "roadwork",
    ):
        assert words in document, words
    assert document.count("<rect") == 40, "a bar for each epoch"
    assert "owned" not in document.split("<title>")[1].split("</title>")[0]
    assert "<img src" not in document and HOSTILE.replace("<", "&lt;").replace(">", "&gt;") in document


async def test_a_new_miner_without_anything_is_drawn_too(tmp_path):
    document = await drawn(
        tmp_path,
        uid=None,
        ready=False,
        reasons=["engine starting"],
        reward=None,
        recent=[],
        payouts=[],
        servers=[],
        hotkeys=[{**hotkey_row("5OnlyHotkey", None), "sentence": "nothing is published yet"}],
        counts={"outcomes": {}, "refused": {}},
        chain={"state": "starting", "reason": "", "age_s": None, "block": None, "uid": None, "failures": 0},
    )
    for words in (
        "○ not answering",
        "<li>engine starting</li>",
        "No challenge yet.",
        "No epoch has paid yet.",
        "no UID",
        "nothing is published yet",
    ):
        assert words in document, words
