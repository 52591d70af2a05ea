// The charts: bars and lines in SVG. What a chart says is in the tables too; to a screen reader it is a picture with a summary.

import { duration, marks, scale, when } from "./figures.js";

const HEIGHT = 170;
const LEFT = 64;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 22;

const INKS = ["first", "second", "third"];

export function svg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function html(name, kind, ...children) {
  const element = document.createElement(name);
  if (kind) element.className = kind;
  element.append(...children);
  return element;
}

/** One chart in its figure. `point(index)` is called where somebody points at a place. */
export class Chart {
  constructor(chart, point) {
    this.chart = chart;
    this.now = html("span", "now");
    this.picture = svg("svg", { class: "chart", role: "img" });
    const legend = html("div", "legend", ...chart.series.map(({ name }, index) => html("span", "", sample(chart, index), name)));
    legend.append(html("span", "", swatch(chart.id), "not complete"));
    this.figure = html("figure", "", html("figcaption", "", html("span", "name", chart.title), this.now), this.picture, legend);
    this.figure.id = `chart-${chart.id}`;
    const places = ({ offsetX }) => Math.floor((offsetX - LEFT) / this.step);
    for (const kind of ["pointerdown", "pointermove"]) {
      this.picture.addEventListener(kind, (event) => {
        const index = places(event);
        if (this.places?.[index]) point(index);
      });
    }
  }

  /** Draws the places of a period; `unit` is an hour's or a day's length. */
  draw(places, unit) {
    const { chart, picture } = this;
    Object.assign(this, { places, unit });
    const width = Math.max(240, Math.round(picture.clientWidth || 440));
    const [wide, high] = [width - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
    this.step = wide / places.length;
    const values = chart.series.map(({ of }) => places.map(({ figures }) => of(figures)));
    const known = values.flat().filter((value) => value !== null);
    const { top, step } = scale(chart.most ?? Math.max(0, ...known), chart.say === duration);
    const x = (index) => LEFT + index * this.step;
    const y = (value) => TOP + high - (Math.min(value, top) / top) * high;
    const parts = [hatching(`${chart.id}-hatch`)];
    for (let level = 0; level <= top + step / 2; level += step) {
      parts.push(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(level), y2: y(level) }));
      parts.push(svg("text", { x: LEFT - 6, y: y(level) + 4, "text-anchor": "end" }, chart.say(level)));
    }
    for (const { index, text } of marks(places, unit)) {
      parts.push(svg("text", { x: x(index), y: HEIGHT - 6, "text-anchor": index === 0 ? "start" : "middle" }, text));
    }
    const hatched = `url(#${chart.id}-hatch)`;
    places.forEach(({ complete }, index) => {
      const value = values[0][index];
      if (chart.bars && value !== null) {
        const box = { x: x(index) + this.step * 0.1, width: this.step * 0.8, y: y(value), height: TOP + high - y(value) };
        parts.push(svg("rect", { ...box, class: complete ? "first bar" : "first bar open" }));
        if (!complete) parts.push(svg("rect", { ...box, fill: hatched, class: "unfinished" }));
      } else if (!complete) {
        parts.push(svg("rect", { x: x(index), width: this.step, y: TOP, height: high, fill: hatched, class: "unfinished" }));
      }
    });
    if (!chart.bars) values.forEach((series, index) => parts.push(...lines(series, INKS[index], (place) => x(place + 0.5), y)));
    this.cursor = svg("line", { class: "cursor", y1: TOP, y2: TOP + high });
    picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    picture.setAttribute("aria-label", this.summary(known));
    picture.replaceChildren(...parts, this.cursor);
  }

  summary(known) {
    const { title, say } = this.chart;
    if (known.length === 0) return `${title}: nothing is known. The figures are in the table below.`;
    return `${title}: from ${say(Math.min(...known))} to ${say(Math.max(...known))}. The figures are in the table below.`;
  }

  /** Puts the cursor to a place, and says what is there. */
  at(index) {
    const { series, say } = this.chart;
    const x = LEFT + (index + 0.5) * this.step;
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    const { figures } = this.places[index];
    const one = series.length === 1;
    this.now.textContent = series.map(({ name, of }) => (one ? say(of(figures)) : `${name} ${say(of(figures))}`)).join(", ");
    return `${this.chart.title} ${this.now.textContent}`;
  }
}

/** What is known without a break is one line; a lonely value is a point. */
function lines(series, ink, x, y) {
  const parts = [];
  let run = [];
  const end = () => {
    if (run.length === 1) parts.push(svg("circle", { class: `${ink} point`, cx: run[0][0], cy: run[0][1], r: 2.5 }));
    if (run.length > 1) {
      const way = run.map(([left, top]) => `${left.toFixed(1)} ${top.toFixed(1)}`).join("L");
      parts.push(svg("path", { class: `${ink} series`, d: `M${way}` }));
    }
    run = [];
  };
  series.forEach((value, index) => {
    if (value === null) end();
    else run.push([x(index), y(value)]);
  });
  end();
  return parts;
}

function hatching(id) {
  const stripe = svg("line", { class: "stripe", x1: 0, y1: 0, x2: 0, y2: 6 });
  const pattern = { id, patternUnits: "userSpaceOnUse", width: 6, height: 6, patternTransform: "rotate(45)" };
  return svg("defs", {}, svg("pattern", pattern, stripe));
}

/** For the legend: what a series looks like. */
function sample(chart, index) {
  const ink = INKS[index];
  const shape = chart.bars
    ? svg("rect", { class: `${ink} bar`, x: 0, y: 0, width: 18, height: 10 })
    : svg("path", { class: `${ink} series`, d: "M0 5L18 5" });
  return svg("svg", { viewBox: "0 0 18 10", "aria-hidden": "true" }, shape);
}

function swatch(id) {
  const box = svg("rect", { x: 0, y: 0, width: 18, height: 10, fill: `url(#${id}-key)` });
  return svg("svg", { viewBox: "0 0 18 10", "aria-hidden": "true" }, hatching(`${id}-key`), box);
}

/** Moves one cursor through all charts. */
export function cursorText(charts, places, index, unit) {
  const { at, complete, figures } = places[index];
  const said = charts.map((chart) => chart.at(index));
  const state = figures === null ? "nothing is known" : complete ? "complete" : "not complete";
  return { short: `${when(at, unit)}, ${state}`, long: `${when(at, unit)}, ${state}. ${said.join("; ")}` };
}
