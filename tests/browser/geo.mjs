// The map's sums, without a browser. GEO is the file that does them.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

// The page's files are modules to a browser; to Node only where a package says so.
const source = await readFile(process.env.GEO, "utf8");
const { boxOf, nearestCopy, shortWay } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

const at = (...places) => places.map(([longitude, latitude]) => ({ longitude, latitude }));
const width = ([[, west], [, east]]) => east - west;
const near = (one, other) => assert.ok(Math.abs(one - other) < 1e-9, `${one} is not ${other}`);

// Over the antimeridian where that is smaller, and only there.
assert.deepEqual(boxOf(at([179.95, 1], [-179.95, -2])), [[-2, 179.95], [1, 180.05]]);
assert.deepEqual(boxOf(at([-180, 0], [180, 0])), [[0, 180], [0, 180]]);
assert.deepEqual(boxOf(at([-10, 50], [10, 51])), [[50, -10], [51, 10]]);
assert.deepEqual(boxOf(at([7, 50])), [[50, 7], [50, 7]]);
assert.deepEqual(boxOf(at([170, 0], [175, 0], [-170, 0], [-175, 0])), [[0, 170], [0, 190]]);
// Far apart the other way round: from the Pacific over America.
assert.deepEqual(boxOf(at([175, 0], [-120, 0], [-70, 0])), [[0, 175], [0, 290]]);

// Of any places: each is inside, and no turn of the world makes it smaller.
let seed = 7;
const random = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
for (let round = 0; round < 500; round += 1) {
  const places = at(...Array.from({ length: 1 + Math.floor(random() * 6) }, () => [random() * 360 - 180, random() * 170 - 85]));
  const box = boxOf(places);
  const [[south, west], [north, east]] = box;
  for (const { longitude, latitude } of places) {
    assert.ok(latitude >= south && latitude <= north);
    const turned = longitude < west ? longitude + 360 : longitude;
    assert.ok(turned >= west && turned <= east, `${longitude} is not in ${west}..${east}`);
  }
  const widths = places.map((first) => Math.max(...places.map(({ longitude }) => (longitude - first.longitude + 360) % 360)));
  near(width(box), Math.min(...widths));
}

near(nearestCopy(-179.95, 179), 180.05);
near(nearestCopy(-179.95, -170), -179.95);
near(nearestCopy(10, 725), 730);
near(shortWay(0.9999, 0.0001), 0.0002);
console.log("done");
