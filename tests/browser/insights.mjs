// Reads the page of the insights as people do. Each step waits for what it expects; the first that does not come true ends the script
// with an error.
//
// PAGE is the page's address, NOW what the time is to it. Whoever starts this has put two days of figures there, the hour under way not
// complete, and a day before them that cannot be read. PICTURE, where it is set, is the file for a picture. The line "stop the host" asks
// whoever started this to do so.

import assert from "node:assert/strict";
import { axeFaults, withPage } from "./browser.mjs";

const KEY = "a-function-key";

function step(text) {
  console.log(`- ${text}`);
}

await withPage({}, async (page, faults) => {
  const home = new URL(process.env.PAGE);
  await page.clock.setFixedTime(new Date(process.env.NOW));
  const strangers = [];
  const keys = new Set();
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.host !== home.host) strangers.push(request.url());
    if (url.pathname.includes("/api/insights/")) keys.add(request.headers()["x-functions-key"]);
    assert.ok(!request.url().includes(KEY), "the key is in an address");
  });
  const text = (selector) => page.locator(selector).textContent();
  const column = (name) =>
    page.evaluate((name) => {
      const place = [...document.querySelectorAll("#figures thead th")].findIndex((head) => head.textContent === name);
      return [...document.querySelectorAll("#figures tbody tr")].map((row) => row.children[place].textContent);
    }, name);
  const rows = (count) =>
    page.waitForFunction((count) => document.querySelectorAll("#figures tbody tr").length === count, count);
  const total = (name) =>
    page.evaluate((name) => {
      const terms = [...document.querySelectorAll("#totals dt")];
      return terms.find((term) => term.textContent === name).nextElementSibling.textContent;
    }, name);
  const sum = (texts) => texts.reduce((one, other) => one + Number(other.replaceAll(",", "")), 0);
  const seriousFaults = async (where) => assert.deepEqual(await axeFaults(page), [], where);

  step("the page opens and takes its key out of the address");
  await page.goto(`${home}#code=${KEY}`);
  await page.waitForFunction(() => location.hash === "" && location.search === "");
  await page.locator('#state[data-state="shown"]', { hasText: "Final until" }).waitFor();
  assert.deepEqual([...keys], [KEY]);

  step("a day of hours is shown, and sums agree with the table");
  await rows(24);
  assert.equal(await page.locator("#charts figure").count(), 9);
  assert.equal(await page.locator("#chart-deliveries svg.chart rect.bar").count(), 24);
  const delivered = sum(await column("Delivered")) + sum(await column("Inferred"));
  assert.ok(delivered > 2_000, String(delivered));
  assert.equal(await total("Delivered"), delivered.toLocaleString("en"));
  assert.equal(await total("Utilisation"), "71 %");
  assert.match((await column("Delivery p50"))[0], /^9 min 05 s$/);

  step("what is not complete is hatched, and has a star");
  assert.equal(await page.locator("#chart-deliveries svg.chart rect.unfinished").count(), 1);
  assert.equal(await page.locator("#chart-utilisation svg.chart rect.unfinished").count(), 1);
  assert.match((await column("Time"))[0], / \*$/);
  assert.match((await column("Time"))[1], /:00$/);
  assert.match(await text("#state"), /hatched is not complete/);

  step("the cursor goes through the hours by keyboard and by pointer");
  const cursor = page.locator("#cursor");
  assert.match(await text("#cursor-at"), /not complete$/);
  await cursor.focus();
  await page.keyboard.press("ArrowLeft");
  await page.waitForFunction(() => / complete$/.test(document.querySelector("#cursor-at").textContent));
  const spoken = await cursor.getAttribute("aria-valuetext");
  for (const part of ["Deliveries 1", "Departure to drop-off p50 9 min 05 s", "Utilisation 71 %", "Lag p50 0.4 s"]) {
    assert.ok(spoken.includes(part), spoken);
  }
  assert.equal(await page.locator("#figures tr[aria-current]").count(), 1);
  await page.keyboard.press("Home");
  const first = await text("#cursor-at");
  await page.locator("#chart-energy svg.chart").hover();
  await page.waitForFunction((first) => document.querySelector("#cursor-at").textContent !== first, first);

  step("hot spots have a place and a table");
  assert.equal(await page.locator("#spots-map circle").count(), 2);
  assert.match(await text("#spots-table"), /8928308280fffff/);
  await page.locator("#kinds").getByText("Time in flight").click();
  await page.waitForFunction(() => document.querySelector("#spots-table").textContent.includes("8828308281fffff"));
  assert.match(await text("#spots-map text"), /m$/);

  step("other periods are asked for, and kept in the address");
  await page.locator("#periods").getByText("7 days").click();
  await page.waitForFunction(() => document.querySelectorAll("#figures tbody tr").length > 24);
  assert.equal(new URL(page.url()).searchParams.get("range"), "7d");
  await page.locator("#unreadable", { hasText: "fleet.json is not JSON" }).waitFor();
  await page.locator("#periods").getByText("30 days").click();
  await rows(2);
  assert.match((await column("Time"))[0], /^\d+ [A-Z][a-z]+ \*$/);
  await page.reload();
  await rows(2);
  assert.equal(await page.locator("#periods :checked").inputValue(), "30d");
  await page.locator("#periods").getByText("24 h").click();
  await rows(24);

  step("nothing stands in the way of those who cannot see or point");
  await seriousFaults("light");
  await page.emulateMedia({ colorScheme: "dark" });
  await seriousFaults("dark");
  await page.click("#theme");
  await page.waitForFunction(() => document.documentElement.dataset.theme === "light");
  for (const size of [{ width: 390, height: 844 }, { width: 320, height: 640 }, { width: 844, height: 390 }]) {
    await page.setViewportSize(size);
    await page.waitForFunction(() => document.documentElement.scrollWidth <= innerWidth);
    await seriousFaults(`${size.width} wide`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  if (process.env.PICTURE) await page.screenshot({ path: process.env.PICTURE, fullPage: true });

  step("the map is one link away, and knows the key");
  await page.locator("nav a").click();
  await page.locator("#connection").waitFor();
  assert.equal(new URL(page.url()).pathname, "/api/map");
  await page.click("#insights");
  await rows(24);
  assert.deepEqual([...keys], [KEY]);

  assert.deepEqual(faults, [], "the console has errors");
  assert.deepEqual(strangers, [], "somebody else was asked");

  step("a host that stops is told of, and what was shown stays");
  console.log("stop the host");
  await page.waitForFunction(() => {
    document.dispatchEvent(new Event("visibilitychange"));
    return document.querySelector("#state").dataset.state === "failed";
  }, null, { polling: 1_000 });
  assert.match(await text("#state"), /older/);
  await rows(24);
});
console.log("done");
