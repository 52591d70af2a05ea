// A picture of "What happens" for the README: some minutes of the fleet, and one trace opened.

import { withPage } from "./browser.mjs";

/** Of these calls the waterfall shows most. */
const SHOWN = "UpdateDroneState";

await withPage({ viewport: { width: 1120, height: 700 }, colorScheme: process.env.SCHEME }, async (page) => {
  await page.goto(process.env.PAGE);
  const rows = page.locator("#found-traces tr", { hasText: SHOWN });
  await rows.first().waitFor();
  await rows.first().locator("button").click();
  await page.locator("#trace ol").waitFor();
  await page.evaluate(() => scrollTo(0, 0));
  await page.waitForTimeout(1_500);
  await page.screenshot({ path: process.env.OUT });
  console.log(`Wrote ${process.env.OUT}`);
});
