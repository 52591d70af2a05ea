// How smoothly the map draws, and what a poll weighs. Figures for people, not for a test: they depend on
// the machine and on what else it does.

import { withPage } from "./browser.mjs";

const SECONDS = 20;

await withPage({}, async (page) => {
  const polls = [];
  page.on("response", async (response) => {
    if (!new URL(response.url()).pathname.endsWith("/drones")) return;
    const { responseBodySize } = await response.request().sizes();
    polls.push(responseBodySize);
  });
  await page.goto(process.env.MAP);
  await page.locator("#drones button").first().waitFor();
  // The first poll brings the whole fleet, and drawing begins.
  await page.waitForTimeout(6_000);
  polls.length = 0;
  const times = await page.evaluate(
    (length) =>
      new Promise((resolve) => {
        const times = [];
        const frame = (now) => {
          times.push(now);
          if (now - times[0] < length) requestAnimationFrame(frame);
          else resolve(times);
        };
        requestAnimationFrame(frame);
      }),
    SECONDS * 1_000,
  );
  const gaps = times
    .slice(1)
    .map((time, index) => time - times[index])
    .sort((one, other) => one - other);
  const at = (share) => gaps[Math.floor((gaps.length - 1) * share)].toFixed(1);
  const rate = ((times.length - 1) * 1_000) / (times.at(-1) - times[0]);
  console.log(`drones        ${await page.locator("#count-drones").textContent()}`);
  console.log(`frames/s      ${rate.toFixed(1)}`);
  console.log(`frame, ms     p50 ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)}`);
  console.log(`polls, bytes  ${polls.join(", ")}`);
});
