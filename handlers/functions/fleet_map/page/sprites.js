// The drones' marks, drawn once for every status and direction: thousands of them are then copies.

import { STATUSES, UNKNOWN } from "./status.js";

/** Directions that a mark is drawn in. */
const DIRECTIONS = 48;

const SHAPES = {
  departed: (c, r) => c.arc(0, 0, r * 0.6, 0, 2 * Math.PI),
  flying: (c, r) => polygon(c, r, [0, -1, 0.72, 0.9, 0, 0.5, -0.72, 0.9]),
  picked: (c, r) => polygon(c, r, [0, -1, 0.7, 0, 0, 1, -0.7, 0]),
  dropped: (c, r) => polygon(c, r, [-0.62, -0.62, 0.62, -0.62, 0.62, 0.62, -0.62, 0.62]),
  arrived: (c, r) => c.arc(0, 0, r * 0.5, 0, 2 * Math.PI),
  unknown: (c, r) => c.arc(0, 0, r * 0.5, 0, 2 * Math.PI),
};

/** The others have no front. */
const TURNING = "flying";

const HOLLOW = new Set(["arrived", "unknown"]);

export class Sprites {
  /** `radius` in CSS pixels; `ratio` device pixels for each of them; `color` reads a CSS variable. */
  constructor(radius, ratio, color) {
    this.radius = radius;
    this.size = Math.ceil(2 * (radius + 2) * ratio);
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.size * DIRECTIONS;
    this.canvas.height = this.size * (STATUSES.length + 1);
    const context = this.canvas.getContext("2d");
    [...STATUSES, UNKNOWN].forEach(({ key }, row) => {
      for (let direction = 0; direction < DIRECTIONS; direction += 1) {
        context.setTransform(ratio, 0, 0, ratio, (direction + 0.5) * this.size, (row + 0.5) * this.size);
        if (key === TURNING) context.rotate((direction / DIRECTIONS) * 2 * Math.PI);
        context.beginPath();
        SHAPES[key](context, radius);
        context.closePath();
        context.lineWidth = radius > 5 ? 1.5 : 1;
        if (HOLLOW.has(key)) {
          context.strokeStyle = color(key === "unknown" ? "arrived" : key);
          context.lineWidth = radius > 5 ? 2 : 1.2;
        } else {
          context.fillStyle = color(key);
          context.fill();
          context.strokeStyle = color("panel");
        }
        context.stroke();
      }
    });
  }

  /** Draws one mark around a point in device pixels, on whole ones: that is a plain copy. */
  draw(context, drone, x, y) {
    const row = drone.status ?? STATUSES.length;
    const turn = Math.round((drone.heading / (2 * Math.PI)) * DIRECTIONS);
    const column = ((turn % DIRECTIONS) + DIRECTIONS) % DIRECTIONS;
    const { size } = this;
    const left = Math.round(x - size / 2);
    const top = Math.round(y - size / 2);
    context.drawImage(this.canvas, column * size, row * size, size, size, left, top, size, size);
  }
}

function polygon(context, radius, points) {
  for (let index = 0; index < points.length; index += 2) {
    context.lineTo(points[index] * radius, points[index + 1] * radius);
  }
}
