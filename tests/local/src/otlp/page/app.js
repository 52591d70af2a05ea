// The page: asks once a second what happens, and shows it.

import { show } from "./sections.js";
import { theme } from "./theme.js";
import { begin, list, open } from "./traces.js";
import { count, time } from "./text.js";

const PACE = 1_000;
const PATIENCE = 5_000;

const element = (id) => document.getElementById(id);

let paused = false;
let timer = null;
let last = null;

function say(kind, text) {
  const place = element("state");
  place.dataset.state = kind;
  if (place.textContent !== text) place.textContent = text;
}

async function ask() {
  clearTimeout(timer);
  try {
    const response = await fetch("state.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!response.ok) throw new Error(`answer ${response.status}`);
    const state = await response.json();
    if (paused) return;
    last = state.now;
    show(state, open);
    list(state.traces);
    say("shown", `${count(state.processes)} ${state.processes === 1 ? "process has" : "processes have"} sent metrics`);
  } catch {
    say("failed", last ? `The local system does not answer; this is as of ${time(last)}` : "The local system does not answer");
  }
  if (!paused && !document.hidden) timer = setTimeout(ask, PACE);
}

element("pause").addEventListener("click", ({ currentTarget }) => {
  paused = !paused;
  currentTarget.setAttribute("aria-pressed", String(paused));
  if (paused) say("paused", `Paused at ${last ? time(last) : "the start"}`);
  else ask();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !paused) ask();
});

theme(() => {});
begin();
ask();
