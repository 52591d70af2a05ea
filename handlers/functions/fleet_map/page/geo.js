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
