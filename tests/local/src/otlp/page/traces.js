// The last traces: found, listed, and one of them opened. `#trace=ID` in the address opens it too.

import { make, rows, write } from "./tables.js";
import { count, number, short, time } from "./text.js";
import { drawNothing, drawTrace } from "./waterfall.js";

/** More rows than these say nothing more. */
const SHOWN = 100;

const element = (id) => document.getElementById(id);

let all = [];
let opened = null;

/** The trace that the address asks for. */
const wanted = () => new URLSearchParams(location.hash.slice(1)).get("trace")?.toLowerCase() ?? null;

/** Opens a trace; the address says so. */
export function open(id) {
  if (wanted() === id) show(id);
  else location.hash = `trace=${id}`;
}

/** Takes the list as it is now. */
export function list(traces) {
  all = traces;
  const names = [...new Set(all.filter(({ isCall }) => isCall).map(({ name }) => name))].sort();
  const choice = element("by-function");
  for (const name of names) {
    const known = [...choice.options].some(({ value }) => value === name);
    if (!known) choice.append(make("option", { value: name, textContent: name }));
  }
  draw();
  // What was asked for may come only now.
  if (opened?.missing) show(opened.id);
}

function found() {
  const id = element("by-id").value.trim().toLowerCase();
  const name = element("by-function").value;
  const failed = element("by-failure").checked;
  const has = (trace) => trace.id.startsWith(id) || trace.follows.some((other) => other.startsWith(id));
  return all.filter((trace) => (!id || has(trace)) && (!name || trace.name === name) && (!failed || trace.failed));
}

function draw() {
  const some = found();
  write(element("found"), `${count(some.length)} of ${count(all.length)}${some.length > SHOWN ? `, the last ${SHOWN} shown` : ""}`);
  const create = ({ id }) => {
    const button = make("button", { type: "button", textContent: short(id), title: `Open trace ${id}` });
    button.addEventListener("click", () => open(id));
    const row = make("tr", {}, make("th", { scope: "row" }, button));
    for (const kind of ["text", "text", "text", "text", "", ""]) row.append(make("td", { className: kind }));
    return row;
  };
  const update = (row, trace) => {
    const told = [trace.name, trace.partition ?? "", trace.failed ? "✕ failed" : "ok", time(trace.at), number(trace.millis), count(trace.spans)];
    told.forEach((text, index) => write(row.children[index + 1], text));
    row.children[3].classList.toggle("bad", trace.failed);
    if (trace.id === opened?.id) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  };
  rows(element("found-traces"), some.slice(0, SHOWN), ({ id }) => id, create, update);
}

async function show(id) {
  const again = opened?.id === id;
  opened = { id, missing: opened?.missing && again };
  const place = element("trace");
  const response = await fetch(`traces/${encodeURIComponent(id)}`, { cache: "no-store" }).catch(() => null);
  const trace = response?.ok ? await response.json() : null;
  // Somebody may have asked for another meanwhile; and who does not answer is told of above.
  if (opened.id !== id || !response?.ok) return;
  if (trace) {
    opened.missing = false;
    drawTrace(place, trace, open);
    place.scrollIntoView({ block: "nearest" });
  } else {
    const later = all.filter(({ follows }) => follows.includes(id));
    const shown = later.map((trace) => trace.id).join();
    // The same again would take the focus away.
    if (!opened.missing || opened.shown !== shown) drawNothing(place, id, later, open);
    opened = { id, missing: true, shown };
  }
  draw();
}

/** Follows the address and the filter. */
export function begin() {
  const follow = () => {
    const id = wanted();
    if (id) show(id);
  };
  addEventListener("hashchange", follow);
  const filter = element("filter");
  filter.addEventListener("input", draw);
  filter.addEventListener("submit", (event) => event.preventDefault());
  follow();
}
