// All figures as a table: what the charts show, for those who read rather than look, and what they leave out.

import { duration, figure, percent, share, when, whole } from "./figures.js";

const phase = (title, name) => [
  [`${title} p50`, `phases.${name}.p50`, duration],
  [`${title} p95`, `phases.${name}.p95`, duration],
];

const COLUMNS = [
  ["Started", "deliveries.started", whole],
  ["Delivered", "deliveries.delivered", whole],
  ["Inferred", "deliveries.inferred", whole],
  ["Returned", "deliveries.returned", whole],
  ["Open", "deliveries.open", whole],
  ["Lost", "deliveries.lost", whole],
  ...phase("Delivery", "delivery"),
  ...phase("To pick-up", "toPickUp"),
  ...phase("Loaded", "loaded"),
  ...phase("Return", "return"),
  ["Drones", "drones", whole],
  ["Kilometers", "distanceKm", whole],
  ["Battery per km", "batteryPerKm", share],
  ["Utilisation", "utilisation", percent],
  ["Completeness", "quality.completeness", percent],
  ["Lag p50", "quality.lagP50", duration],
  ["Lag p99", "quality.lagP99", duration],
  ["Events", "quality.events", whole],
];

/** The newest first; places of which nothing is known are left out. */
export function drawTable(table, places, unit) {
  const head = document.createElement("tr");
  for (const title of ["Time", ...COLUMNS.map(([title]) => title)]) head.append(cell("th", title, "col"));
  const known = places.map((place, index) => ({ ...place, index })).filter(({ figures }) => figures !== null);
  const rows = known.reverse().map(({ at, complete, figures, index }) => {
    const row = document.createElement("tr");
    row.dataset.index = index;
    row.append(cell("th", `${when(at, unit)}${complete ? "" : " *"}`, "row"));
    for (const [, way, say] of COLUMNS) row.append(cell("td", say(figure(figures, way))));
    return row;
  });
  const [thead, tbody] = [document.createElement("thead"), document.createElement("tbody")];
  thead.append(head);
  tbody.append(...rows);
  table.replaceChildren(thead, tbody);
}

/** Marks the row that the cursor is at. */
export function markRow(table, index) {
  for (const row of table.querySelectorAll("tbody tr")) {
    if (row.dataset.index === String(index)) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

function cell(kind, text, scope) {
  const element = document.createElement(kind);
  element.textContent = text;
  if (scope) element.scope = scope;
  return element;
}
