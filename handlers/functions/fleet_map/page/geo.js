// Where a point is on the map's square world, and which way one point lies from another.

const MOST_NORTH = 85.0511287798;

/** From degrees to the square world of Web Mercator: 0 to 1, from the date line eastwards. */
export const worldX = (longitude) => (longitude + 180) / 360;

/** 0 in the north to 1 in the south. */
export function worldY(latitude) {
  const sine = Math.sin((Math.max(-MOST_NORTH, Math.min(MOST_NORTH, latitude)) * Math.PI) / 180);
  return 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
}

/** The way from one world point to another, the short way round: clockwise from north, in radians. */
export const heading = (dx, dy) => Math.atan2(dx, -dy);

/** `to - from` along x, the short way round the world. */
export function shortWay(from, to) {
  const way = to - from;
  return way - Math.round(way);
}

/** A longitude's copy, whole turns away, that is nearest to another longitude: the map repeats the world. */
export const nearestCopy = (longitude, to) => longitude + 360 * Math.round((to - longitude) / 360);

/**
 * The smallest box that holds all places: `[[south, west], [north, east]]` in degrees. Where it goes over the
 * antimeridian, its east is more than 180. There must be a place.
 */
export function boxOf(places) {
  const longitudes = places.map(({ longitude }) => longitude).sort((one, other) => one - other);
  let west = longitudes[0];
  let east = longitudes.at(-1);
  // What the box leaves out is the widest gap between neighbours, round the world.
  let widest = west + 360 - east;
  for (let index = 1; index < longitudes.length; index += 1) {
    const gap = longitudes[index] - longitudes[index - 1];
    if (gap > widest) {
      [widest, west, east] = [gap, longitudes[index], longitudes[index - 1] + 360];
    }
  }
  let [south, north] = [90, -90];
  for (const { latitude } of places) {
    south = Math.min(south, latitude);
    north = Math.max(north, latitude);
  }
  return [[south, west], [north, east]];
}
