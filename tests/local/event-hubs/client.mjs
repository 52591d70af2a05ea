// The official Node client against the local hub: `check` goes through what applications use, `read` prints what comes from one
// partition until it is killed. EVENT_HUBS is the connection string, HUB the hub, PACKAGES the folder with node_modules.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { once } from "node:events";

const require = createRequire(`${process.env.PACKAGES}/`);
const {
  EventHubBufferedProducerClient,
  EventHubConsumerClient,
  EventHubProducerClient,
  earliestEventPosition,
  latestEventPosition,
} = require("@azure/event-hubs");

const connection = process.env.EVENT_HUBS;
const hub = process.env.HUB;
let step = "the start";
const onlyOnce = { retryOptions: { maxRetries: 0, timeoutInMs: 20_000 } };

// Collects events until `enough` says so; errors of the reader are errors here.
async function collect({ group = "$Default", partition, enough, ...options }) {
  const client = new EventHubConsumerClient(group, connection, hub, onlyOnce);
  const events = [];
  try {
    await new Promise((resolve, reject) => {
      const handlers = {
        processEvents: async (batch, context) => {
          for (const event of batch) events.push({ partition: context.partitionId, event });
          if (enough(events)) resolve();
        },
        processError: async (error) => reject(error),
      };
      const settings = { startPosition: earliestEventPosition, maxWaitTimeInSeconds: 1, ...options };
      if (partition === undefined) client.subscribe(handlers, settings);
      else client.subscribe(partition, handlers, settings);
    });
  } finally {
    await client.close();
  }
  return events;
}

const count = (number) => (events) => events.length >= number;
const bodies = (events) => events.map(({ event }) => event.body);
const range = (prefix, length) => Array.from({ length }, (_, index) => `${prefix}${index}`);

async function check() {
  const producer = new EventHubProducerClient(connection, hub, onlyOnce);
  const send = (texts, options) => producer.sendBatch(texts.map((body) => ({ body })), options);
  const { partitionIds, name } = await producer.getEventHubProperties();
  assert.equal(name, hub);
  assert.deepEqual(partitionIds, ["0", "1", "2", "3"]);

  step = "keys";
  // Keys keep together, also where the client computes the partition itself.
  const keys = range("drone-", 12);
  for (const partitionKey of keys) await send(["direct"], { partitionKey });
  const failures = [];
  const buffered = new EventHubBufferedProducerClient(connection, hub, {
    ...onlyOnce,
    maxWaitTimeInMs: 50,
    onSendEventsErrorHandler: ({ error }) => failures.push(error),
  });
  for (const partitionKey of keys) await buffered.enqueueEvent({ body: "buffered" }, { partitionKey });
  await buffered.flush();
  await buffered.close();
  assert.deepEqual(failures, []);
  const keyed = await collect({ enough: count(24) });
  const places = {};
  for (const { partition, event } of keyed) {
    if (event.body === "direct") assert.ok(keys.includes(event.partitionKey));
    (places[event.body] ??= {})[partition] = (places[event.body][partition] ?? 0) + 1;
  }
  assert.deepEqual(places.direct, places.buffered);
  console.log("keys", JSON.stringify(Object.fromEntries(
    keyed.filter(({ event }) => event.body === "direct").map(({ partition, event }) => [event.partitionKey, partition]),
  )));

  step = "properties and bodies";
  // Properties and bodies of every kind come back as they went.
  const sent = [
    { body: { deviceId: "drone-1", n: 1 }, properties: { n: 1, f: 0.5, flag: true, text: "grüße" }, contentType: "application/json", messageId: "m-1", correlationId: "c-1" },
    { body: Buffer.from([0, 255, 1]) },
    // In several frames, and then the next one.
    { body: Buffer.alloc(200_000, 7) },
    { body: null },
    { body: 7 },
    { body: "a text" },
    { body: [1, "two"] },
  ];
  const start = (await producer.getPartitionProperties("1")).lastEnqueuedSequenceNumber;
  await producer.sendBatch(sent, { partitionId: "1" });
  const after = { sequenceNumber: start };
  const read = (await collect({ partition: "1", startPosition: after, enough: count(sent.length) })).map(({ event }) => event);
  assert.deepEqual(read.map((event) => event.body), sent.map((event) => event.body));
  const [first] = read;
  assert.deepEqual(first.properties, sent[0].properties);
  assert.equal(first.contentType, "application/json");
  assert.equal(first.messageId, "m-1");
  assert.equal(first.correlationId, "c-1");
  assert.deepEqual(read.map((event) => event.sequenceNumber), sent.map((_, index) => start + 1 + index));
  step = "bodies that are not data";
  // Bodies that are not data.
  await producer.sendBatch([{ body: { a: [1, null] }, bodyType: "value" }, { body: [1, "x"], bodyType: "sequence" }], { partitionId: "1" });
  const odd = await collect({ partition: "1", startPosition: { offset: read.at(-1).offset }, enough: count(2) });
  assert.deepEqual(bodies(odd), [{ a: [1, null] }, [1, "x"]]);

  step = "positions";
  // Positions.
  const base = (await producer.getPartitionProperties("2")).lastEnqueuedSequenceNumber;
  await send(range("early-", 5), { partitionId: "2" });
  await new Promise((resolve) => setTimeout(resolve, 20));
  const middle = new Date();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await send(range("late-", 5), { partitionId: "2" });
  const from = (startPosition, length) => collect({ partition: "2", startPosition, enough: count(length) }).then(bodies);
  const all = [...range("early-", 5), ...range("late-", 5)];
  assert.deepEqual(await from({ sequenceNumber: base }, 10), all);
  assert.deepEqual(await from({ sequenceNumber: base + 3, isInclusive: true }, 8), all.slice(2));
  assert.deepEqual(await from({ enqueuedOn: middle }, 5), all.slice(5));
  const latest = from(latestEventPosition, 1);
  const again = setInterval(() => send(["newest"], { partitionId: "2" }), 200);
  assert.deepEqual(await latest, ["newest"]);
  clearInterval(again);

  step = "errors";
  // What is wrong is an error and no silence.
  for (const wrong of [{ partition: "9" }, { partition: "0", group: "made-up" }]) {
    await assert.rejects(collect({ ...wrong, enough: count(1) }), /could not be found|no consumer group|no partition/);
  }
  const elsewhere = new EventHubProducerClient(connection, "made-up", onlyOnce);
  await assert.rejects(elsewhere.getEventHubProperties());
  await elsewhere.close();

  step = "owner levels";
  // Owner levels.
  const said = [];
  const owners = [];
  const own = (who, ownerLevel) => {
    const client = new EventHubConsumerClient("$Default", connection, hub, onlyOnce);
    owners.push(client);
    return new Promise((resolve) => {
      client.subscribe("3", {
        processInitialize: async () => {},
        processEvents: async (events) => { for (const event of events) { said.push(`${who} ${event.body}`); resolve(); } },
        processError: async (error) => { said.push(`${who} ${error.code}`); resolve(); },
      }, { ownerLevel, startPosition: latestEventPosition, maxWaitTimeInSeconds: 1 });
    });
  };
  const sending = setInterval(() => send(["tick"], { partitionId: "3" }), 100);
  await own("low", 1);
  await own("high", 2);
  await own("late", 1);
  clearInterval(sending);
  await Promise.all(owners.map((client) => client.close()));
  assert.ok(said.includes("low tick") && said.includes("high tick"), said);
  assert.ok(said.includes("low ReceiverDisconnectedError") && said.includes("late ReceiverDisconnectedError"), said);
  assert.ok(said.lastIndexOf("low tick") < said.indexOf("high tick"), said);
  assert.ok(!said.includes("late tick"), said);
  await producer.close();
  console.log("all right");
  process.exit(0);
}

// PARTITION after the offset OFFSET, or from the beginning: one line an event.
async function read() {
  const client = new EventHubConsumerClient("$Default", connection, hub);
  const startPosition = process.env.OFFSET ? { offset: process.env.OFFSET } : earliestEventPosition;
  client.subscribe(process.env.PARTITION, {
    processEvents: async (events) => { for (const event of events) console.log(`${event.offset} ${event.body}`); },
    processError: async (error) => { console.error(error); process.exit(1); },
  }, { startPosition, ownerLevel: 0, maxWaitTimeInSeconds: 1 });
  await once(process.stdin, "end");
}

// What hangs is said where.
if (process.argv[2] === "check") {
  setTimeout(() => {
    console.error(`it stands still: ${step}`);
    process.exit(1);
  }, 60_000).unref();
}

await { check, read }[process.argv[2]]();
