// How numbers, times and kinds are written.

const numbers = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const counts = new Intl.NumberFormat("en");
const times = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const TRIGGERS = { http: "HTTP", timer: "timer", datasource: "blob", other: "other" };

/** A measured number; nothing where there is none. */
export const number = (value) => (value === null || value === undefined ? "" : numbers.format(value));

/** A whole number of things. */
export const count = (value) => counts.format(value ?? 0);

/** A time of the day. */
export const time = (millis) => times.format(new Date(millis));

/** What triggers a function; one of `pubsub` has a hub's events or a queue's messages. */
export const trigger = (kind, events) => (kind === "pubsub" ? (events ? "Event Hubs" : "queue") : (TRIGGERS[kind] ?? kind));

/** A name as people write it: `not_newer` is "not newer". */
export const words = (name) => name.replaceAll("_", " ");

/** Enough of an id to tell it from others. */
export const short = (id) => id.slice(0, 8);
