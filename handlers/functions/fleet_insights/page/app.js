// The page: asks for the period that is chosen, and draws it.

import { NotAllowed, get, setKey, takeKey } from "./ask.js";
import { Chart, cursorText } from "./charts.js";
import { CHARTS, DAY, PERIODS, buckets, questions, spanOf, totals, when } from "./figures.js";
import { drawSpots } from "./spots.js";
import { drawTable, markRow } from "./tables.js";
import { theme } from "./theme.js";

/** Figures change when an hour is summarised, which is every few minutes. */
const PACE = 60_000;

const element = (id) => document.getElementById(id);

let shown = null;
let asking = 0;
let timer = null;

takeKey();
theme(() => {});
const charts = CHARTS.map((chart) => new Chart(chart, (index) => moveTo(index)));
element("charts").append(...charts.map(({ figure }) => figure));

const address = new URL(location.href);
const wanted = address.searchParams.get("range");
const period = () => document.querySelector("#periods :checked").value;
document.querySelector(`#periods [value="${wanted in PERIODS ? wanted : "24h"}"]`).checked = true;

element("periods").addEventListener("change", () => {
  const url = new URL(location.href);
  url.searchParams.set("range", period());
  history.replaceState(null, "", url);
  ask();
});
element("kinds").addEventListener("change", drawKind);
element("cursor").addEventListener("input", ({ target }) => moveTo(Number(target.value)));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) ask();
});
let resizing = null;
new ResizeObserver(() => {
  resizing ??= requestAnimationFrame(() => {
    resizing = null;
    if (shown) drawCharts();
  });
}).observe(element("charts"));

/** Asks for the period; where somebody has chosen another meanwhile, that one's answer counts. */
async function ask() {
  clearTimeout(timer);
  const turn = (asking += 1);
  const span = spanOf(period(), Date.now());
  const asked = questions(span);
  try {
    const [hours, days] = await Promise.all([asked.hours ? get(`../${asked.hours}`) : null, get(`../${asked.days}`)]);
    if (turn !== asking) return;
    show(span, hours ?? days, days);
  } catch (error) {
    if (turn !== asking) return;
    if (error instanceof NotAllowed) askForKey();
    tell("failed", shown ? "No answer; trying again. What is shown is older" : "No answer; trying again");
  }
  timer = setTimeout(ask, PACE);
}

function show(span, answer, days) {
  const places = buckets(span, answer);
  const known = places.some(({ figures }) => figures !== null);
  const newest = places.findLastIndex(({ figures }) => figures !== null);
  const kept = shown?.span.unit === span.unit && shown.span.to === span.to && shown.span.count === span.count;
  shown = { span, places, days, index: kept ? shown.index : newest };
  const asOf = answer.asOf === null ? "Nothing is final yet" : `Final until ${when(Date.parse(answer.asOf))} UTC`;
  tell("shown", known && !answer.complete ? `${asOf}; hatched is not complete` : asOf);
  const damaged = new Map([...(answer.unreadable ?? []), ...(days.unreadable ?? [])].map((one) => [one.file, one]));
  element("unreadable").hidden = damaged.size === 0;
  element("unreadable").replaceChildren(
    ...[...damaged.values()].map(({ file, problem }) => {
      const item = document.createElement("li");
      item.textContent = `Left out: ${file} ${problem}.`;
      return item;
    }),
  );
  element("nothing").hidden = known;
  element("nothing").textContent = "Nothing has been summarised of this time. An hour appears here some minutes after its end.";
  element("shown").hidden = !known;
  if (!known) return;
  element("totals").replaceChildren(
    ...totals(places).map(([name, value]) => {
      const [box, term, text] = ["div", "dt", "dd"].map((kind) => document.createElement(kind));
      term.textContent = name;
      text.textContent = value;
      box.append(term, text);
      return box;
    }),
  );
  element("cursor").max = places.length - 1;
  drawTable(element("figures"), places, span.unit);
  drawCharts();
  drawKind();
}

function drawCharts() {
  for (const chart of charts) chart.draw(shown.places, shown.span.unit);
  moveTo(shown.index);
}

function moveTo(index) {
  if (!shown?.places[index]) return;
  shown.index = index;
  const { short, long } = cursorText(charts, shown.places, index, shown.span.unit);
  const cursor = element("cursor");
  if (cursor.value !== String(index)) cursor.value = index;
  cursor.setAttribute("aria-valuetext", long);
  element("cursor-at").textContent = short;
  markRow(element("figures"), index);
}

function drawKind() {
  if (!shown) return;
  const kind = document.querySelector("#kinds :checked").value;
  const { from, to } = shown.span;
  const days = `${when(from, DAY)} to ${when(to - 1, DAY)}, whole days`;
  drawSpots(element("spots-map"), element("spots-table"), kind, shown.days.hotSpots[kind], days);
}

function tell(state, text) {
  const place = element("state");
  place.dataset.state = state;
  // Said once, not every minute.
  if (place.textContent !== text) place.textContent = text;
}

function askForKey() {
  const dialog = element("key");
  if (dialog.open) return;
  dialog.showModal();
  dialog.onclose = () => {
    const field = element("key-text");
    if (field.value) setKey(field.value);
    field.value = "";
    ask();
  };
}

ask();
