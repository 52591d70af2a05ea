// Uses the map as people do. Each step waits for what it expects; the first that does not come true ends
// the script with an error.
//
// MAP is the map's address, HUB where events are sent. Drones are flown from here, so that what is
// expected is known. The line "stop the host" asks whoever started this to do so.

import assert from "node:assert/strict";
import { PATIENCE, axeFaults, withPage } from "./browser.mjs";

const KEY = "a-function-key";
const DRONES = 12;
const id = (number) => `drone-${String(number).padStart(2, "0")}`;

function step(text) {
  console.log(`- ${text}`);
}

/** How long something takes. */
async function seconds(work) {
  const start = performance.now();
  await work();
  return ((performance.now() - start) / 1_000).toFixed(1);
}

/** Awaits a condition outside of the page. */
async function until(condition) {
  const end = performance.now() + PATIENCE;
  while (!(await condition())) {
    assert.ok(performance.now() < end, `not within ${PATIENCE} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

let second = 0;

async function send(device, sensor, reading) {
  const body = {
    occurrenceUtcTime: new Date(Date.now() + second).toISOString(),
    deviceId: device,
    deliveryId: `delivery-of-${device}`,
    sensorType: `drone-${sensor}-sensor;v1`,
    ...reading,
  };
  const response = await fetch(process.env.HUB, {
    method: "POST",
    headers: { BrokerProperties: JSON.stringify({ PartitionKey: device }) },
    body: JSON.stringify(body),
  });
  assert.ok(response.ok, `the hub answered ${response.status}`);
}

/** All drones report their flight, a little further north-east than before. */
async function fly() {
  second += 1;
  for (let number = 0; number < DRONES; number += 1) {
    await send(id(number), "event", {
      velocity: "50",
      acceleration: "0.5",
      position: `${47.4 + number * 0.01 + second * 1e-4}|${-122.3 + number * 0.01 + second * 1e-4}|120.5`,
      flightStatus: number === 7 ? "2" : "1",
    });
  }
}

async function condition(device, temperature) {
  await send(device, "state", { temperature: String(temperature), batteryStatus: "high", batteryLevel: "0.8" });
}

await withPage({}, async (page, faults) => {
  const home = new URL(process.env.MAP);
  const strangers = [];
  const keys = new Set();
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && url.host !== home.host) strangers.push(request.url());
    if (url.pathname.endsWith("/drones")) keys.add(request.headers()["x-functions-key"]);
    assert.ok(!request.url().includes(KEY), "the key is in an address");
  });
  const becomes = (selector, expected) =>
    page.waitForFunction(
      ([selector, expected]) => document.querySelector(selector)?.textContent === expected,
      [selector, expected],
    );
  const detail = (wanted) =>
    page.evaluate((wanted) => {
      const terms = [...document.querySelectorAll("#details dt")];
      return terms.find((term) => term.textContent === wanted)?.nextElementSibling.textContent;
    }, wanted);
  /** What the map shows, as bytes. */
  const picture = () => page.evaluate(() => document.querySelector("canvas.drones").toDataURL());
  const row = (device) => page.locator(`#drones button[data-drone="${device}"]`);
  const seriousFaults = async (where) => assert.deepEqual(await axeFaults(page), [], where);

  step("the page opens and takes its key out of the address");
  await fly();
  await condition(id(3), 70);
  await page.goto(`${home}#code=${KEY}`);
  await page.waitForFunction(() => location.hash === "" && location.search === "");

  step("drones appear");
  await becomes("#count-drones", String(DRONES));
  await becomes("#count-flying", String(DRONES - 1));
  await row(id(0)).waitFor();
  assert.deepEqual([...keys], [KEY]);

  step("a drone is selected in the list, and moves");
  await row(id(3)).click();
  await becomes("#selected-name", id(3));
  await page.waitForFunction(
    (delivery) => document.querySelector("#details").textContent.includes(delivery),
    `delivery-of-${id(3)}`,
  );
  const [place, marks] = [await detail("Position"), await picture()];
  await fly();
  await until(async () => (await detail("Position")) !== place);
  await until(async () => (await picture()) !== marks);

  step("a drone is selected on the map");
  await page.click("#centre");
  await page.keyboard.press("Escape");
  await page.locator("#selection").waitFor({ state: "hidden" });
  // Centred, the drone is in the middle of what the panel leaves free.
  const panel = await page.locator("#panel").boundingBox();
  const middle = { x: (panel.width + 1280) / 2, y: 400 };
  await page.waitForFunction(async ([x, y]) => {
    document.elementFromPoint(x, y).dispatchEvent(new MouseEvent("click", { clientX: x, clientY: y, bubbles: true }));
    await new Promise(requestAnimationFrame);
    return !document.querySelector("#selection").hidden;
  }, [middle.x, middle.y], { polling: 500 });

  step("the fleet is filtered and searched");
  await page.keyboard.press("Escape");
  await page.reload();
  await becomes("#count-drones", String(DRONES));
  await page.locator("#statuses").getByText("In flight").click();
  await page.waitForFunction(() => document.querySelectorAll("#drones li").length === 1);
  assert.equal(await row(id(7)).count(), 1, "the one that picks up a package is left");
  await page.locator("#statuses").getByText("In flight").click();
  await page.keyboard.press("/");
  await page.keyboard.type("-05");
  await page.waitForFunction(() => document.querySelectorAll("#drones li").length === 1);
  await page.keyboard.press("Enter");
  await becomes("#selected-name", id(5));
  await page.fill("#search", `delivery-of-${id(6)}`);
  await page.keyboard.press("Enter");
  await becomes("#selected-name", id(6));
  await page.fill("#search", "");

  step("nothing stands in the way of those who cannot see or point");
  await seriousFaults("light");
  await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
  await seriousFaults("dark");
  await page.setViewportSize({ width: 390, height: 844 });
  await seriousFaults("phone");

  step("on a telephone the selected drone's name is in sight");
  /** Whether nothing covers an element and nothing that scrolls hides it. */
  const inSight = (selector) =>
    page.waitForFunction((selector) => {
      const element = document.querySelector(selector);
      const { left, right, top, bottom } = element.getBoundingClientRect();
      const found = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
      return bottom > top && (found === element || element.contains(found));
    }, selector);
  for (const size of [{ width: 390, height: 844 }, { width: 360, height: 640 }, { width: 844, height: 390 }]) {
    await page.setViewportSize(size);
    await page.keyboard.press("Escape");
    await page.fill("#search", id(2));
    await page.press("#search", "Enter");
    await becomes("#selected-name", id(2));
    await inSight("#selected-name");
    await page.locator("#temperature-line").scrollIntoViewIfNeeded();
    await inSight("#selected-name");
    await page.fill("#search", "");
  }
  await page.keyboard.press("Escape");
  await page.setViewportSize({ width: 1280, height: 800 });

  step("an alert shows and clears");
  const alert = page.locator(`#alerts button[data-drone="${id(4)}"]`, { hasText: "engine-critical" });
  const shows = await seconds(async () => {
    await condition(id(4), 120);
    await alert.waitFor();
  });
  assert.notEqual(await page.locator("#count-alerts").textContent(), "0");
  await alert.click();
  await becomes("#selected-name", id(4));
  await until(async () => (await detail("Alerts")) === "engine-critical");
  const clears = await seconds(async () => {
    await condition(id(4), 60);
    await alert.waitFor({ state: "detached" });
  });
  // For people to read: a loaded machine is slow.
  console.log(`the alert showed ${shows} s after its reading was sent, and went ${clears} s after the next`);

  assert.deepEqual(faults, [], "the console has errors");
  assert.deepEqual(strangers, [], "somebody else was asked");

  step("a host that stops is told of");
  console.log("stop the host");
  await page.locator('#connection[data-state="stale"]', { hasText: "Stale" }).waitFor();
});
console.log("done");
