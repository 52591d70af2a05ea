// A picture of the map for the README: the fleet in flight, one drone selected.

import { withPage } from "./browser.mjs";

/** Long enough for trails and sparklines to have something to show. */
const FLIGHT = 45_000;

const screens = {
  desk: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true },
};

await withPage({ ...screens[process.env.SCREEN], colorScheme: process.env.SCHEME }, async (page) => {
  await page.goto(process.env.MAP);
  const drone = page.locator("#drones button").first();
  await drone.waitFor();
  await page.waitForTimeout(FLIGHT);
  await drone.click();
  await page.waitForTimeout(1_000);
  await page.screenshot({ path: process.env.OUT });
  console.log(`Wrote ${process.env.OUT}`);
});
