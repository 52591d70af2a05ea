// The official Node client and the local hub in numbers. EVENT_HUBS is the connection string, HUB_PID the process of `cargo local`,
// PACKAGES the folder with node_modules, such as target/local/event-hubs-….
//
//   node tests/local/event-hubs/throughput.mjs fill [EVENTS [PRODUCERS [GROUPS]]]
//
// fills a new hub of `cargo local services --partitions 32`, and then every group reads all of it, each producer and each group in a
// process of its own. What is missing, twice or out of order is an error.
//
//   node tests/local/event-hubs/throughput.mjs follow SECONDS GROUP…
//
// reads what comes for so long, for each group in a process of its own, and tells how late it is. A gap is an error.
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.PACKAGES}/`);
const { EventHubConsumerClient, EventHubProducerClient, earliestEventPosition, latestEventPosition } = require("@azure/event-hubs");

const connection = process.env.EVENT_HUBS;
const hub = process.env.HUB ?? "telemetry";
const batch = 100;
// Until a group has claimed all partitions, one after the other.
const settling = 10_000;
// As a drone's report: 300 bytes.
const padding = "x".repeat(240);

async function produce(producer, events) {
  const client = new EventHubProducerClient(connection, hub);
  const { partitionIds } = await client.getEventHubProperties();
  const next = partitionIds.map(() => 0);
  for (let sent = 0, turn = 0; sent < events; sent += batch, turn += 1) {
    const index = turn % partitionIds.length;
    const all = [];
    for (let number = 0; number < Math.min(batch, events - sent); number += 1) {
      const body = Buffer.from(JSON.stringify({ producer, index, number: next[index], padding }));
      next[index] += 1;
      all.push({ body, contentType: "application/json" });
    }
    await client.sendBatch(all, { partitionId: partitionIds[index] });
  }
  await client.close();
  return { sent: events };
}

async function consume(group, events) {
  const client = new EventHubConsumerClient(group, connection, hub);
  const last = new Map();
  let read = 0;
  await new Promise((resolve, reject) => {
    client.subscribe({
      processEvents: async (received, { partitionId }) => {
        for (const event of received) {
          const { producer, number } = event.body;
          for (const [key, value] of [[`${partitionId}`, event.sequenceNumber], [`${partitionId} of ${producer}`, number]]) {
            const expected = (last.get(key) ?? -1) + 1;
            if (value !== expected) reject(new Error(`${group}, partition ${key}: ${value} came, not ${expected}`));
            last.set(key, value);
          }
          read += 1;
        }
        if (read >= events) resolve();
      },
      processError: async (error) => reject(error),
    }, { startPosition: earliestEventPosition, maxBatchSize: 300, prefetchCount: 1000 });
  });
  await client.close();
  return { read };
}

// What a process has used so far, in seconds, and what it holds, in bytes.
function usage() {
  const pid = process.env.HUB_PID;
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  const held = readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+)/)[1];
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, bytes: Number(held) * 1024 };
}

// What comes from now on.
async function follow(group, seconds) {
  const client = new EventHubConsumerClient(group, connection, hub);
  const last = new Map();
  const late = [];
  let events = 0;
  const begun = Date.now();
  const subscription = client.subscribe({
    processEvents: async (received, { partitionId }) => {
      const now = Date.now();
      for (const { sequenceNumber, enqueuedTimeUtc } of received) {
        const expected = (last.get(partitionId) ?? sequenceNumber - 1) + 1;
        if (sequenceNumber !== expected) throw new Error(`${group}, partition ${partitionId}: ${sequenceNumber} came, not ${expected}`);
        last.set(partitionId, sequenceNumber);
        events += 1;
        if (now - begun > settling) late.push(now - enqueuedTimeUtc.getTime());
      }
    },
    processError: async (error) => {
      console.error(error);
      process.exit(1);
    },
  }, { startPosition: latestEventPosition, maxBatchSize: 100, prefetchCount: 300 });
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  await subscription.close();
  await client.close();
  late.sort((a, b) => a - b);
  return { events, p50: late[Math.floor(late.length / 2)], p99: late[Math.floor(late.length * 0.99)], most: late.at(-1) };
}

const run = (...task) =>
  new Promise((resolve, reject) => {
    const child = fork(process.argv[1], ["worker", ...task.map(String)]);
    let result;
    child.on("message", (message) => (result = message));
    child.on("exit", (code) => (code === 0 ? resolve(result) : reject(new Error(`${task.join(" ")} failed`))));
  });

async function phase(name, events, workers) {
  const before = usage();
  const begun = process.hrtime.bigint();
  await Promise.all(workers);
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  const after = usage();
  const micros = ((after.cpu - before.cpu) * 1e6) / events;
  console.log(`${events} events ${name} in ${seconds.toFixed(1)} s (${Math.round(events / seconds)}/s): ${micros.toFixed(1)} us of the hub's CPU an event`);
  return after.bytes - before.bytes;
}

if (process.argv[2] === "worker") {
  const [, , , kind, who, events] = process.argv;
  process.send(await { produce, consume, follow }[kind](who, Number(events)), () => process.exit(0));
} else if (process.argv[2] === "follow") {
  const [, , , seconds, ...groups] = process.argv;
  const before = usage();
  const results = await Promise.all(groups.map((group) => run("follow", group, seconds)));
  const cores = (usage().cpu - before.cpu) / seconds;
  results.forEach(({ events, p50, p99, most }, index) => {
    console.log(`${groups[index]}: ${events} events (${Math.round(events / seconds)}/s), without a gap, p50 ${p50} ms, p99 ${p99} ms, at most ${most} ms late`);
  });
  console.log(`${cores.toFixed(2)} cores of the process with the hub`);
} else {
  const [events, producers, groups] = [40_000, 4, 3].map((usual, index) => Number(process.argv[3 + index] ?? usual));
  const each = events / producers;
  const grown = await phase("in", events, Array.from({ length: producers }, (_, index) => run("produce", index, each)));
  console.log(`${Math.round(grown / events)} bytes of memory an event`);
  const names = ["$Default", "drone-state", "telemetry-archive", "drone-alerts"].slice(0, groups);
  await phase("out", events * groups, names.map((name) => run("consume", name, events)));
  console.log("complete and in order");
}
