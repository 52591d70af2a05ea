// Everything but the traces, from what the local system says each second.

import { draw, line } from "./charts.js";
import { make, rows, texts, write } from "./tables.js";
import { count, number, short, time, trigger, words } from "./text.js";

const element = (id) => document.getElementById(id);

/** Shows all of them. `open(trace)` opens one. */
export function show(state, open) {
  notes(state);
  pages(state.pages);
  functions(state.functions);
  lag(state.lag);
  events(state);
  cosmos(state);
  alerts(state);
  stores(state, open);
}

function notes({ elsewhere, silentSeconds, spansLost, refused }) {
  const texts = [];
  if (elsewhere) texts.push(`Telemetry goes to ${elsewhere}; only what comes here is shown.`);
  else if (silentSeconds === null) texts.push("Nothing has come yet: the handler sends its first metrics within seconds.");
  else if (silentSeconds > 15) texts.push(`The handler has sent nothing for ${count(silentSeconds)} s.`);
  if (spansLost > 0) texts.push(`${count(spansLost)} spans were lost before they were sent: traces have gaps.`);
  if (refused > 0) texts.push(`${count(refused)} requests could not be read.`);
  const list = element("notes");
  list.hidden = texts.length === 0;
  rows(list, texts, (text) => text, (text) => make("li", { textContent: text }), () => {});
}

function pages(all) {
  const create = ([name, address]) => make("a", { href: address, textContent: name });
  rows(element("pages"), all, ([, address]) => address, create, () => {});
}

const failures = (one) => Object.values(one.failures).reduce((sum, value) => sum + value, 0);

function functions(all) {
  const create = () => {
    const row = make("tr", {}, make("th", { scope: "row" }));
    for (const kind of ["text", "", "", "text", "", "", "", ""]) row.append(make("td", { className: kind }));
    row.children[4].append(line());
    return row;
  };
  const update = (row, one) => {
    const failed = failures(one);
    const kinds = Object.entries(one.failures).map(([kind, times]) => `${kind} ${count(times)}`);
    const told = [one.name, trigger(one.trigger, one.events), number(one.callsPerSecond), one.events ? number(one.eventsPerSecond) : ""];
    told.forEach((text, index) => write(row.children[index], text));
    draw(row.children[4].firstChild, one.callsHistory, `Calls of ${one.name} in the last 10 minutes, now ${number(one.callsPerSecond)} a second`);
    write(row.children[5], number(one.recent.p50));
    write(row.children[6], number(one.recent.p99));
    write(row.children[7], count(one.calls));
    write(row.children[8], failed ? `✕ ${count(failed)} (${kinds.join(", ")})` : "0");
    row.children[8].classList.toggle("bad", failed > 0);
  };
  rows(element("functions"), all, ({ name }) => name, create, update);
}

function lag({ functions, partitions }) {
  const head = element("lag-head");
  const names = ["Partition", ...functions];
  const known = head.textContent === names.join("");
  if (!known) {
    // A long name may go on in the next line where a word of it begins.
    const parts = (name) => name.split(/(?=[A-Z])/).flatMap((part, index) => (index ? [make("wbr"), part] : [part]));
    head.replaceChildren(make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, ...parts(name)))));
    element("lag-rows").replaceChildren();
    element("lag-rows").known = new Map();
  }
  const columns = functions.map((_, index) => ({ of: ({ seconds }) => number(seconds[index]) }));
  texts(element("lag-rows"), partitions, ({ partition }) => partition, [{ of: ({ partition }) => partition }, ...columns]);
}

/** A number with what it is, and its line. */
function figure(id, value, text, history) {
  const place = element(id);
  if (!place.firstChild) place.append(make("b"), make("span"), ...(history ? [line()] : []));
  write(place.children[0], value);
  write(place.children[1], text);
  if (history) draw(place.children[2], history, `${text} in the last 10 minutes, now ${value}`);
}

function events({ outcomes, deadLetters }) {
  texts(element("outcomes"), outcomes, ({ of, what }) => `${of} ${what}`, [
    { of: ({ of }) => of },
    { of: ({ what }) => words(what), text: true },
    { of: (one) => count(one.count) },
  ]);
  figure("letters-total", count(deadLetters.total), "dead-lettered", deadLetters.history);
  texts(element("reasons"), Object.entries(deadLetters.reasons), ([reason]) => reason, [
    { of: ([reason]) => reason },
    { of: ([, times]) => count(times) },
  ]);
}

/** What no store answers where all is well. */
const isBad = ({ status }) => status === "429" || !/^[1-4]\d\d$/.test(status);

function cosmos({ cosmos, answers }) {
  figure("units", number(cosmos.requestUnitsPerSecond), "request units a second", cosmos.requestUnitsHistory);
  figure("throttled", count(cosmos.throttled), "answers 429", cosmos.throttledHistory);
  texts(element("answers"), answers, ({ store, status }) => `${store} ${status}`, [
    { of: ({ store }) => store },
    { of: (one) => (isBad(one) ? `✕ ${one.status || "none"}` : one.status), text: true, bad: isBad },
    { of: (one) => count(one.count) },
  ]);
  const tries = `Cosmos DB: ${count(cosmos.requests)} requests for ${count(cosmos.operations)} operations, ${number(cosmos.requestUnits)} request units. Each try counts.`;
  write(element("tries"), tries);
}

function alerts({ alerts, webhook }) {
  const where = Object.entries(alerts.partitions).filter(([, open]) => open > 0);
  const partitions = where.map(([partition, open]) => `${open} in ${partition}`).join(", ");
  figure("open", count(alerts.open), partitions ? `open, by partition: ${partitions}` : "open");
  texts(element("turns"), alerts.turns, ({ of, what }) => `${of} ${what}`, [
    { of: ({ of }) => of },
    { of: ({ what }) => words(what), text: true },
    { of: (one) => count(one.count) },
  ]);
  const isGood = ([outcome]) => outcome === "delivered";
  texts(element("posts"), Object.entries(webhook), ([outcome]) => outcome, [
    { of: ([outcome]) => words(outcome), bad: (post) => !isGood(post) && post[1] > 0 },
    { of: ([, times]) => count(times) },
  ]);
}

function stores({ stores, slow }, open) {
  texts(element("operations"), stores, ({ store, operation }) => `${store} ${operation}`, [
    { of: ({ store }) => store },
    { of: ({ operation }) => operation, text: true },
    { of: (one) => count(one.count) },
    { of: ({ failed }) => (failed ? `✕ ${count(failed)}` : "0"), bad: ({ failed }) => failed > 0 },
    { of: ({ p50 }) => number(p50) },
    { of: ({ p99 }) => number(p99) },
  ]);
  const create = (one) => {
    const button = make("button", { type: "button", textContent: short(one.trace), title: `Open trace ${one.trace}` });
    button.addEventListener("click", () => open(one.trace));
    return make(
      "tr",
      {},
      make("th", { scope: "row", textContent: one.failed ? `${one.name} ✕ failed` : one.name, className: one.failed ? "bad" : "" }),
      make("td", { className: "text", textContent: time(one.at) }),
      make("td", { textContent: number(one.millis) }),
      make("td", { className: "text" }, button),
    );
  };
  rows(element("slowest"), slow, ({ trace, span }) => `${trace} ${span}`, create, () => {});
}
