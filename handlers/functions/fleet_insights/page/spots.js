// Hot spots: each cell's middle on a plane of its own, large where there is much. For places a few hundred kilometers apart at most a
// degree is as long everywhere, but for the cosine of the latitude.

import { duration, whole } from "./figures.js";
import { svg } from "./charts.js";

const WIDTH = 640;
const HEIGHT = 400;
const MARGIN = 34;
const LARGEST = 16;
const METERS_A_DEGREE = 111_195;

/** Rows of the table; the picture has all. */
const ROWS = 20;

const nearestTo = (longitude, other) => longitude + 360 * Math.round((other - longitude) / 360);

/** Where the cells are in the picture, and how many of its units a kilometer has. */
export function project(cells) {
  if (cells.length === 0) return { places: [], kilometer: 0 };
  const longitudes = cells.map(({ longitude }) => nearestTo(longitude, cells[0].longitude));
  const latitudes = cells.map(({ latitude }) => latitude);
  const [west, east] = [Math.min(...longitudes), Math.max(...longitudes)];
  const [south, north] = [Math.min(...latitudes), Math.max(...latitudes)];
  const narrow = Math.max(0.01, Math.cos((((south + north) / 2) * Math.PI) / 180));
  const least = 0.01;
  const scale = Math.min(
    (WIDTH - 2 * MARGIN) / Math.max(least, (east - west) * narrow),
    (HEIGHT - 2 * MARGIN) / Math.max(least, north - south),
  );
  const places = cells.map((cell, index) => ({
    cell,
    x: WIDTH / 2 + (longitudes[index] - (west + east) / 2) * narrow * scale,
    y: HEIGHT / 2 - (cell.latitude - (south + north) / 2) * scale,
  }));
  return { places, kilometer: (scale * 1_000) / METERS_A_DEGREE };
}

/** The longest of 1, 2, 5, 10, … kilometers that is no more than a third of the picture. */
export function bar(kilometer) {
  let length = 0.01;
  for (let power = 0.01; power <= 10_000; power *= 10) {
    for (const factor of [1, 2, 5]) if (factor * power * kilometer <= WIDTH / 3) length = factor * power;
  }
  return length;
}

const NAMES = { pickUps: "pick-ups", dropOffs: "drop-offs", flight: "time in flight" };

export function drawSpots(picture, table, kind, cells, days) {
  const of = ({ count, seconds }) => count ?? seconds ?? 0;
  const say = (cell) => (cell.seconds === undefined ? whole(of(cell)) : duration(of(cell)));
  const most = Math.max(1, ...cells.map(of));
  const { places, kilometer } = project(cells);
  // The small ones last, or the large ones would hide them.
  const sorted = [...places].sort((one, other) => of(other.cell) - of(one.cell));
  const spots = sorted.map(({ cell, x, y }) => {
    const radius = Math.max(2, LARGEST * Math.sqrt(of(cell) / most));
    const circle = svg("circle", { class: "spot", cx: x.toFixed(1), cy: y.toFixed(1), r: radius.toFixed(1) });
    circle.append(svg("title", {}, `${cell.cell}: ${say(cell)}`));
    return circle;
  });
  if (cells.length > 0) {
    const length = bar(kilometer);
    const [end, base] = [WIDTH - 12, HEIGHT - 12];
    const start = end - length * kilometer;
    spots.push(svg("line", { class: "grid", x1: start, x2: end, y1: base, y2: base }));
    spots.push(svg("text", { x: end, y: base - 5, "text-anchor": "end" }, length < 1 ? `${length * 1_000} m` : `${length} km`));
  } else {
    spots.push(svg("text", { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "None."));
  }
  picture.setAttribute("aria-label", `Where the fleet's ${NAMES[kind]} are: ${cells.length} cells. The hottest are in the table.`);
  picture.replaceChildren(...spots);

  const caption = document.createElement("caption");
  caption.textContent = `${cells.length > ROWS ? `The first ${ROWS} of ${cells.length} cells` : "All cells"}, ${days}`;
  const head = row("th", ["H3 cell", "Middle", kind === "flight" ? "In flight" : "Count"]);
  const rows = cells.slice(0, ROWS).map((cell) => {
    const middle = `${cell.latitude.toFixed(4)}, ${cell.longitude.toFixed(4)}`;
    return row("td", [cell.cell, middle, say(cell)]);
  });
  const [thead, tbody] = [document.createElement("thead"), document.createElement("tbody")];
  thead.append(head);
  tbody.append(...rows);
  table.replaceChildren(caption, thead, tbody);
}

function row(kind, texts) {
  const tr = document.createElement("tr");
  texts.forEach((text, index) => {
    const cell = document.createElement(index === 0 ? "th" : kind);
    if (cell.tagName === "TH") cell.scope = kind === "th" ? "col" : "row";
    cell.textContent = text;
    tr.append(cell);
  });
  return tr;
}
