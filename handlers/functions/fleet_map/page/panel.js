// The panel: counters, search, details, alerts, and the drones in view as a list, which is the map for
// those who use a keyboard or a screen reader.

import { IN_FLIGHT, STATUSES, statusOf } from "./status.js";

/** Rows of the list; more than this nobody reads. */
const ROWS = 50;

const element = (id) => document.getElementById(id);

const numbers = new Intl.NumberFormat("en");
const number = (value, digits = 0) =>
  value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits });

export class Panel {
  /** `actions`: select, deselect, centre, filter, find. */
  constructor(actions) {
    this.actions = actions;
    this.hidden = new Set();
    this.text = "";
    this.statuses();
    element("search").addEventListener("input", ({ target }) => {
      this.text = target.value.trim().toLowerCase();
      element("find-answer").textContent = "";
      actions.filter();
    });
    element("find").addEventListener("submit", (event) => {
      event.preventDefault();
      actions.find(element("search").value.trim());
    });
    element("deselect").addEventListener("click", () => actions.deselect());
    element("centre").addEventListener("click", () => actions.centre());
    for (const list of ["alerts", "drones"]) {
      element(list).addEventListener("click", ({ target }) => {
        const id = target.closest("button")?.dataset.drone;
        if (id) actions.select(id, list === "alerts");
      });
    }
    element("fold").addEventListener("click", () => this.fold(!element("panel").classList.contains("folded")));
  }

  fold(folded) {
    element("panel").classList.toggle("folded", folded);
    element("fold").setAttribute("aria-expanded", String(!folded));
    element("fold").textContent = folded ? "▴" : "▾";
  }

  statuses() {
    STATUSES.forEach(({ key, name }, index) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => {
        if (box.checked) this.hidden.delete(index);
        else this.hidden.add(index);
        this.actions.filter();
      });
      label.append(box, mark(key), text("name", name));
      element("statuses").append(label);
    });
  }

  /** Whether a drone is among those asked for. */
  shows(drone) {
    return !this.hidden.has(drone.status) && (this.text === "" || drone.id.toLowerCase().includes(this.text));
  }

  answer(message) {
    element("find-answer").textContent = message;
  }

  connection(state, age) {
    const seconds = Math.round((age ?? 0) / 1_000);
    const messages = {
      live: "Live",
      stale: age === null ? "No answer yet; trying again" : `Stale: last news ${seconds} s ago`,
    };
    const place = element("connection");
    place.dataset.state = state;
    // Said once, not every second.
    if (place.textContent !== messages[state]) place.textContent = messages[state];
  }

  counters(fleet, reportsPerSecond) {
    let flying = 0;
    for (const drone of fleet.drones.values()) if (drone.status === IN_FLIGHT) flying += 1;
    element("count-drones").textContent = numbers.format(fleet.drones.size);
    element("count-flying").textContent = numbers.format(flying);
    element("count-reports").textContent = reportsPerSecond === null ? "–" : number(reportsPerSecond);
  }

  /** Open alerts, the critical ones first; `null` where the app raises none. */
  alerts(alerts, now) {
    const critical = (alerts ?? []).filter(({ severity }) => severity === "critical");
    const others = (alerts ?? []).filter(({ severity }) => severity !== "critical");
    const sorted = [...critical, ...others];
    element("count-alerts").textContent = alerts === null ? "–" : numbers.format(sorted.length);
    element("counter-alerts").dataset.severity = sorted[0]?.severity ?? "none";
    element("alerts-none").textContent =
      sorted.length > ROWS ? `The first ${ROWS} of ${numbers.format(sorted.length)}.` : "None.";
    element("alerts-none").hidden = sorted.length > 0 && sorted.length <= ROWS;
    rows(element("alerts"), sorted.slice(0, ROWS), ({ id, deviceId, rule, severity, raisedAt }) => ({
      key: id,
      drone: deviceId,
      parts: [
        severityMark(severity),
        lines(rule, deviceId),
        text("when", duration(now - Date.parse(raisedAt))),
      ],
      shown: `${severity} ${rule} ${duration(now - Date.parse(raisedAt))}`,
    }));
  }

  /** The drones in view, by name. */
  list(drones, selected) {
    const sorted = [...new Set(drones)].sort((one, other) => (one.id < other.id ? -1 : 1));
    element("drones-more").textContent =
      sorted.length === 0
        ? "None. Zoom out, or ask for less."
        : sorted.length > ROWS
          ? `The first ${ROWS} of ${numbers.format(sorted.length)}.`
          : "";
    rows(element("drones"), sorted.slice(0, ROWS), (drone) => {
      const status = statusOf(drone);
      const battery = drone.battery === null ? "" : `${number(drone.battery * 100)} %`;
      return {
        key: drone.id,
        drone: drone.id,
        pressed: drone === selected,
        parts: [mark(status.key), text("what", drone.id), text("unseen", status.name), text("when", battery)],
        shown: `${status.key} ${battery}`,
      };
    });
  }

  /** One drone's details, or none. `full` is what GetDrone says of it, once it has; `alerts` its open ones. */
  details(drone, full, alerts, newest) {
    const selection = element("selection");
    const appears = drone && drone.id !== selection.dataset.drone;
    selection.hidden = !drone;
    selection.dataset.drone = drone?.id ?? "";
    if (!drone) return;
    element("selected-name").textContent = drone.id;
    const facts = [
      ["Status", statusOf(drone).name],
      ...(alerts.length > 0 ? [["Alerts", alerts.map(({ rule }) => rule).join(", ")]] : []),
      ["Delivery", full?.deliveryId ?? "–"],
      ["Position", drone.longitude === null ? "–" : position(drone)],
      ["Altitude", drone.altitude === null ? "–" : `${number(drone.altitude)} m`],
      ["Velocity", number(drone.velocity, 1)],
      ["Battery says", full?.operating?.batteryStatus ?? "–"],
      ["Seen", `${duration(newest - drone.seen)} before the newest`],
    ];
    element("details").replaceChildren(
      ...facts.flatMap(([term, value]) => {
        const dt = document.createElement("dt");
        const dd = document.createElement("dd");
        dt.textContent = term;
        dd.textContent = value;
        return [dt, dd];
      }),
    );
    const battery = drone.readings.map((reading) => reading.battery);
    const temperature = drone.readings.map((reading) => reading.temperature);
    element("battery-now").textContent = drone.battery === null ? "–" : `${number(drone.battery * 100)} %`;
    element("temperature-now").textContent = number(drone.temperature, 1);
    sparkline(element("battery-line"), battery, 0, 1);
    sparkline(element("temperature-line"), temperature, ...range(temperature));
    if (!appears) return;
    this.fold(false);
    // Where there is no room for all of it, as on a telephone, its beginning is what says which drone it is.
    const fits = selection.offsetHeight <= element("sections").clientHeight;
    selection.scrollIntoView({ block: fits ? "nearest" : "start" });
  }

  announce(message) {
    element("announcement").textContent = message;
  }
}

/** Keeps the rows that are there, so that focus and scrolling stay where they were. */
function rows(list, items, row) {
  const old = new Map([...list.children].map((child) => [child.dataset.key, child]));
  const children = items.map((item) => {
    const { key, drone, parts, pressed, shown } = row(item);
    const child = old.get(key) ?? document.createElement("li");
    old.delete(key);
    if (child.dataset.shown !== shown || !child.firstChild) {
      const button = child.firstChild ?? document.createElement("button");
      button.type = "button";
      button.dataset.drone = drone;
      button.replaceChildren(...parts);
      child.dataset.key = key;
      child.dataset.shown = shown;
      if (!child.firstChild) child.append(button);
    }
    if (pressed !== undefined) child.firstChild.setAttribute("aria-pressed", String(pressed));
    return child;
  });
  for (const child of old.values()) child.remove();
  children.forEach((child, index) => {
    if (list.children[index] !== child) list.insertBefore(child, list.children[index] ?? null);
  });
}

function text(kind, content) {
  const span = document.createElement("span");
  span.className = kind;
  span.textContent = content;
  return span;
}

/** Two lines, the second a quiet one. */
function lines(first, second) {
  const what = text("what", "");
  what.append(text("line", first), text("line quiet", second));
  return what;
}

function mark(status) {
  const span = text("mark", "");
  span.dataset.status = status;
  return span;
}

function severityMark(severity) {
  const span = text("severity", severity);
  span.dataset.severity = severity;
  return span;
}

function position({ latitude, longitude }) {
  const part = (value, positive, negative) => `${Math.abs(value).toFixed(4)}° ${value < 0 ? negative : positive}`;
  return `${part(latitude, "N", "S")}, ${part(longitude, "E", "W")}`;
}

function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3_600)} h`;
}

/** A span that leaves a little air around the values. */
function range(values) {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return [0, 1];
  const air = Math.max(1, (Math.max(...known) - Math.min(...known)) / 8);
  return [Math.min(...known) - air, Math.max(...known) + air];
}

function sparkline(svg, values, least, most) {
  const known = values.filter((value) => value !== null);
  const { width, height } = svg.viewBox.baseVal;
  const step = width / Math.max(1, known.length - 1);
  const path = svg.firstChild ?? svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  const line = known.map((value, index) => {
    const y = height - 1 - ((value - least) / (most - least)) * (height - 2);
    return `${(index * step).toFixed(1)} ${y.toFixed(1)}`;
  });
  // One reading is a level.
  if (line.length === 1) line.push(`${width} ${line[0].split(" ")[1]}`);
  path.setAttribute("d", line.length ? `M${line.join("L")}` : "");
}
