// One kept image at a time. Keys: r roadwork, n none, u unsure, z undo. The next image is fetched ahead.

import { call, picture } from "./ask.js";
import { at, number, notice } from "./dom.js";

const AHEAD = 12;
const KEYS = { r: "roadwork", n: "none", u: "unsure" };
let queue = [];
let pictures = new Map();
let shownAt = 0;
let waiting = 0;
let work = Promise.resolve();

// One thing after the other: no key is lost however fast they come, and none judges an image not yet drawn.
function then(act) {
  work = work.then(act, act);
  return work;
}

const reviewer = () => at("reviewer").value.trim() || "operator";

function fetched(item) {
  if (!pictures.has(item.sha256)) pictures.set(item.sha256, picture(item.sha256));
  return pictures.get(item.sha256);
}

function forget(item) {
  const url = pictures.get(item.sha256);
  pictures.delete(item.sha256);
  if (url) url.then(URL.revokeObjectURL, () => undefined);
}

async function fill() {
  if (queue.length > 3) return;
  const found = await call("review_next", { limit: AHEAD, reviewer: reviewer() });
  const known = new Set(queue.map((item) => item.sha256));
  queue.push(...found.items.filter((item) => !known.has(item.sha256)));
  waiting = found.waiting;
}

async function draw() {
  const item = queue[0];
  at("review-left").textContent = number(waiting) + " waiting";
  at("review-empty").hidden = Boolean(item);
  at("review-card").hidden = !item;
  if (!item) return;
  const image = at("review-image");
  image.alt = "street image kept because: " + item.reason;
  at("review-why").textContent = item.reason;
  at("review-hint").textContent = "the miner said " + number(item.prediction, 3);
  try {
    image.src = await fetched(item);
  } catch (error) {
    queue.shift();
    notice("review-said", "warn", item.sha256.slice(0, 8) + ": " + error.message);
    return draw();
  }
  shownAt = performance.now();
  if (queue[1]) fetched(queue[1]).catch(() => undefined);
}

async function judge(label) {
  const item = queue[0];
  if (!item) return;
  try {
    const seconds = (performance.now() - shownAt) / 1000;
    await call("review_label", { sha256: item.sha256, label, reviewer: reviewer(), seconds });
    queue.shift();
    waiting -= 1;
    forget(item);
    notice("review-said", "ok", label);
    await fill();
  } catch (error) {
    notice("review-said", "fail", error.message);
  }
  return draw();
}

async function undo() {
  try {
    const digest = await call("review_undo", { reviewer: reviewer() });
    notice("review-said", digest ? "ok" : "warn", digest ? "the last label is taken back" : "nothing to undo");
    queue = [];
    await fill();
    await draw();
  } catch (error) {
    notice("review-said", "fail", error.message);
  }
}

for (const label of Object.values(KEYS)) at("label-" + label).addEventListener("click", () => then(() => judge(label)));
at("label-undo").addEventListener("click", () => then(undo));
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey;
  if (typing || at("tab-review").hidden) return;
  const key = event.key.toLowerCase();
  if (KEYS[key]) then(() => judge(KEYS[key]));
  else if (key === "z") then(undo);
});

export function show() {
  return then(async () => {
    const first = queue[0];
    await fill();
    if (!first) await draw();
  });
}
