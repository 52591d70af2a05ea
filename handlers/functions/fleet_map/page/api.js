// The functions that this page asks, and the key that it asks with.

const COLUMNS = "application/vnd.fabrikam.drone-columns+json";
const KEY = "functionKey";
const STEP = 5_000;

/** Seconds that an answer may be old: as long as this page waits before it asks again. */
const SHARED_FOR = 5;

/** Longer than an answer takes; an answer that has not come by then will not. */
const PATIENCE = 20_000;

export class NotAllowed extends Error {}

/**
 * Takes the function key out of the page's address, from `#code=` or `?code=`, so that it stays in no
 * history and is copied along with no link. It is kept for this tab alone, to survive a reload.
 */
export function takeKey() {
  const url = new URL(location.href);
  const fragment = new URLSearchParams(url.hash.slice(1));
  const key = fragment.get("code") ?? url.searchParams.get("code");
  if (key !== null) {
    sessionStorage.setItem(KEY, key);
    fragment.delete("code");
    url.searchParams.delete("code");
    url.hash = fragment.toString();
    history.replaceState(null, "", url);
  }
}

export const setKey = (key) => sessionStorage.setItem(KEY, key);

async function get(path, accept = "application/json") {
  // Several screens may share one answer.
  const headers = { accept, "cache-control": `max-age=${SHARED_FOR}` };
  const key = sessionStorage.getItem(KEY);
  if (key) headers["x-functions-key"] = key;
  const response = await fetch(new URL(path, document.baseURI), {
    headers,
    signal: AbortSignal.timeout(PATIENCE),
    referrerPolicy: "no-referrer",
  });
  if (response.status === 401 || response.status === 403) throw new NotAllowed();
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`${response.status}`);
  return response.json();
}

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
