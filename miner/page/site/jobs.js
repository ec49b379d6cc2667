// What runs by the clock.

import { call } from "./ask.js";
import { at, button, element, moment, notice, number, table } from "./dom.js";

async function order(name, job) {
  try {
    await call(name, { name: job });
    notice("jobs-said", "ok", job + ": " + { job_run: "has run, or runs", job_pause: "paused", job_resume: "goes on" }[name]);
    show();
  } catch (error) {
    notice("jobs-said", "fail", error.message);
  }
}

function orders(row) {
  const made = element("span", undefined, "row");
  if (!row.running) made.append(button("Run now", () => order("job_run", row.name)));
  made.append(row.paused
    ? button("Resume", () => order("job_resume", row.name))
    : button("Pause", () => order("job_pause", row.name)));
  return made;
}

function last(row) {
  if (row.running) return "running";
  return row.last ? row.last.outcome + " in " + number(row.last.seconds, 1) + " s: " + row.last.detail : "not yet";
}

export async function show() {
  const rows = (await call("jobs")).map((row) => [
    row.name, row.when, row.last ? moment(row.last.at_s) : "–", last(row),
    row.paused ? "paused" : moment(row.next_s), orders(row)]);
  at("jobs-list").replaceChildren(table(["Job", "When", "Last", "Result", "Next", ""], rows));
}
