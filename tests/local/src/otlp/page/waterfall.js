// One trace: what it did, when, and which traces came before and after.

import { make } from "./tables.js";
import { number, short, time } from "./text.js";

/** Deeper spans are not drawn further in. */
const DEEPEST = 8;

/** Spans in the order in which they are read: each below the one that it is part of. */
function ordered(spans) {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const below = new Map();
  for (const span of spans) {
    const parent = ids.has(span.parentId) ? span.parentId : "";
    below.set(parent, [...(below.get(parent) ?? []), span]);
  }
  const all = [];
  const seen = new Set();
  const visit = (span, depth) => {
    if (seen.has(span.spanId)) return;
    seen.add(span.spanId);
    all.push({ span, depth });
    for (const child of below.get(span.spanId) ?? []) visit(child, depth + 1);
  };
  for (const span of below.get("") ?? []) visit(span, 0);
  // What is part of itself, by way of others, is part of nothing else.
  for (const span of spans) visit(span, 0);
  return all;
}

function row({ span, depth }, whole) {
  const name = make("span", { className: "name", textContent: span.failed ? `${span.name} ✕ failed` : span.name, title: span.name });
  name.style.paddingLeft = `${Math.min(depth, DEEPEST) * 14}px`;
  name.classList.toggle("bad", span.failed);
  const bar = make("span", { className: "bar" });
  bar.classList.toggle("out", span.kind === "client" || span.kind === "producer");
  bar.classList.toggle("failed", span.failed);
  bar.style.left = `${(span.afterMillis / whole) * 100}%`;
  bar.style.width = `${Math.min(span.millis / whole, 1) * 100}%`;
  const track = make("span", { className: "track" }, bar);
  track.setAttribute("aria-hidden", "true");
  const took = make("span", { className: "took", textContent: `${number(span.millis)} ms` });
  const about = make("dl");
  const told = [
    ["begins after", `${number(span.afterMillis)} ms`],
    ["kind", span.kind],
    ["span id", span.spanId],
    ...(span.message ? [["error", span.message]] : []),
    ...Object.entries(span.attributes),
  ];
  for (const [term, text] of told) about.append(make("dt", { textContent: term }), make("dd", { textContent: text }));
  return make("li", {}, make("details", {}, make("summary", {}, name, track, took), about));
}

/** A list of traces to go on to; those of which nothing came are only named. */
function links(title, traces, open) {
  const items = traces.map(({ id, name, at }) => {
    const text = name ? `${name} at ${time(at)}, ${short(id)}` : id;
    const button = make("button", { type: "button", textContent: text, title: `Open trace ${id}` });
    button.addEventListener("click", () => open(id));
    return make("li", {}, button);
  });
  return items.length ? [make("h3", { textContent: title }), make("ul", {}, ...items)] : [];
}

/** Draws a trace into `place`; `open(id)` opens another. */
export function drawTrace(place, trace, open) {
  const title = `${trace.name}${trace.partition ? `, partition ${trace.partition}` : ""}: ${number(trace.millis)} ms`;
  const whole = Math.max(trace.millis, 0.001);
  place.replaceChildren(
    make("h3", { textContent: trace.failed ? `${title} ✕ failed` : title }),
    make("p", { className: "quiet" }, `${time(trace.at)}, trace `, make("code", { textContent: trace.id })),
    make("ol", {}, ...ordered(trace.spans).map((one) => row(one, whole))),
    ...links("Follows from", trace.earlier, open),
    ...links("Followed by", trace.later, open),
  );
}

/** Says that no span of a trace came, and which traces follow from it. */
export function drawNothing(place, id, later, open) {
  place.replaceChildren(
    make("p", {}, "No span of trace ", make("code", { textContent: id }), " is here: it was not sampled, is too long ago, or belongs to who sent the event."),
    ...links("Followed by", later, open),
  );
}
