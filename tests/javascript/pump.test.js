// When requests of which only the latest counts are sent.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Pump } from "../../bglab/widgets/pump.js";
import { Clock } from "./clock.js";

let clock;
let sent;
let pump;

beforeEach(() => {
  clock = new Clock();
  sent = [];
  let seq = 40;
  pump = new Pump({ number: () => ++seq, send: (number, item) => sent.push([clock.now, number, item]) });
});

afterEach(() => clock.restore());

test("a single request is sent at once, and so is the next one after its answer", () => {
  pump.push("a");
  assert.equal(pump.landed(41), true);
  pump.push("b");
  assert.deepEqual(sent, [
    [0, 41, "a"],
    [0, 42, "b"],
  ]);
});

test("while one is under way only the latest waits", async () => {
  for (const item of "abcd") pump.push(item);
  assert.deepEqual(sent, [[0, 41, "a"]]);
  await clock.pass(250);
  pump.landed(41);
  await clock.pass(0);
  assert.deepEqual(sent.slice(1), [[250, 42, "d"]]);
});

test("a drag sends no two requests within 100 ms, and its last state always", async () => {
  // a movement every 7 ms, each answered after 20 ms
  for (let step = 0; step < 100; step++) {
    pump.push(step);
    await clock.pass(7);
    if (pump.inFlight && clock.now - pump.sentAt >= 20) pump.landed(pump.inFlight);
  }
  if (pump.inFlight) pump.landed(pump.inFlight);
  await clock.pass(1000);
  const gaps = sent.slice(1).map(([at], i) => at - sent[i][0]);
  assert.ok(Math.min(...gaps) >= 100, `${gaps}`);
  assert.ok(Math.max(...gaps) <= 107, `${gaps}`);
  assert.equal(sent.at(-1)[2], 99);
});

test("what arrives in the pause takes the place of what waits", async () => {
  pump.push("a");
  pump.push("b");
  await clock.pass(30);
  pump.landed(41);
  pump.push("c");
  assert.equal(sent.length, 1);
  await clock.pass(69);
  assert.equal(sent.length, 1);
  await clock.pass(1);
  assert.deepEqual(sent[1], [100, 42, "c"]);
});

test("only the answer to the request under way lets the next one go", () => {
  pump.push("a");
  pump.push("b");
  for (const seq of [40, 42, null, undefined]) assert.equal(pump.landed(seq), false);
  assert.equal(sent.length, 1);
  pump.landed(41);
  assert.equal(pump.landed(41), false);
});

test("a closed pump sends nothing more", async () => {
  pump.push("a");
  pump.push("b");
  pump.landed(41);
  pump.close();
  await clock.pass(1000);
  assert.equal(sent.length, 1);
});

test("an answer that comes while its request is being sent counts", () => {
  const answered = [];
  let seq = 0;
  const echo = new Pump({ number: () => ++seq, send: (number) => answered.push(echo.landed(number)) });
  echo.push("a");
  echo.push("b");
  assert.deepEqual(answered, [true, true]);
});
