// Small helpers to draw with. Text reaches the page through textContent only: nothing a caller sent is markup.

export const at = (id) => document.getElementById(id);

export function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function shape(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const missing = (value) => value === null || value === undefined;

export const short = (key) => (key.length > 7 ? key.slice(0, 6) + "…" : key);

export const number = (value, digits = 0) =>
  missing(value)
    ? "–"
    : value.toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const percent = (value) => (missing(value) ? "–" : number(100 * value, 1) + " %");

export function span(seconds) {
  if (missing(seconds)) return "–";
  if (seconds < 120) return Math.round(seconds) + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  if (seconds < 172800) return Math.round(seconds / 3600) + " h";
  return Math.round(seconds / 86400) + " days";
}

export function amount(value) {
  if (missing(value)) return "–";
  if (value === 0) return "0";
  return value >= 100 ? number(value) : value.toPrecision(3);
}

export const bytes = (value) => (missing(value) ? "–" : number(value / 1e6, 1) + " MB");

export const moment = (seconds) => (missing(seconds) ? "–" : new Date(seconds * 1000).toLocaleString());

export function facts(id, pairs) {
  const shown = pairs.filter(([, value]) => value !== "" && !missing(value));
  at(id).replaceChildren(...shown.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

export function notice(id, level, text) {
  at(id).className = "notice " + level;
  at(id).textContent = text;
  at(id).hidden = text === "";
}

// Cells are strings, or elements as they are; `numbers` are the columns that are set to the right.
export function table(heads, rows, { numbers = [], empty = "Nothing yet." } = {}) {
  if (rows.length === 0) return element("p", empty, "quiet");
  const made = element("table");
  const head = made.createTHead().insertRow();
  heads.forEach((name, column) => head.append(element("th", name, numbers.includes(column) ? "number" : "")));
  const body = made.createTBody();
  for (const cells of rows) {
    const line = body.insertRow();
    cells.forEach((content, column) => {
      const cell = line.insertCell();
      if (numbers.includes(column)) cell.className = "number";
      cell.append(content);
    });
  }
  const scroll = element("div", undefined, "scroll");
  scroll.tabIndex = 0; // so that a wide table can be scrolled with the keys
  scroll.append(made);
  return scroll;
}

export function button(label, act, className) {
  const made = element("button", label, className);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

// Bars with their scale: the highest value at the top, the first and the last name below.
export function bars(rows, { value, name, words }) {
  const [width, height, foot] = [600, 150, 18];
  const most = Math.max(...rows.map(value)) || 1;
  const step = width / Math.max(rows.length, 14);
  const chart = shape("svg", { viewBox: `0 0 ${width} ${height + foot}`, role: "img", "aria-label": words });
  chart.append(shape("line", { x1: 0, x2: width, y1: height, y2: height, class: "axis" }));
  rows.forEach((row, index) => {
    const tall = (height - 16) * Math.max(0, value(row) / most);
    const bar = shape("rect", { x: index * step, y: height - tall, width: step * 0.8, height: Math.max(tall, 0.5) });
    bar.append(shape("title", {}, name(row) + ": " + amount(value(row))));
    chart.append(bar);
  });
  chart.append(shape("text", { x: 0, y: 10 }, amount(most)));
  chart.append(shape("text", { x: 0, y: height + 14 }, name(rows[0])));
  const last = shape("text", { x: width, y: height + 14, "text-anchor": "end" }, name(rows.at(-1)));
  if (rows.length > 1) chart.append(last);
  return chart;
}
