// Asks the miner. On another machine the token of page.token is needed: it is asked for once a session.

import { at } from "./dom.js";

const KEY = "streetvision-token";

export class Refused extends Error {}

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, authorization: "Bearer " + token } : more;
}

async function answered(reply) {
  if (reply.ok) return reply;
  const told = await reply.json().catch(() => ({}));
  if (reply.status === 401 || told.error === "remote") at("token-form").hidden = false;
  throw new Refused(told.message || "HTTP " + reply.status);
}

export async function read(path) {
  const signal = AbortSignal.timeout(8000);
  return (await answered(await fetch(path, { cache: "no-store", headers: headers(), signal }))).json();
}

export async function call(name, given = {}) {
  const sent = { method: "POST", headers: headers({ "content-type": "application/json" }), body: JSON.stringify(given) };
  const reply = await answered(await fetch("/v1/commands/" + name, { ...sent, signal: AbortSignal.timeout(40000) }));
  return (await reply.json()).result;
}

export async function picture(digest) {
  const reply = await answered(await fetch("/v1/pictures/" + digest, { headers: headers() }));
  return URL.createObjectURL(await reply.blob());
}

at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("token").value.trim());
  location.reload();
});
