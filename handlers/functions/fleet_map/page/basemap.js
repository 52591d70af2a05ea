// The ground under the drones, without any network but this app's own: land, coast and a graticule, in
// tiles that Leaflet moves and keeps.

import { worldX, worldY } from "./geo.js";

const L = window.L;

/** Widths of the graticule's meshes, in degrees. */
const MESHES = [30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];

/** About this far apart, in pixels, the graticule's lines are at least. */
const MESH_PIXELS = 110;

/** Rings of land on the square world: flat arrays of x and y, each with its bounds. */
export async function loadLand(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the coastline answered ${response.status}`);
  return rings(await response.json());
}

/** Decodes TopoJSON: arcs are quantized, each point the difference from the one before. */
function rings(topology) {
  const [scaleX, scaleY] = topology.transform.scale;
  const [originX, originY] = topology.transform.translate;
  const arcs = topology.arcs.map((arc) => {
    let x = 0;
    let y = 0;
    return arc.map(([dx, dy]) => {
      x += dx;
      y += dy;
      return [worldX(x * scaleX + originX), worldY(y * scaleY + originY)];
    });
  });
  const polygons = topology.objects.land.geometries.flatMap(({ type, arcs }) => (type === "Polygon" ? [arcs] : arcs));
  return polygons.flat().map((ring) => {
    const points = ring.flatMap((index) => (index < 0 ? [...arcs[~index]].reverse() : arcs[index]));
    const xs = points.map(([x]) => x);
    const ys = points.map(([, y]) => y);
    return { points, west: min(xs), east: max(xs), north: min(ys), south: max(ys) };
  });
}

const min = (values) => values.reduce((one, other) => Math.min(one, other));
const max = (values) => values.reduce((one, other) => Math.max(one, other));

export const Basemap = L.GridLayer.extend({
  initialize(land, color) {
    L.GridLayer.prototype.initialize.call(this, { keepBuffer: 1, updateWhenZooming: false });
    Object.assign(this, { land, color });
  },

  createTile(coords) {
    const tile = document.createElement("canvas");
    const ratio = window.devicePixelRatio || 1;
    tile.width = 256 * ratio;
    tile.height = 256 * ratio;
    const context = tile.getContext("2d");
    context.scale(ratio, ratio);
    const tiles = 2 ** coords.z;
    const view = {
      context,
      size: 256 * tiles,
      // The world repeats to the east and the west.
      west: (((coords.x % tiles) + tiles) % tiles) / tiles,
      north: coords.y / tiles,
      width: 1 / tiles,
    };
    context.fillStyle = this.color("sea");
    context.fillRect(0, 0, 256, 256);
    this.drawLand(view);
    this.drawGraticule(view, coords.z);
    return tile;
  },

  drawLand({ context, size, west, north, width }) {
    context.beginPath();
    for (const ring of this.land) {
      const away = ring.east < west || ring.west > west + width || ring.south < north || ring.north > north + width;
      if (away) continue;
      ring.points.forEach(([x, y], index) => {
        const place = [(x - west) * size, (y - north) * size];
        if (index === 0) context.moveTo(...place);
        else context.lineTo(...place);
      });
      context.closePath();
    }
    context.fillStyle = this.color("land");
    context.fill("evenodd");
    context.strokeStyle = this.color("coast");
    context.lineWidth = 1;
    context.stroke();
  },

  drawGraticule({ context, size, west, north, width }, zoom) {
    const mesh = meshAt(zoom);
    context.beginPath();
    for (const longitude of steps(west * 360 - 180, (west + width) * 360 - 180, mesh)) {
      const x = (worldX(longitude) - west) * size;
      context.moveTo(x, 0);
      context.lineTo(x, 256);
    }
    for (const latitude of steps(latitudeAt(north + width), latitudeAt(north), mesh)) {
      const y = (worldY(latitude) - north) * size;
      context.moveTo(0, y);
      context.lineTo(256, y);
    }
    context.strokeStyle = this.color("graticule");
    context.lineWidth = 1;
    context.stroke();
  },
});

/** Degrees between two lines at a zoom. */
export function meshAt(zoom) {
  const degrees = (360 / (256 * 2 ** zoom)) * MESH_PIXELS;
  return MESHES.findLast((mesh) => mesh >= degrees) ?? MESHES[0];
}

/** Multiples of `step` from `from` to `to`. */
export function* steps(from, to, step) {
  for (let index = Math.ceil(from / step); index * step <= to; index += 1) {
    yield Number((index * step).toFixed(6));
  }
}

function latitudeAt(y) {
  return (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI;
}
