// What is shown and how it is said, without a browser: the time that a period covers, its hours or days, and the charts' lines.

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

export const PERIODS = {
  "24h": { unit: HOUR, count: 24 },
  "7d": { unit: HOUR, count: 168 },
  "30d": { unit: DAY, count: 30 },
};

/** From when until when a period is, in milliseconds: whole hours or days, the one under way among them. */
export function spanOf(period, now) {
  const { unit, count } = PERIODS[period];
  const to = (Math.floor(now / unit) + 1) * unit;
  return { unit, count, from: to - count * unit, to };
}

export const dateOf = (time) => new Date(time).toISOString().slice(0, 10);

/** What is asked for it: hours where they are shown, and the days, which have the hot spots. */
export function questions({ unit, from, to }) {
  const days = new URLSearchParams({ from: dateOf(from), to: dateOf(to - 1) });
  const hours = new URLSearchParams({ from: new Date(from).toISOString(), to: new Date(to).toISOString() });
  return { hours: unit === HOUR ? `insights/hours?${hours}` : null, days: `insights/days?${days}` };
}

/** One place for each hour or day of the span; `figures` is null where nothing is known. */
export function buckets({ unit, count, from }, answer) {
  const places = Array.from({ length: count }, (_, index) => ({ at: from + index * unit, complete: true, figures: null }));
  for (const figures of answer.hours ?? answer.days) {
    const place = places[(Date.parse(figures.hour ?? figures.date) - from) / unit];
    if (place) Object.assign(place, { complete: figures.complete, figures });
  }
  return places;
}

/** A figure by its way, such as `phases.delivery.p50`; null where there is none. */
export function figure(figures, way) {
  let value = figures;
  for (const part of way.split(".")) value = value?.[part];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** Deliveries that ended well: seen to, or concluded from what came after. */
export function delivered(figures) {
  const [seen, inferred] = [figure(figures, "deliveries.delivered"), figure(figures, "deliveries.inferred")];
  return seen === null && inferred === null ? null : (seen ?? 0) + (inferred ?? 0);
}

const line = (name, way) => ({ name, of: (figures) => figure(figures, way) });
const percentiles = (phase) => [line("p50", `phases.${phase}.p50`), line("p95", `phases.${phase}.p95`)];

export const CHARTS = [
  { id: "deliveries", title: "Deliveries", bars: true, say: whole, series: [{ name: "delivered", of: delivered }] },
  { id: "delivery", title: "Departure to drop-off", say: duration, series: percentiles("delivery") },
  { id: "to-pick-up", title: "Departure to pick-up", say: duration, series: percentiles("toPickUp") },
  { id: "loaded", title: "Loaded", say: duration, series: percentiles("loaded") },
  { id: "return", title: "Return", say: duration, series: percentiles("return") },
  { id: "utilisation", title: "Utilisation", most: 1, say: percent, series: [line("under way", "utilisation")] },
  { id: "energy", title: "Battery per km", say: share, series: [line("battery per km", "batteryPerKm")] },
  { id: "completeness", title: "Completeness", most: 1, say: percent, series: [line("of the readings", "quality.completeness")] },
  { id: "lag", title: "Lag", say: duration, series: [line("p50", "quality.lagP50"), line("p99", "quality.lagP99")] },
];

/** The sums over a period. What is no sum, such as a percentile, is of no period but its own. */
export function totals(places) {
  const sum = (of) => {
    const values = places.map(({ figures }) => of(figures)).filter((value) => value !== null);
    return values.length === 0 ? null : values.reduce((one, other) => one + other, 0);
  };
  const seconds = (status) => sum((figures) => figure(figures, `seconds.${status}`)) ?? 0;
  const working = ["departed", "inFlight", "pickedUp", "droppedOff"].map(seconds).reduce((one, other) => one + other, 0);
  const known = working + seconds("arrived");
  return [
    ["Delivered", whole(sum(delivered))],
    ["Returned", whole(sum((figures) => figure(figures, "deliveries.returned")))],
    ["Lost", whole(sum((figures) => figure(figures, "deliveries.lost")))],
    ["Kilometers", whole(sum((figures) => figure(figures, "distanceKm")))],
    ["Utilisation", percent(known === 0 ? null : working / known)],
    ["Rejected events", whole(sum(rejected))],
  ];
}

function rejected(figures) {
  const rejects = figures?.quality?.rejects;
  return rejects ? Object.values(rejects).reduce((one, other) => one + other, 0) : null;
}

const NONE = "–";

export function whole(value) {
  return value === null ? NONE : Math.round(value).toLocaleString("en");
}

export function percent(value) {
  return value === null ? NONE : `${(value * 100).toLocaleString("en", { maximumFractionDigits: 1 })} %`;
}

/** A share of a battery, to two digits that mean something. */
export function share(value) {
  return value === null ? NONE : value.toLocaleString("en", { maximumSignificantDigits: 2 });
}

/** `0.4 s`, `9 min 05 s`, `2 h 03 min`, `5 min`. */
export function duration(value) {
  if (value === null) return NONE;
  if (value < 59.95) return `${value.toLocaleString("en", { maximumFractionDigits: 1 })} s`;
  const two = (number) => String(number).padStart(2, "0");
  const seconds = Math.round(value);
  const [large, small, names] =
    seconds < 3_600 ? [Math.floor(seconds / 60), seconds % 60, ["min", "s"]] : hours(Math.round(seconds / 60));
  return small === 0 ? `${large} ${names[0]}` : `${large} ${names[0]} ${two(small)} ${names[1]}`;
}

const hours = (minutes) => [Math.floor(minutes / 60), minutes % 60, ["h", "min"]];

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

/** `29 Nov`, and for an hour `29 Nov 14:00`. */
export const when = (time, unit) => (unit === DAY ? day.format(time) : `${day.format(time)} ${clock.format(time)}`);

/** Which places have a text below them, and which: midnights where there are several, otherwise every sixth hour, or every fifth day. */
export function marks(places, unit) {
  const hours = unit === HOUR && places.length > 48 ? 24 : 6;
  return places.flatMap(({ at }, index) => {
    if (unit === DAY) return index % 5 === 0 ? [{ index, text: day.format(at) }] : [];
    if ((at / HOUR) % hours !== 0) return [];
    return [{ index, text: at % DAY === 0 ? day.format(at) : clock.format(at) }];
  });
}

const SPANS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400];

/** An end of the axis that is at least `most`, and three or fewer steps to it; of seconds steps that are round on a clock. */
export function scale(most, seconds = false) {
  if (!(most > 0)) return { top: 1, step: 1 };
  const power = 10 ** Math.floor(Math.log10(most / 3));
  const round = [1, 2, 2.5, 5, 10].map((factor) => factor * power);
  const fits = (size) => size * 3 >= most * (1 - 1e-9);
  const step = (seconds && SPANS.find(fits)) || round.find(fits);
  return { top: step * Math.ceil(most / step - 1e-9), step };
}
