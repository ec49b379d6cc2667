// Whether images are kept, how many, and how to be rid of them.

import { call } from "./ask.js";
import { at, button, bytes, facts, moment, notice, number } from "./dom.js";

let sure = false;

async function order(name, given, said) {
  try {
    const result = await call(name, given);
    notice("capture-said", "ok", said(result));
  } catch (error) {
    notice("capture-said", "fail", error.message);
  }
  sure = false;
  show();
}

function purge() {
  if (!sure) {
    sure = true;
    at("capture-purge").textContent = "Press again: every kept image and its row are deleted";
    return;
  }
  order("capture_purge", {}, (found) => number(found.files) + " files and " + number(found.rows) + " rows deleted, " + number(found.left) + " left");
}

export async function show() {
  const found = await call("capture_status");
  at("capture-state").textContent = found.enabled ? "Images are kept" : "No image is kept";
  facts("capture-facts", [
    ["images", number(found.count)], ["size", bytes(found.bytes) + " of " + bytes(found.most_bytes)],
    ["waiting for a label", number(found.unlabelled)], ["oldest", moment(found.oldest_s)],
    ["kept for at most", number(found.days) + " days"], ["stopped because", found.stopped || ""],
  ]);
  const toggle = button(found.enabled ? "Keep no more" : "Keep hard cases", () =>
    order("capture_set", { enabled: !found.enabled }, () => (found.enabled ? "off" : "on")));
  const erase = button("Delete all kept images", purge, "danger");
  erase.id = "capture-purge";
  at("capture-orders").replaceChildren(toggle, erase);
}
