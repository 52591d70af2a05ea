// The sums and words of the page of the insights, without a browser. PAGE is the folder of its files.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

// The page's files are modules to a browser; to Node only where a package says so.
const folder = await mkdtemp(join(tmpdir(), "figures-"));
try {
  await writeFile(join(folder, "package.json"), '{"type": "module"}');
  for (const name of ["figures.js", "charts.js", "spots.js"]) {
    await writeFile(join(folder, name), await readFile(join(process.env.PAGE, name)));
  }
  const figures = await import(join(folder, "figures.js"));
  const spots = await import(join(folder, "spots.js"));
  periods(figures);
  words(figures);
  scales(figures);
  sums(figures);
  places(spots);
} finally {
  await rm(folder, { recursive: true });
}

function periods({ spanOf, questions, buckets, marks, HOUR, DAY }) {
  const now = Date.UTC(2026, 10, 29, 14, 37);
  const hours = spanOf("24h", now);
  assert.deepEqual([new Date(hours.from), new Date(hours.to)].map((time) => time.toISOString()), [
    "2026-11-28T15:00:00.000Z",
    "2026-11-29T15:00:00.000Z",
  ]);
  // At the hour itself the one that begins is under way.
  assert.equal(spanOf("24h", Date.UTC(2026, 10, 29, 14)).to, hours.to);
  const asked = questions(hours);
  assert.match(asked.hours, /from=2026-11-28T15%3A00%3A00.000Z&to=2026-11-29T15%3A00%3A00.000Z$/);
  assert.match(asked.days, /days\?from=2026-11-28&to=2026-11-29$/);
  const days = spanOf("30d", now);
  assert.deepEqual(questions(days), { hours: null, days: "insights/days?from=2026-10-31&to=2026-11-29" });
  // No period is longer than what the API gives: its last day counts.
  assert.match(questions(spanOf("7d", now)).days, /from=2026-11-22&to=2026-11-29$/);

  const known = { hour: "2026-11-29T14:00:00Z", complete: false, drones: 3 };
  const filled = buckets(hours, { hours: [known, { hour: "2026-11-20T00:00:00Z", complete: true }] });
  assert.equal(filled.length, 24);
  assert.deepEqual(filled.filter(({ figures }) => figures !== null), [{ at: hours.to - HOUR, complete: false, figures: known }]);
  const filledDays = buckets(days, { days: [{ date: "2026-11-29", complete: true }] });
  assert.equal(filledDays.at(-1).figures.date, "2026-11-29");
  assert.deepEqual(marks(filled, HOUR).map(({ text }) => text), ["18:00", "29 Nov", "06:00", "12:00"]);
  assert.equal(marks(filledDays, DAY).length, 6);
}

function words({ duration, percent, share, whole, when, DAY, HOUR }) {
  const said = [0, 0.4, 59.94, 59.96, 60, 545, 3_599.6, 3_600, 7_380, null].map((value) => duration(value));
  assert.deepEqual(said, ["0 s", "0.4 s", "59.9 s", "1 min", "1 min", "9 min 05 s", "1 h", "1 h", "2 h 03 min", "–"]);
  assert.deepEqual([percent(0.992), percent(1), percent(null)], ["99.2 %", "100 %", "–"]);
  assert.deepEqual([share(0.0294), share(null), whole(12_345.6), whole(null)], ["0.029", "–", "12,346", "–"]);
  const time = Date.UTC(2026, 10, 29, 4);
  assert.deepEqual([when(time, HOUR), when(time, DAY)], ["29 Nov 04:00", "29 Nov"]);
}

function scales({ scale }) {
  assert.deepEqual(scale(280), { top: 300, step: 100 });
  assert.deepEqual(scale(1), { top: 1, step: 0.5 });
  assert.deepEqual(scale(0), { top: 1, step: 1 });
  assert.deepEqual(scale(545, true), { top: 600, step: 300 });
  for (let most = 1e-4; most < 1e7; most *= 1.37) {
    // No step of a clock is shorter than a tenth of a second.
    for (const seconds of most > 0.1 ? [false, true] : [false]) {
      const { top, step } = scale(most, seconds);
      const steps = top / step;
      assert.ok(top >= most * (1 - 1e-6) && top <= most * 5, `${most}: ${top}`);
      assert.ok(Math.abs(steps - Math.round(steps)) < 1e-6 && Math.round(steps) <= 3 && steps >= 1, `${most}: ${steps}`);
    }
  }
}

function sums({ totals, figure, delivered }) {
  const seconds = (work, rest) => ({ seconds: { departed: work, inFlight: 0, pickedUp: 0, droppedOff: 0, arrived: rest } });
  const places = [
    { figures: { ...seconds(10, 90), deliveries: { delivered: 5, inferred: 1 }, utilisation: 0.1, quality: { rejects: { a: 1, b: 2 } } } },
    { figures: null },
    { figures: { ...seconds(300, 0), deliveries: { delivered: 7, inferred: null } } },
  ];
  const said = Object.fromEntries(totals(places));
  // By their seconds, not the mean of two hours.
  assert.equal(said.Utilisation, "77.5 %");
  assert.equal(said.Delivered, "13");
  assert.equal(said["Rejected events"], "3");
  assert.equal(said.Kilometers, "–");
  assert.equal(Object.fromEntries(totals([{ figures: null }])).Utilisation, "–");
  assert.equal(delivered(null), null);
  assert.equal(figure({ a: { b: "7" } }, "a.b"), null);
  assert.equal(figure({ a: null }, "a.b.c"), null);
}

function places({ project, bar }) {
  const cell = (latitude, longitude) => ({ latitude, longitude });
  assert.deepEqual(project([]), { places: [], kilometer: 0 });
  const { places, kilometer } = project([cell(47, 8), cell(47.1, 8), cell(47, 8.1)]);
  const [home, north, east] = places;
  const near = (one, other) => assert.ok(Math.abs(one - other) < 0.01 * other, `${one} is not ${other}`);
  // A tenth of a degree is 11.1 km northwards, and 7.6 km eastwards at this latitude.
  near(home.y - north.y, 11.12 * kilometer);
  near(east.x - home.x, 11.12 * Math.cos((47.05 * Math.PI) / 180) * kilometer);
  for (const { x, y } of places) assert.ok(x >= 0 && x <= 640 && y >= 0 && y <= 400);
  // Neighbours across the antimeridian are neighbours.
  const across = project([cell(0, 179.99), cell(0, -179.99)]);
  near(across.places[1].x - across.places[0].x, 0.02 * 111.195 * across.kilometer);
  // One cell alone, and one at a pole, have a place too.
  for (const alone of [cell(10, 10), cell(90, 0)]) assert.ok(Number.isFinite(project([alone]).places[0].x));
  for (const size of [0.001, 0.3, 7, 900]) {
    const length = bar(size);
    assert.ok(length * size <= 640 / 3 && length * size > 40, `${size}: ${length}`);
  }
}
console.log("done");
