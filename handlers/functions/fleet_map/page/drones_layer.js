// The drones on the map: one canvas over the view, drawn anew while anything moves.

import { Sprites } from "./sprites.js";
import { shortWay } from "./geo.js";

/** Above this many in view, marks are small and only the selected drone has a trail. */
const CROWD = 1_500;
const TRAILS = 300;

/** Nothing moves by less than this, in device pixels, without being drawn anew. */
const STEP = 0.5;

/** How near a click must be, in CSS pixels. */
const REACH = 14;

const L = window.L;

export const DronesLayer = L.Layer.extend({
  /** `visible(drone)` is the filter; `selected()` the drone that is marked; `labels()` the map's margin. */
  initialize(fleet, { visible, selected, color, labels }) {
    Object.assign(this, { fleet, visible, selected, color, labels });
    this.dirty = true;
    this.zooming = false;
    this.drawn = 0;
    this.inView = [];
  },

  onAdd(map) {
    this.canvas = L.DomUtil.create("canvas", "drones leaflet-zoom-animated", this.getPane());
    this.context = this.canvas.getContext("2d");
    this.resize();
    map.on({ move: this.touch, resize: this.resize, zoomanim: this.zoom, zoomend: this.zoomed }, this);
    const frame = (now) => {
      this.frame = requestAnimationFrame(frame);
      this.draw(now);
    };
    this.frame = requestAnimationFrame(frame);
  },

  onRemove(map) {
    cancelAnimationFrame(this.frame);
    map.off({ move: this.touch, resize: this.resize, zoomanim: this.zoom, zoomend: this.zoomed }, this);
    this.canvas.remove();
  },

  touch() {
    this.dirty = true;
  },

  /** Colours or the density of pixels have changed. */
  restyle() {
    const ratio = window.devicePixelRatio || 1;
    this.ratio = ratio;
    this.large = new Sprites(9, ratio, this.color);
    this.small = new Sprites(4.5, ratio, this.color);
    this.dirty = true;
  },

  resize() {
    const { x, y } = this._map.getSize();
    this.restyle();
    this.canvas.width = x * this.ratio;
    this.canvas.height = y * this.ratio;
    this.canvas.style.width = `${x}px`;
    this.canvas.style.height = `${y}px`;
  },

  /** While the map zooms, the last picture is stretched along with it. */
  zoom({ center, zoom }) {
    this.zooming = true;
    const scale = this._map.getZoomScale(zoom);
    const corner = this._map.containerPointToLatLng([0, 0]);
    L.DomUtil.setTransform(this.canvas, this._map._latLngToNewLayerPoint(corner, zoom, center), scale);
  },

  zoomed() {
    this.zooming = false;
    this.dirty = true;
  },

  /** The drone nearest to a point of the container, where one is within reach. */
  at(point) {
    let nearest = null;
    let least = REACH;
    for (const { drone, x, y } of this.inView) {
      const distance = Math.hypot(x / this.ratio - point.x, y / this.ratio - point.y);
      if (distance < least) [nearest, least] = [drone, distance];
    }
    return nearest;
  },

  draw(now) {
    if (this.zooming || document.hidden) return;
    const map = this._map;
    const scale = 256 * 2 ** map.getZoom() * this.ratio;
    const moved = (now - this.drawn) * this.fleet.fastest * scale;
    if (!this.dirty && moved < STEP) return;
    this.fleet.advance(now);
    this.dirty = false;
    this.drawn = now;

    L.DomUtil.setPosition(this.canvas, map.containerPointToLayerPoint([0, 0]));
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const corner = map.getPixelBounds().min;
    const left = corner.x * this.ratio;
    const top = corner.y * this.ratio;
    this.collect(scale, left, top);
    this.margin();

    const selected = this.selected();
    const sprites = this.inView.length > CROWD ? this.small : this.large;
    if (this.inView.length <= TRAILS) {
      for (const { drone, x } of this.inView) this.trail(drone, x, scale, left, top, drone === selected);
    } else if (selected) {
      const place = this.inView.find(({ drone }) => drone === selected);
      if (place) this.trail(selected, place.x, scale, left, top, true);
    }
    const marked = [];
    for (const place of this.inView) {
      if (place.drone.severity || place.drone === selected) marked.push(place);
      else sprites.draw(context, place.drone, place.x, place.y);
    }
    // Over all the others, and large: these are the ones to see.
    for (const place of marked) {
      this.large.draw(context, place.drone, place.x, place.y);
      if (place.drone.severity) this.ring(place, this.large.radius + 3, place.drone.severity, 2);
      if (place.drone === selected) this.ring(place, this.large.radius + 6, "focus", 2.5);
    }
  },

  margin() {
    const { context, ratio } = this;
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    context.fillStyle = this.color("graticule-text");
    for (const { x, y, text, end } of this.labels()) {
      context.textAlign = end ? "right" : "left";
      context.fillText(text, x * ratio, y * ratio);
    }
  },

  /** What is in view, with its place on the canvas; more than once where the world repeats. */
  collect(scale, left, top) {
    const { width, height } = this.canvas;
    const margin = 16 * this.ratio;
    const first = Math.floor((left - margin) / scale);
    const last = Math.floor((left + width + margin) / scale);
    this.inView.length = 0;
    for (const drone of this.fleet.drones.values()) {
      if (drone.x === null) continue;
      const y = drone.y * scale - top;
      if (y < -margin || y > height + margin || !this.visible(drone)) continue;
      // A drone that flew over the antimeridian is beyond the world's edge.
      const place = drone.x - Math.floor(drone.x);
      for (let world = first; world <= last; world += 1) {
        const x = (place + world) * scale - left;
        if (x > -margin && x < width + margin) this.inView.push({ drone, x, y });
      }
    }
  },

  trail(drone, x, scale, left, top, strong) {
    if (drone.trail.length < 2) return;
    const { context } = this;
    context.beginPath();
    for (const place of drone.trail.slice(0, drone.way ? -1 : undefined)) {
      context.lineTo(x + shortWay(drone.x, place.x) * scale, place.y * scale - top);
    }
    context.lineTo(x, drone.y * scale - top);
    context.strokeStyle = this.color(strong ? "focus" : "arrived");
    context.globalAlpha = strong ? 0.9 : 0.35;
    context.lineWidth = (strong ? 2.5 : 1.5) * this.ratio;
    context.stroke();
    context.globalAlpha = 1;
  },

  ring({ x, y }, radius, color, width) {
    const { context } = this;
    context.beginPath();
    context.arc(x, y, radius * this.ratio, 0, 2 * Math.PI);
    context.strokeStyle = this.color(color);
    context.lineWidth = width * this.ratio;
    context.stroke();
  },
});
