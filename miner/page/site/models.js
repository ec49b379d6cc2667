// Which models serve, which wait; swap and rollback.

import { call } from "./ask.js";
import { at, button, element, moment, notice, table } from "./dom.js";

const metrics = (found) =>
  Object.entries(found || {}).map(([name, value]) => name + " " + (typeof value === "number" ? value.toPrecision(3) : value)).join(", ");

async function order(name, given) {
  try {
    await call(name, given);
    notice("models-said", "ok", name + " has begun");
    show();
  } catch (error) {
    notice("models-said", "fail", error.message);
  }
}

function swapButton(tier, row) {
  if (row.role === "champion" || row.quarantined) return row.quarantined || "";
  return button("Swap in", () => order("swap", { tier, version: row.version, force: at("force").checked }));
}

function drawTier(tier) {
  const made = element("section");
  const head = element("div", undefined, "row");
  head.append(element("h3", tier.tier + ": " + (tier.champion || "what the settings name") + " serves"));
  if (tier.champion) head.append(button("Roll back", () => order("rollback", { tier: tier.tier })));
  const rows = tier.versions.map((row) => [
    row.version, row.role, row.created ? moment(Date.parse(row.created) / 1000 || row.created) : "–", row.source || "–", metrics(row.metrics),
    swapButton(tier.tier, row)]);
  made.append(head, table(["Version", "Role", "Since", "Source", "Metrics", ""], rows,
    { empty: "No version has come in: put one into the watched folder, or let the miner learn." }));
  return made;
}

export async function show() {
  const found = await call("models");
  const now = found.under_way;
  notice("swap-now", "warn", now ? now.tier + " → " + (now.version || "the settings' own") + ": " + now.step : "");
  notice("swap-last", "unknown", found.last ? "Last: " + found.last.sentence : "");
  at("tiers").replaceChildren(...found.tiers.map(drawTier),
    ...Object.entries(found.refused).map(([place, why]) => element("p", "Refused " + place + ": " + why, "notice fail")));
}
