// What the page knows of the drones: their latest state, where they are drawn, and what came before.

import { heading, shortWay, worldX, worldY } from "./geo.js";

/** A drone is drawn on its way from one report to the next for this long: the pace of its reports. */
const GLIDE = 5_000;

/** A longer way than this, in parts of the world (about 40 km), is a jump and not a flight. */
const JUMP = 0.001;

/** Below this, about 2 m, a drone has not moved, and its heading stays. */
const STILL = 5e-8;

/** Places that a trail remembers. */
const TRAIL = 24;

/** Readings that a sparkline shows: at one in 20 s, half an hour. */
const READINGS = 90;

export class Fleet {
  constructor() {
    /** By device id. */
    this.drones = new Map();
    /** `lastSeenAt` of the newest drone, in milliseconds: the hub's clock. */
    this.newest = 0;
    /** The fastest drone's way in a millisecond, in parts of the world. */
    this.fastest = 0;
  }

  /**
   * Takes over a page of columns. Returns how many drones have reported since.
   * `now` is the page's own clock, by which drones are drawn.
   */
  update(columns, now, glide) {
    const until = Date.parse(columns.seenUntil ?? 0);
    let reported = 0;
    columns.deviceId.forEach((id, index) => {
      const seen = until - columns.seenBefore[index];
      let drone = this.drones.get(id);
      if (drone && drone.seen >= seen) return;
      reported += 1;
      if (!drone) {
        drone = { id, heading: 0, x: null, y: null, way: null, trail: [], readings: [], severity: null };
        this.drones.set(id, drone);
      }
      drone.seen = seen;
      drone.status = columns.status[index];
      drone.altitude = columns.altitude[index];
      drone.velocity = columns.velocity[index];
      drone.longitude = columns.longitude[index];
      drone.latitude = columns.latitude[index];
      if (drone.longitude !== null) move(drone, now, glide);
      read(drone, columns.temperature[index], columns.batteryLevel[index]);
    });
    if (until > this.newest) this.newest = until;
    return reported;
  }

  /** Brings every drone to where it is at `now`. */
  advance(now) {
    let fastest = 0;
    for (const drone of this.drones.values()) {
      const way = drone.way;
      if (!way) continue;
      const done = Math.min(1, (now - way.start) / GLIDE);
      drone.x = way.x + way.dx * done;
      drone.y = way.y + way.dy * done;
      if (done === 1) drone.way = null;
      else fastest = Math.max(fastest, Math.abs(way.dx), Math.abs(way.dy));
    }
    this.fastest = fastest / GLIDE;
  }

  /** Sets what open alerts say of the drones: the worst severity by device id. */
  setSeverities(severities) {
    for (const drone of this.drones.values()) drone.severity = severities.get(drone.id) ?? null;
  }
}

function move(drone, now, glide) {
  const x = worldX(drone.longitude);
  const y = worldY(drone.latitude);
  if (drone.x === null) {
    Object.assign(drone, { x, y });
  }
  const last = drone.trail.at(-1);
  const [dx, dy] = last ? [shortWay(last.x, x), y - last.y] : [0, 0];
  if (Math.hypot(dx, dy) > STILL) drone.heading = heading(dx, dy);
  const still = last && dx === 0 && dy === 0;
  if (!still) {
    drone.trail.push({ x, y });
    if (drone.trail.length > TRAIL) drone.trail.shift();
  }
  const way = { x: drone.x, y: drone.y, dx: shortWay(drone.x, x), dy: y - drone.y, start: now };
  const length = Math.hypot(way.dx, way.dy);
  if (length > JUMP) drone.trail = [{ x, y }];
  if (!glide || length > JUMP || length === 0) {
    Object.assign(drone, { x, y, way: null });
  } else {
    drone.way = way;
  }
}

function read(drone, temperature, battery) {
  drone.temperature = temperature;
  drone.battery = battery;
  if (temperature === null) return;
  const last = drone.readings.at(-1);
  if (last && last.temperature === temperature && last.battery === battery) return;
  drone.readings.push({ temperature, battery });
  if (drone.readings.length > READINGS) drone.readings.shift();
}
