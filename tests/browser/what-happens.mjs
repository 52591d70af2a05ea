// Looks at "What happens" as people do. Each step waits for what it expects; the first that does not come true ends the script with an
// error.
//
// PAGE is the page's address, HUB where events are sent, API where the HTTP functions are. The lines "break Cosmos DB", "mend Cosmos DB"
// and "stop the collector" ask whoever started this to do so. PICTURE, where it is set, is the file for a picture.

import assert from "node:assert/strict";
import { axeFaults, withPage } from "./browser.mjs";

const DEVICES_TRACE = "0af7651916cd43dd8448eb211c80319c";
/** As the reason of a dead letter nothing can bring it in; a property of an event can bring in anything. */
const HOSTILE = "00-<img src=x onerror=alert(1)>-b7ad6b7169203331-01";

function step(text) {
  console.log(`- ${text}`);
}

async function send(device, reading, properties = {}) {
  const body = {
    occurrenceUtcTime: new Date().toISOString(),
    deviceId: device,
    deliveryId: `delivery-of-${device}`,
    ...reading,
  };
  // A batch of one: in a header `traceparent` would be that of the request.
  const event = { Body: JSON.stringify(body), UserProperties: properties, BrokerProperties: { PartitionKey: device } };
  const response = await fetch(process.env.HUB, {
    method: "POST",
    headers: { "content-type": "application/vnd.microsoft.servicebus.json" },
    body: JSON.stringify([event]),
  });
  assert.ok(response.ok, `the hub answered ${response.status}`);
}

const flight = (device, properties) =>
  send(
    device,
    { sensorType: "drone-event-sensor;v1", velocity: "50", acceleration: "0.5", position: "47.4|-122.3|120.5", flightStatus: "1" },
    properties,
  );
const state = (device, temperature, properties) =>
  send(
    device,
    { sensorType: "drone-state-sensor;v1", temperature: String(temperature), batteryStatus: "full", batteryLevel: "0.9" },
    properties,
  );

await withPage({ viewport: { width: 1280, height: 900 } }, async (page, faults) => {
  const home = new URL(process.env.PAGE);
  const strangers = [];
  page.on("request", (request) => {
    if (new URL(request.url()).host !== home.host) strangers.push(request.url());
  });
  const row = (body, text) => page.locator(`#${body} tr`, { hasText: text });
  const seriousFaults = async (where) => assert.deepEqual(await axeFaults(page), [], where);

  step("the page opens, and what came first is there");
  await flight("drone-1");
  await page.goto(home.href);
  await page.locator('#state[data-state="shown"]').waitFor();
  await row("functions", "UpdateDroneState").waitFor();
  await row("functions", "ArchiveTelemetry").waitFor();

  step("calls, outcomes, dead letters, answers and lag are counted as they come");
  await send("drone-2", { sensorType: "no-such-sensor" });
  await row("outcomes", "dead lettered").waitFor();
  await page.waitForFunction(() => document.querySelector("#letters-total b").textContent === "1");
  assert.equal(await page.locator("#reasons tr").count(), 1);
  await row("answers", "Cosmos DB").first().waitFor();
  await row("answers", "Blob storage").first().waitFor();
  await row("operations", "drones").first().waitFor();
  await page.locator("#lag-head", { hasText: "RaiseAlerts" }).waitFor();
  assert.ok((await page.locator("#lag-rows tr").count()) >= 1);
  await page.waitForFunction(() => Number(document.querySelector("#units b").textContent) >= 0);
  const drawn = await page.locator("#functions svg.line path").first().getAttribute("d");
  assert.match(drawn, /^M[\d. ]+L/);

  step("an alert shows as open, and what was posted");
  const parent = `00-${DEVICES_TRACE}-b7ad6b7169203331-01`;
  await state("drone-3", 101.5, { traceparent: parent });
  await row("turns", "engine-critical").waitFor();
  await page.waitForFunction(() => document.querySelector("#open b").textContent === "1");
  await row("posts", "delivered").waitFor();

  step("a trace that a device began leads to what followed, and from the alert to the webhook");
  await page.goto(`${home.href}#trace=${DEVICES_TRACE}`);
  const trace = page.locator("#trace");
  await trace.locator("p", { hasText: "No span of trace" }).waitFor();
  await trace.locator("button", { hasText: "RaiseAlerts" }).click();
  await trace.locator("h3", { hasText: "RaiseAlerts, partition" }).waitFor();
  await trace.locator("button", { hasText: "NotifyAlert" }).click();
  await trace.locator("summary", { hasText: "POST webhook" }).waitFor();
  assert.match(page.url(), /#trace=[0-9a-f]{32}$/);
  await page.goBack();
  await trace.locator("h3", { hasText: "RaiseAlerts, partition" }).waitFor();
  await page.reload();
  await trace.locator("h3", { hasText: "RaiseAlerts, partition" }).waitFor();
  assert.equal(await page.locator('#found-traces tr[aria-current="true"]').count(), 1);

  step("a span tells more by keyboard, and lies within its call");
  const first = trace.locator("summary").first();
  await first.focus();
  await page.keyboard.press("Enter");
  await trace.locator("dt", { hasText: "faas.invocation_id" }).first().waitFor();
  const inside = await page.evaluate(() =>
    [...document.querySelectorAll("#trace .track")].every((track) => {
      const [outer, inner] = [track, track.firstChild].map((element) => element.getBoundingClientRect());
      return inner.left >= outer.left - 1 && inner.right <= outer.right + 3;
    }),
  );
  assert.ok(inside, "a bar is outside of its track");

  step("what has the focus keeps it while numbers change");
  const button = page.locator("#found-traces button").first();
  await button.focus();
  const focused = await button.getAttribute("title");
  await flight("drone-1");
  await page.waitForResponse((response) => response.url().endsWith("/state.json"));
  await page.waitForResponse((response) => response.url().endsWith("/state.json"));
  assert.equal(await page.evaluate(() => document.activeElement.title), focused);

  step("traces are found by function, by id and by failure");
  await page.locator("#by-function").selectOption("NotifyAlert");
  await page.waitForFunction(() => {
    const names = [...document.querySelectorAll("#found-traces tr")].map((one) => one.children[1].textContent);
    return names.length > 0 && names.every((name) => name === "NotifyAlert");
  });
  await page.locator("#by-function").selectOption("");
  await page.locator("#by-id").fill(DEVICES_TRACE);
  await page.waitForFunction(() => document.querySelectorAll("#found-traces tr").length >= 2);
  await page.locator("#by-id").fill("");
  console.log("break Cosmos DB");
  await flight("drone-4");
  const failed = page.locator("#functions td.bad").first();
  await failed.waitFor();
  assert.match(await failed.textContent(), /✕ \d+ \(failed/);
  await page.locator("#by-failure").check();
  await page.waitForFunction(() => document.querySelectorAll("#found-traces tr").length > 0);
  assert.match(await row("found-traces", "UpdateDroneState").first().textContent(), /✕ failed/);
  await row("answers", "503").waitFor();
  assert.match(await row("answers", "503").first().textContent(), /✕/);
  console.log("mend Cosmos DB");
  await page.locator("#by-failure").uncheck();
  await row("slowest", "drones").first().waitFor();
  await page.locator("#slowest button").first().click();
  await trace.locator("ol > li").first().waitFor();

  step("what comes from outside is text");
  await flight("drone-5", { traceparent: HOSTILE, other: "<script>alert(1)</script>" });
  await fetch(`${process.env.API}/drones/<img src=x onerror=alert(1)>`);
  await page.locator("#functions tr", { hasText: "GetDrone" }).waitFor();
  assert.equal(await page.locator("main img, main script").count(), 0);

  step("it can be held still");
  await page.click("#pause");
  await page.locator("#state", { hasText: "Paused" }).waitFor();
  await page.click("#pause");
  await page.locator('#state[data-state="shown"]').waitFor();

  step("nothing stands in the way of those who cannot see or point");
  await seriousFaults("light");
  await page.emulateMedia({ colorScheme: "dark" });
  await seriousFaults("dark");
  await page.click("#theme");
  await page.waitForFunction(() => document.documentElement.dataset.theme === "light");
  for (const size of [{ width: 390, height: 844 }, { width: 320, height: 640 }]) {
    await page.setViewportSize(size);
    await page.waitForFunction(() => document.documentElement.scrollWidth <= innerWidth);
    await seriousFaults(`${size.width} wide`);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  if (process.env.PICTURE) await page.screenshot({ path: process.env.PICTURE, fullPage: true });

  assert.deepEqual(faults, [], "the console has errors");
  assert.deepEqual(strangers, [], "somebody else was asked");

  step("a system that stops is told of, and what was shown stays");
  console.log("stop the collector");
  await page.locator('#state[data-state="failed"]', { hasText: "as of" }).waitFor();
  await row("functions", "UpdateDroneState").waitFor();
});
console.log("done");
