// The page: which section is shown, and the first one, which follows /status.json.

import { read } from "./ask.js";
import * as capture from "./capture.js";
import { amount, at, element, facts, notice, number, percent, shape, short, span, table } from "./dom.js";
import * as jobs from "./jobs.js";
import * as models from "./models.js";
import * as review from "./review.js";
import * as rewards from "./rewards.js";

const POLL_MS = 2000;

function drawHead(status) {
  const uid = status.uid === null ? "no UID" : "UID " + status.uid;
  at("identity").textContent = [
    uid, short(status.hotkey), "subnet " + status.netuid + " on " + status.network,
    "up " + span(status.now - status.started_at),
  ].join(" · ");
  at("identity").title = status.hotkey;
  at("state").textContent = status.ready ? "● answering" : "○ not answering";
  at("state").className = "state " + (status.ready ? "ok" : "fail");
  document.title = (status.ready ? "● " : "○ ") + "streetvision-miner " + uid;
  at("reasons").hidden = status.reasons.length === 0;
  at("reasons").replaceChildren(...status.reasons.map((reason) => element("li", reason)));
  notice("subnet", status.subnet.level, status.subnet.sentence);
  at("version").textContent = "version " + status.version;
}

function drawCounts(status) {
  const outcomes = status.counts.outcomes;
  const refused = Object.entries(status.counts.refused);
  at("answered").textContent = number(outcomes.answered || 0) + " answered";
  facts("counts", [
    ...Object.entries(outcomes).filter(([name]) => name !== "answered").map(([name, count]) => [name.replaceAll("_", " "), number(count)]),
    ["refused at the door", number(refused.reduce((sum, [, count]) => sum + count, 0))],
    ...refused.sort((a, b) => b[1] - a[1]).slice(0, 4).map(([why, count]) => ["· " + why, number(count)]),
  ]);
}

function drawEngine(engine) {
  at("engine").textContent = engine.state;
  facts("engine-facts", [
    ["because", engine.detail],
    ...Object.entries(engine.versions).map(([tier, version]) => [tier, version]),
    ["device", engine.device],
    ["per image", number(engine.image_ms, 1) + " ms"],
    ["waiting, in work", engine.queued + ", " + engine.in_flight],
    ["restarts", number(engine.restarts)],
    ["course", engine.course && engine.course + (engine.course_why ? ": " + engine.course_why : "")],
    ["nobody early", engine.never],
    ["early under", engine.early_by],
  ]);
}

function drawChain(status) {
  const chain = status.chain, hotkeys = status.hotkeys || [];
  at("block").textContent = chain.block === null ? chain.state : "block " + number(chain.block);
  facts("chain-facts", [
    ["state", chain.state], ["because", chain.reason || ""], ["seen", chain.age_s === null ? "never" : span(chain.age_s) + " ago"],
    ["validators at work", status.subnet.at_work + " of " + status.subnet.validators],
    ["incentive burned", percent(status.subnet.burned)],
    ["address", hotkeys.length === 1 ? hotkeys[0].sentence : ""],
  ]);
}

function drawReward(reward) {
  at("alpha").textContent = reward === null ? "–" : amount(reward.alpha_per_day) + " α a day";
  facts("reward-facts", reward === null ? [["", "not registered"]] : [
    ["in TAO a day", amount(reward.tao_per_day)], ["incentive", percent(reward.incentive)], ["rank", number(reward.rank)],
    ["last epoch", amount(reward.emission_alpha) + " α"],
    ["until pruned", reward.position === null ? "not at risk" : number(reward.position) + " registrations"],
  ]);
}

function place(row) {
  if (row.reward === null) return "–";
  if (row.immune_blocks > 0) return "immune for " + number(row.immune_blocks) + " blocks";
  return row.reward.position === null ? "not at risk" : "pruned after " + number(row.reward.position) + " registrations";
}

// One miner may serve several hotkeys: the tiles are about the first, this table about all.
function drawHotkeys(rows) {
  at("hotkeys-section").hidden = rows.length < 2;
  if (rows.length < 2) return;
  const heads = ["Hotkey", "UID", "Port", "Rank", "α a day", "Place", "Twin", "Asked", "Answered", "Address"];
  at("hotkeys").replaceChildren(table(heads, rows.map((row) => {
    const name = element("span", short(row.hotkey));
    name.title = row.hotkey;
    const address = element("span", row.address);
    address.title = row.sentence;
    return [
      name, row.uid === null ? "not registered" : String(row.uid), String(row.port),
      row.reward === null ? "–" : number(row.reward.rank), row.reward === null ? "–" : amount(row.reward.alpha_per_day),
      place(row), row.twin === null ? "–" : number(row.twin[0], 3) + " to " + number(row.twin[1], 3),
      number(row.challenges), number(row.answered), address,
    ];
  }), { numbers: [1, 2, 3, 4, 7, 8] }));
}

function drawPayouts(rows) {
  if (rows.length === 0) return at("payouts").replaceChildren(element("p", "No epoch has paid yet.", "quiet"));
  const step = 100 / Math.max(rows.length, 20);
  const most = Math.max(...rows.map((row) => row.alpha)) || 1;
  const chart = shape("svg", { viewBox: "0 0 100 20", preserveAspectRatio: "none", role: "img" });
  rows.forEach((row, index) => {
    const height = Math.max((19 * row.alpha) / most, 0.3);
    const bar = shape("rect", { x: index * step, y: 20 - height, width: step * 0.8, height });
    const title = shape("title", {});
    title.textContent = "block " + row.block + ": " + amount(row.alpha) + " α, " + new Date(row.at_s * 1000).toLocaleString();
    bar.append(title);
    chart.append(bar);
  });
  const sum = rows.reduce((total, row) => total + row.alpha, 0);
  const words = rows.length + (rows.length === 1 ? " epoch" : " epochs") + ", " + amount(sum) + " α in all, highest " + amount(most) + " α";
  chart.setAttribute("aria-label", words);
  at("payouts").replaceChildren(chart, element("p", words, "quiet"));
}

function prediction(row) {
  const cell = element("td");
  if (row.prediction === null) {
    cell.textContent = "–";
    return cell;
  }
  const meter = element("meter");
  meter.value = row.prediction;
  meter.setAttribute("aria-hidden", "true");
  cell.append(meter, row.prediction.toFixed(3) + (row.prediction > 0.5 ? " roadwork" : " none"));
  return cell;
}

function drawRecent(rows) {
  if (rows.length === 0) {
    const cell = element("td", "No challenge yet.", "quiet");
    cell.colSpan = 7;
    const line = element("tr");
    line.append(cell);
    return at("recent").replaceChildren(line);
  }
  at("recent").replaceChildren(...rows.map((row) => {
    const line = element("tr");
    const caller = element("td", short(row.caller));
    caller.title = row.caller;
    line.append(
      element("td", new Date(row.at_s * 1000).toLocaleTimeString()), caller,
      element("td", row.outcome.replaceAll("_", " "), row.outcome === "answered" ? "" : "trouble"), prediction(row),
      element("td", number(row.ms, 1), "number"),
      element("td", row.margin_s === null ? "–" : number(row.margin_s, 1) + " s", "number"),
      element("td", row.notes.join(", "), "notes"));
    return line;
  }));
}

function drawExits(rows) {
  at("exits-section").hidden = rows.length === 0;
  at("exits").replaceChildren(...rows.map((row) => {
    const line = element("tr");
    line.append(
      element("td", row.path.join(" → ")), element("td", row.certified ? "yes" : "no"),
      element("td", number(row.count), "number"), element("td", percent(row.share), "number"),
      element("td", number(row.p50_ms, 1), "number"), element("td", number(row.p95_ms, 1), "number"));
    return line;
  }));
}

function drawAlarms(alarms) {
  at("alarms").hidden = alarms.length === 0;
  at("alarms").replaceChildren(...alarms.map((alarm) => {
    const line = element("li", alarm.text + " (since " + new Date(alarm.since_s * 1000).toLocaleString() + ")");
    line.className = alarm.level === "fail" ? "fail" : "warn";
    return line;
  }));
}

function draw(status) {
  drawHead(status);
  drawAlarms(status.alarms || []);
  drawCounts(status);
  drawEngine(status.engine);
  drawChain(status);
  drawReward(status.reward);
  drawHotkeys(status.hotkeys || []);
  drawPayouts(status.payouts);
  drawExits(status.exits);
  drawRecent(status.recent);
}

// Sections: a name, the command without which it is not offered, and how it is drawn.
const TABS = {
  now: { draw: () => undefined },
  rewards: { needs: "rewards_history", draw: rewards.show, again_ms: 30000 },
  models: { needs: "models", draw: models.show, again_ms: 2000 },
  review: { needs: "review_next", draw: review.show, again_ms: 10000 },
  jobs: { needs: "jobs", draw: jobs.show, again_ms: 5000 },
  capture: { needs: "capture_status", draw: capture.show, again_ms: 15000 },
};
let known = new Set();
let drawnAt = 0;

const offered = (name) => !TABS[name].needs || known.has(TABS[name].needs);

function current() {
  const asked = location.hash.slice(1);
  return asked in TABS && offered(asked) ? asked : "now";
}

async function turn() {
  const open = current();
  for (const name of Object.keys(TABS)) {
    at("tab-" + name).hidden = name !== open;
    const link = at("to-" + name);
    link.parentElement.hidden = !offered(name);
    if (name === open) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  drawnAt = Date.now();
  try {
    await TABS[open].draw(known);
    at("trouble").hidden = true;
  } catch (error) {
    notice("trouble", "fail", error.message);
  }
}

function follow() {
  const again = TABS[current()].again_ms;
  if (again && Date.now() - drawnAt >= again) turn();
}

let answeredAt = Date.now();

async function poll() {
  try {
    draw(await read("/status.json"));
    answeredAt = Date.now();
    at("lost").hidden = true;
    if (known.size === 0) {
      known = new Set(await read("/v1/commands"));
      turn();
    }
    follow();
  } catch (error) {
    at("lost").hidden = false;
    at("lost").textContent = "The miner has not answered this page for " + span((Date.now() - answeredAt) / 1000) + " (" + error.message + "). What follows is old.";
  }
  setTimeout(poll, POLL_MS);
}

addEventListener("hashchange", turn);
turn();
poll();
