// The page: puts the parts together and keeps them in step.

import * as api from "./api.js";
import { NotAllowed, setKey, takeKey } from "./ask.js";
import { Basemap, loadLand, meshAt, steps } from "./basemap.js";
import { DronesLayer } from "./drones_layer.js";
import { Fleet } from "./fleet.js";
import { boxOf, nearestCopy } from "./geo.js";
import { Panel } from "./panel.js";
import { Poll } from "./poll.js";
import { statusOf } from "./status.js";
import { theme } from "./theme.js";

/** News that comes late: a batch may still be under way when a newer one is there already. */
const OVERLAP = 10_000;

/** As often as this everything is asked for anew, for what came later even than that. */
const EVERYTHING_EVERY = 300_000;

const L = window.L;

takeKey();
const fleet = new Fleet();
const still = matchMedia("(prefers-reduced-motion: reduce)");
const narrow = matchMedia("(max-width: 640px)");

let selected = null;
let full = null;
let openAlerts = null;

const panel = new Panel({
  select: (id, move) => select(fleet.drones.get(id), move),
  deselect: () => select(null),
  centre: () => selected?.longitude != null && centre(selected),
  filter: () => {
    layer.touch();
    refreshSoon();
  },
  find,
});

const map = L.map("map", {
  center: [30, 0],
  zoom: 2,
  minZoom: 1,
  maxZoom: 18,
  worldCopyJump: true,
  zoomControl: false,
  attributionControl: false,
});
L.control.zoom({ position: "topright" }).addTo(map);
const attribution = L.control
  .attribution({ position: narrow.matches ? "topleft" : "bottomright", prefix: "Leaflet" })
  .addTo(map);
attribution.addAttribution("Land: Natural Earth");

const colors = theme(() => {
  ground?.redraw();
  layer.restyle();
});
const layer = new DronesLayer(fleet, {
  visible: (drone) => panel.shows(drone),
  selected: () => selected,
  color: colors.of,
  labels: () => graticuleLabels(),
});
layer.addTo(map);
let ground = null;

map.on("click", ({ containerPoint }) => select(layer.at(containerPoint), false));
map.on("moveend", () => refreshSoon());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) select(null);
  const typing = event.target.closest?.("input[type=search], dialog");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    document.getElementById("search").focus();
  }
});

/** The map's middle, where the panel does not cover it. */
function offset() {
  const { width, height } = document.getElementById("panel").getBoundingClientRect();
  return narrow.matches ? [0, height / 2] : [-width / 2, 0];
}

function centre({ latitude, longitude }) {
  const zoom = Math.max(map.getZoom(), 13);
  const near = nearestCopy(longitude, map.getCenter().lng);
  const point = map.project([latitude, near], zoom).add(offset());
  map.setView(map.unproject(point, zoom), zoom, { animate: !still.matches });
}

function select(drone, move = false) {
  if (drone !== selected) full = null;
  selected = drone ?? null;
  layer.touch();
  refreshSoon();
  if (!selected) return;
  panel.announce(`${selected.id}: ${statusOf(selected).name}`);
  if (move && selected.longitude !== null) centre(selected);
  loadFull();
}

async function loadFull() {
  const drone = selected;
  const answer = await api.drone(drone.id).catch(() => null);
  if (drone === selected && answer) {
    full = answer;
    refreshSoon();
  }
}

/** Enter in the search field: one drone that is left, or a delivery. */
async function find(text) {
  if (!text) return;
  const exact = fleet.drones.get(text);
  const left = [...fleet.drones.values()].filter((drone) => panel.shows(drone));
  const drone = exact ?? (left.length === 1 ? left[0] : null);
  if (drone) {
    panel.answer("");
    select(drone, true);
    return;
  }
  if (left.length > 1) {
    panel.answer(`${left.length.toLocaleString("en")} drones.`);
    return;
  }
  const reported = await api.carrier(text).catch(() => null);
  const carrier = reported && fleet.drones.get(reported.deviceId);
  if (!carrier) {
    panel.answer("No drone and no delivery of this name.");
    return;
  }
  panel.answer(`Carried by ${carrier.id}.`);
  panel.text = "";
  select(carrier, true);
}

let refreshing = null;

/** Brings the panel up to date, once a frame at most. */
function refreshSoon() {
  refreshing ??= requestAnimationFrame(() => {
    refreshing = null;
    // What is in view is known after the next picture.
    requestAnimationFrame(() => panel.list(layer.inView.map(({ drone }) => drone), selected));
    const alerts = (openAlerts ?? []).filter(({ deviceId }) => deviceId === selected?.id);
    panel.details(selected, full, alerts, fleet.newest);
  });
}

let asked = { since: null, everything: 0, at: null };

async function ask() {
  try {
    await Promise.all([askDrones(), askAlerts()]);
  } catch (error) {
    if (error instanceof NotAllowed) askForKey();
    throw error;
  }
  fleet.setSeverities(severities(openAlerts ?? []));
  layer.touch();
  if (selected) loadFull();
  refreshSoon();
}

async function askDrones() {
  const start = performance.now();
  const everything = asked.since === null || start - asked.everything > EVERYTHING_EVERY;
  const first = asked.at === null;
  const empty = fleet.drones.size === 0;
  let reported = 0;
  let until = asked.since;
  for await (const page of api.drones(everything ? null : asked.since - OVERLAP)) {
    // A hidden page draws nothing, and what it missed it must not fly through.
    reported += fleet.update(page, performance.now(), !still.matches && !document.hidden);
    const seen = Date.parse(page.seenUntil ?? 0);
    if (until === null || seen > until) until = page.seenUntil ? seen : until;
  }
  panel.counters(fleet, first ? null : (reported * 1_000) / (start - asked.at));
  asked = { since: until, everything: everything ? start : asked.everything, at: start };
  if (empty) showAll();
}

async function askAlerts() {
  const before = new Set((openAlerts ?? []).map(({ id }) => id));
  const first = openAlerts === null;
  openAlerts = await api.alerts();
  panel.alerts(openAlerts, Date.now());
  const fresh = (openAlerts ?? []).filter(({ id }) => !before.has(id));
  if (!first && fresh.length > 0) {
    const [{ severity, rule, deviceId }] = fresh;
    const more = fresh.length > 1 ? `, and ${fresh.length - 1} more` : "";
    panel.announce(`New alert: ${severity}, ${rule}, ${deviceId}${more}`);
  }
}

/** The worst severity by device id. */
function severities(alerts) {
  const worst = new Map();
  for (const { deviceId, severity } of alerts) {
    if (severity === "critical" || !worst.has(deviceId)) worst.set(deviceId, severity);
  }
  return worst;
}

/** Once, when the first drones are known: the view that holds all of them. */
function showAll() {
  const places = [...fleet.drones.values()].filter(({ longitude }) => longitude !== null);
  if (places.length === 0) return;
  const [x, y] = offset();
  map.fitBounds(boxOf(places), {
    paddingTopLeft: [30 - 2 * x, 40],
    paddingBottomRight: [60, 40 + 2 * y],
    maxZoom: 15,
    animate: false,
  });
}

function askForKey() {
  const dialog = document.getElementById("key");
  if (dialog.open) return;
  dialog.showModal();
  dialog.onclose = () => {
    const field = document.getElementById("key-text");
    if (field.value) setKey(field.value);
    field.value = "";
    poll.now();
  };
}

/** Where the graticule's lines leave the view: place and text. */
function graticuleLabels() {
  const mesh = meshAt(map.getZoom());
  const bounds = map.getBounds();
  const size = map.getSize();
  const labels = [];
  for (const longitude of steps(bounds.getWest(), bounds.getEast(), mesh)) {
    const x = map.latLngToContainerPoint([0, longitude]).x;
    const wrapped = L.Util.wrapNum(longitude, [-180, 180], true);
    labels.push({ x: x + 4, y: 12, text: degrees(wrapped, "E", "W") });
  }
  for (const latitude of steps(Math.max(-85, bounds.getSouth()), Math.min(85, bounds.getNorth()), mesh)) {
    const y = map.latLngToContainerPoint([latitude, 0]).y;
    labels.push({ x: size.x - 8, y: y - 4, text: degrees(latitude, "N", "S"), end: true });
  }
  return labels;
}

function degrees(value, positive, negative) {
  // Without the noise of binary fractions.
  return `${Number(Math.abs(value).toFixed(4))}°${value < 0 ? negative : positive}`;
}

async function prepareGround() {
  const { tiles, attribution: owner } = (await api.configuration()) ?? {};
  if (tiles) {
    if (owner) attribution.addAttribution(owner);
    L.tileLayer(tiles, { maxZoom: 19, className: "tiles" }).addTo(map);
    return;
  }
  ground = new Basemap(await loadLand(new URL("map/land.json", document.baseURI)), colors.of);
  ground.addTo(map);
}

// Without its ground the map still shows the drones.
prepareGround().catch(() => panel.announce("The background of the map could not be loaded."));
const poll = new Poll(ask, (state, age) => panel.connection(state, age));
poll.now();
