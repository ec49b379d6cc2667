// What was paid, day by day; what we reckon each validator thinks of us; whether anything was forgotten.

import { call } from "./ask.js";
import { amount, at, bars, element, moment, number, percent, short, table } from "./dom.js";

function drawDays(days) {
  if (days.length === 0) return at("days").replaceChildren(element("p", "No epoch has paid yet.", "quiet"));
  const sum = days.reduce((total, day) => total + day.alpha, 0);
  const words = "Alpha a day, " + days.length + " days: " + amount(sum) + " α in all";
  const rows = days.slice(-14).reverse().map((day) => [
    day.date, amount(day.alpha), amount(day.tao), number(day.epochs), percent(day.incentive), number(day.rank)]);
  at("days").replaceChildren(
    element("p", words, "quiet"), bars(days, { value: (day) => day.alpha, name: (day) => day.date, words }),
    table(["Day", "α", "TAO", "Epochs", "Incentive", "Best rank"], rows, { numbers: [1, 2, 3, 4, 5] }));
}

// Exact where every label is known, else from the worst to the best that the unknown ones allow.
function between([low, high]) {
  return number(high, 3) === number(low, 3) ? number(low, 3) : number(low, 3) + " to " + number(high, 3);
}

function drawTwins(rows) {
  const cells = rows.map((row) => [
    short(row.hotkey), percent(row.share), percent(row.weight), number(row.challenges), number(row.known),
    number(row.unanswered), between([row.worst, row.best]), between(row.mcc)]);
  at("twins").replaceChildren(table(
    ["Validator", "Stake", "Weight for us", "Challenges", "Labels known", "Missed", "Score", "MCC"], cells,
    { numbers: [1, 2, 3, 4, 5, 6, 7], empty: "No validator has asked yet." }));
}

function drawSlices(rows) {
  const cells = rows.map((row) => [
    moment(row.at_s), row.tier, short(row.version), row.slice, number(row.count), percent(row.accuracy), number(row.mcc, 3)]);
  at("slices").replaceChildren(table(["When", "Tier", "Version", "Slice", "Images", "Accuracy", "MCC"], cells,
    { numbers: [4, 5, 6], empty: "Measured after each promotion." }));
}

export async function show(known) {
  const found = await call("rewards_history");
  drawDays(found.days);
  drawTwins(found.twins);
  if (known.has("accuracy_history")) drawSlices(await call("accuracy_history"));
}
