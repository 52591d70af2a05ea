// The functions that this page asks.

import { get } from "./ask.js";

const COLUMNS = "application/vnd.fabrikam.drone-columns+json";
const STEP = 5_000;

/**
 * Every page of the drones that reported since then, or of all drones; one after the other. The time is cut to
 * whole steps, so that screens which ask at about the same time ask for the same.
 */
export async function* drones(seenSince) {
  let continuation = null;
  do {
    const query = new URLSearchParams({ limit: "10000" });
    if (seenSince !== null) query.set("seenSince", new Date(seenSince - (seenSince % STEP)).toISOString());
    if (continuation) query.set("continuation", continuation);
    const page = await get(`drones?${query}`, COLUMNS);
    yield page;
    continuation = page.continuation;
  } while (continuation);
}

// An id stands in the query and not in the path, which the Functions host changes where it holds `#`, `?` or `%`.

const listed = async (query) => (await get(`drones?${new URLSearchParams(query)}`)).drones;

/** One drone in full; null where it is not known. */
export const drone = async (id) => (await listed({ deviceId: id }))[0] ?? null;

/** The drone that was last heard of on a delivery, in full; null where none is on it. */
export async function carrier(delivery) {
  const newer = (one, other) => (Date.parse(other.lastSeenAt) > Date.parse(one.lastSeenAt) ? other : one);
  const drones = await listed({ deliveryId: delivery, limit: "10" });
  return drones.length === 0 ? null : drones.reduce(newer);
}

/** Open alerts, newest first; null where this app raises none. */
export const alerts = async () => (await get("alerts?active=true&limit=1000"))?.alerts ?? null;

/** What the app's settings say of the map. */
export const configuration = () => get("map/configuration.json");
