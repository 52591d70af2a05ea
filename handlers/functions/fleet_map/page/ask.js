// How this app's pages ask its functions, and the key that they ask with.

const KEY = "functionKey";

/** Seconds that an answer may be old: as long as the map waits before it asks again. */
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

/** What a function answers; null where there is no such thing. */
export async function get(path, accept = "application/json") {
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
