"""An operator's work on the page, done with mouse and keys in a real Chromium."""

from __future__ import annotations

import io
import re
import shutil

import pytest
from PIL import Image
from playwright.async_api import Page as Tab
from playwright.async_api import async_playwright, expect
from sample_status import sample_status

from miner.page import PageServer, create_page
from miner.page.desk import COMMANDS, create_desk
from miner.rewards.rows import validator_rows
from miner.rewards.standing import Standing
from miner.settings import Page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here: the page is not worked in a browser"
)
FLAGS = ["--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-sync"]
DIGESTS = [f"{number:064x}" for number in range(5)]
CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, level AA, for text of ordinary size."""


class Miner:
    """The commands' other end: does what it is told and remembers it."""

    def __init__(self) -> None:
        self.labels: list[tuple[str, str, str]] = []
        self.orders: list[tuple[str, dict]] = []
        self.under_way = None
        self.enabled = True
        self.paused = False

    async def review_next(self, limit, reviewer="operator"):
        done = {digest for digest, _, _ in self.labels}
        left = [digest for digest in DIGESTS if digest not in done]
        items = [
            {"sha256": each, "prediction": 0.47, "reason": "near the threshold"} for each in left[:limit]
        ]
        return {"items": items, "waiting": len(left)}

    async def review_label(self, sha256, label, reviewer, seconds):
        assert seconds >= 0
        self.labels.append((sha256, label, reviewer))

    async def review_undo(self, reviewer):
        return self.labels.pop()[0] if self.labels else None

    async def models(self):
        versions = [
            {
                "version": "v2-new",
                "role": "challenger",
                "created": "2026-11-01T00:00:00+00:00",
                "source": "folder",
                "metrics": {"mcc": 0.9},
                "quarantined": None,
            },
            {
                "version": "v1-old",
                "role": "champion",
                "created": "2026-10-01T00:00:00+00:00",
                "source": "hub",
                "metrics": {},
                "quarantined": None,
            },
            {"version": "v0-bad", "role": "quarantined", "quarantined": "answers NaN"},
        ]
        tier = {"tier": "classifier", "champion": "v1-old", "challenger": "v2-new", "previous": None}
        return {
            "tiers": [tier | {"versions": versions}],
            "refused": {},
            "under_way": self.under_way,
            "last": None,
        }

    async def swap(self, tier, version, force=False):
        self.orders.append(("swap", {"tier": tier, "version": version, "force": force}))
        self.under_way = {"tier": tier, "version": version, "step": "shadow", "seconds": 2.0}
        return {}

    async def rollback(self, tier):
        self.orders.append(("rollback", {"tier": tier}))
        raise ValueError("there is no earlier version to go back to")

    async def jobs(self):
        last = {
            "at_s": 1.7e9,
            "trigger": "schedule",
            "seconds": 1.5,
            "outcome": "ok",
            "detail": "kept 3 copies",
        }
        return [
            {
                "name": "backup",
                "about": "",
                "when": "every 1 d",
                "running": False,
                "paused": self.paused,
                "last": last,
                "next_s": None if self.paused else 1.8e9,
            }
        ]

    async def job_run(self, name):
        self.orders.append(("job_run", {"name": name}))

    async def job_pause(self, name):
        self.paused = True

    async def job_resume(self, name):
        self.paused = False

    async def capture_status(self):
        return {
            "enabled": self.enabled,
            "count": 5,
            "bytes": 4_000_000,
            "most_bytes": 1e9,
            "unlabelled": 5,
            "oldest_s": 1.7e9,
            "days": 30,
            "stopped": "",
        }

    async def capture_set(self, enabled):
        self.enabled = enabled

    async def capture_purge(self):
        self.orders.append(("capture_purge", {}))
        return {"files": 5, "rows": 5, "left": 0}

    async def rewards_history(self):
        days = [
            {
                "date": f"2026-11-{day:02d}",
                "alpha": day / 10,
                "tao": day / 1000,
                "epochs": 20,
                "incentive": 0.01,
                "rank": 30 - day,
            }
            for day in range(1, 21)
        ]
        standing = Standing(worst=0.2, best=0.8, mcc=(0.5, 0.9), challenges=400, known=100, unanswered=3)
        twin = validator_rows([], {"5" + "v" * 47: standing})
        return {"days": days, "twins": twin}

    async def accuracy_history(self):
        return [
            {
                "at_s": 1.7e9,
                "tier": "classifier",
                "version": "v1-old",
                "slice": "2026-10",
                "count": 50,
                "accuracy": 0.9,
                "mcc": 0.8,
            }
        ]


def jpeg() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (320, 200), (200, 120, 40)).save(data, "JPEG")
    return data.getvalue()


class Desk:
    """The page served for a `Miner`, and a browser's tab on it. `errors` is its console's complaints."""

    def __init__(self, miner: Miner, tab: Tab, url: str) -> None:
        self.miner, self.tab, self.url = miner, tab, url
        self.errors: list[str] = []
        tab.on("pageerror", lambda error: self.errors.append(str(error)))
        tab.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    async def open(self, section: str) -> None:
        await self.tab.goto(f"{self.url}#{section}")
        await expect(self.tab.locator(f"#tab-{section}")).to_be_visible()
        await expect(self.tab.locator(f"#to-{section}")).to_have_attribute("aria-current", "page")


@pytest.fixture(params=[{"width": 1200, "height": 900}], ids=["desktop"])
async def desk(request):
    miner, image = Miner(), jpeg()
    commands = {name: getattr(miner, name) for name in COMMANDS if hasattr(miner, name)}
    app = create_page(
        sample_status, lambda: b"", lambda: [], more=create_desk(commands, lambda _: image, None)
    )
    server = PageServer(app, Page(port=0))
    await server.start()
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=BROWSER, args=FLAGS, chromium_sandbox=False)
        tab = await browser.new_page(viewport=request.param)
        found = Desk(miner, tab, server.url)
        yield found
        await browser.close()
    await server.stop()
    assert found.errors == [], "the console complained"


async def test_a_queue_is_cleared_with_four_keys(desk):
    await desk.open("review")
    tab = desk.tab
    await expect(tab.locator("#review-left")).to_have_text("5 waiting")
    await expect(tab.locator("#review-image")).to_have_js_property("naturalWidth", 320)
    assert not await tab.locator("#review-hint").is_visible(), "the miner's word would sway the reviewer"
    for count, key in enumerate("rnu", start=1):
        await tab.keyboard.press(key)
        await expect(tab.locator("#review-left")).to_have_text(f"{5 - count} waiting")
    await tab.keyboard.press("z")
    await expect(tab.locator("#review-said")).to_have_text("the last label is taken back")
    for left in (2, 1):
        await tab.keyboard.press("n")
        await expect(tab.locator("#review-left")).to_have_text(f"{left} waiting")
    await tab.locator("#label-roadwork").click()
    await expect(tab.locator("#review-empty")).to_be_visible()
    assert [label for _, label, _ in desk.miner.labels] == ["roadwork", "none", "none", "none", "roadwork"]
    assert sorted({digest for digest, _, _ in desk.miner.labels}) == DIGESTS


async def test_typing_a_name_labels_nothing(desk):
    await desk.open("review")
    await desk.tab.locator("#reviewer").fill("")
    await desk.tab.locator("#reviewer").press_sequentially("nur")
    await desk.tab.locator("#label-none").click()
    await expect(desk.tab.locator("#review-left")).to_have_text("4 waiting")
    assert [(label, who) for _, label, who in desk.miner.labels] == [("none", "nur")]


async def test_a_swap_is_ordered_followed_and_a_refusal_is_shown(desk):
    await desk.open("models")
    tab = desk.tab
    await expect(tab.locator("#tiers")).to_contain_text("answers NaN")
    assert await tab.get_by_role("button", name="Swap in").count() == 1, "neither champion nor quarantined"
    await tab.locator("#force").check()
    await tab.get_by_role("button", name="Swap in").click()
    await expect(tab.locator("#swap-now")).to_contain_text("v2-new: shadow")
    await tab.get_by_role("button", name="Roll back").click()
    await expect(tab.locator("#models-said")).to_contain_text("no earlier version")
    assert desk.miner.orders[0] == ("swap", {"tier": "classifier", "version": "v2-new", "force": True})
    desk.errors.clear()  # the browser itself notes the refusal's status


async def test_jobs_are_run_paused_and_resumed(desk):
    await desk.open("jobs")
    tab = desk.tab
    await tab.get_by_role("button", name="Run now").click()
    await expect(tab.locator("#jobs-said")).to_contain_text("backup")
    await tab.get_by_role("button", name="Pause").click()
    await expect(tab.locator("#jobs-list")).to_contain_text("paused")
    await tab.get_by_role("button", name="Resume").click()
    await expect(tab.get_by_role("button", name="Pause")).to_be_visible()
    assert ("job_run", {"name": "backup"}) in desk.miner.orders and not desk.miner.paused


async def test_all_images_are_deleted_only_at_the_second_press(desk):
    await desk.open("capture")
    tab = desk.tab
    await expect(tab.locator("#capture-facts")).to_contain_text("4.0 MB of 1,000.0 MB")
    await tab.locator("#capture-purge").click()
    await expect(tab.locator("#capture-purge")).to_contain_text("Press again")
    assert desk.miner.orders == []
    await tab.locator("#capture-purge").click()
    await expect(tab.locator("#capture-said")).to_contain_text("5 files and 5 rows deleted, 0 left")
    await tab.get_by_role("button", name="Keep no more").click()
    await expect(tab.locator("#capture-state")).to_have_text("No image is kept")


async def test_rewards_are_drawn_with_their_scale(desk):
    await desk.open("rewards")
    chart = desk.tab.get_by_role("img", name=re.compile("Alpha a day, 20 days: 21.0"))
    await expect(chart).to_be_visible()
    assert await chart.locator("rect").count() == 20
    await expect(desk.tab.locator("#twins")).to_contain_text("0.200 to 0.800")
    await expect(desk.tab.locator("#slices")).to_contain_text("2026-10")


async def test_sections_are_reached_with_the_keyboard_alone(desk):
    await desk.open("now")
    await expect(desk.tab.locator("#to-capture")).to_be_visible()  # once the desk has answered
    await desk.tab.locator("#to-now").focus()
    for _ in range(3):
        await desk.tab.keyboard.press("Tab")
    await desk.tab.keyboard.press("Enter")
    await expect(desk.tab.locator("#tab-review")).to_be_visible()


@pytest.mark.parametrize("desk", [{"width": 360, "height": 740}], ids=["phone"], indirect=True)
async def test_a_phone_scrolls_no_section_sideways(desk):
    for section in ("now", "rewards", "models", "review", "jobs", "capture"):
        await desk.open(section)
        await desk.tab.wait_for_timeout(100)
        wide = await desk.tab.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, section


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_its_ground(desk, scheme):
    await desk.tab.emulate_media(color_scheme=scheme)
    for section in ("now", "rewards", "models", "jobs", "capture"):
        await desk.open(section)
        await desk.tab.wait_for_timeout(100)
        pale = [row for row in await desk.tab.evaluate(CONTRASTS) if row["ratio"] < CONTRAST]
        assert pale == [], (section, scheme)


CONTRASTS = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((v) =>
      (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const found = channels(getComputedStyle(node).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !node.checkVisibility() || node.closest("svg")) continue;
    const [a, b] = [luminance(channels(getComputedStyle(node).color)), luminance(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push({ text: texts.currentNode.textContent.trim().slice(0, 30), ratio });
  }
  return found;
}"""
