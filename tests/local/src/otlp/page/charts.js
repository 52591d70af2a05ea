// A line of the last ten minutes.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 150;
const HEIGHT = 24;

/** An empty line, for `draw`. */
export function line() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "line");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.append(document.createElementNS(SVG, "path"));
  return svg;
}

/** Draws the values; `label` says what they are to those who do not see them. */
export function draw(svg, values, label) {
  const most = Math.max(...values, 0);
  svg.setAttribute("aria-label", label);
  const x = (index) => ((index / Math.max(values.length - 1, 1)) * WIDTH).toFixed(1);
  const y = (value) => (HEIGHT - 1 - (most ? value / most : 0) * (HEIGHT - 2)).toFixed(1);
  // Several seconds share a pixel: the largest of them shows.
  const step = Math.ceil(values.length / WIDTH);
  const points = [];
  for (let index = 0; index < values.length; index += step) {
    const value = Math.max(...values.slice(index, index + step));
    points.push(`${x(index)} ${y(value)}`);
  }
  svg.firstChild.setAttribute("d", `M${points.join("L")}`);
}
