// Whether the kernel still answers, on a clock of its own.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Connection, kernelToReach } from "../../bglab/widgets/connection.js";
import { Clock } from "./clock.js";

let clock;
let asked;
let shown;
let isGone;
let connection;

beforeEach(() => {
  clock = new Clock();
  asked = [];
  shown = [];
  isGone = async () => false;
  connection = new Connection({
    ask: () => asked.push(clock.now),
    isGone: () => isGone(),
    show: (state) => shown.push([clock.now, state]),
  });
});

afterEach(() => clock.restore());

test("a kernel that answers in time is never asked", async () => {
  for (let i = 0; i < 5; i++) {
    connection.sent();
    await clock.pass(2900);
    connection.heard();
  }
  await clock.pass(100_000);
  assert.deepEqual([asked, shown], [[], []]);
});

test("a kernel that does not answer is asked, then waited for, then given up", async () => {
  connection.sent();
  await clock.pass(60_000);
  assert.deepEqual(asked, [3000]);
  assert.deepEqual(shown, [
    [6000, "waiting"],
    [36_000, "silent"],
  ]);
});

test("further requests do not prolong the wait", async () => {
  connection.sent();
  await clock.pass(2000);
  connection.sent();
  await clock.pass(4000);
  assert.deepEqual(asked, [3000]);
  assert.deepEqual(shown, [[6000, "waiting"]]);
});

test("an answer ends every state, and the next request starts anew", async () => {
  for (const [ms, state] of [
    [6000, "waiting"],
    [36_000, "silent"],
  ]) {
    connection.sent();
    await clock.pass(ms);
    assert.equal(connection.state, state);
    connection.heard();
    assert.equal(connection.state, "live");
  }
  assert.equal(clock.timers.size, 0);
});

test("a kernel without the widget is lost as soon as that is known, and stays so", async () => {
  isGone = async () => true;
  connection.sent();
  await clock.pass(100_000);
  assert.deepEqual(shown, [[3000, "lost"]]);
  connection.sent();
  connection.check();
  await clock.pass(100_000);
  assert.deepEqual([shown.length, asked.length], [1, 1]);
});

test("a front end that cannot look for the widget leaves the question open", async () => {
  isGone = async () => {
    throw new Error("disconnected");
  };
  connection.sent();
  await clock.pass(4000);
  assert.deepEqual(shown, []);
});

test("who comes back to an idle widget has its kernel asked, but not more often than every five seconds", async () => {
  connection.check();
  assert.deepEqual(asked, []);
  await clock.pass(5000);
  connection.check();
  connection.check();
  assert.deepEqual(asked, [5000]);
  connection.heard();
  await clock.pass(4999);
  connection.check();
  assert.deepEqual(asked, [5000]);
});

test("a closed view asks no more", async () => {
  connection.sent();
  connection.close();
  await clock.pass(100_000);
  assert.deepEqual([asked, shown], [[], []]);
});

const kernelWith = (comms, status = "ok") => {
  const listeners = new Set();
  return {
    listeners,
    statusChanged: { connect: (changed) => listeners.add(changed), disconnect: (changed) => listeners.delete(changed) },
    requestCommInfo: async ({ target_name: name }) => ({
      content: { status, comms: name === "jupyter.widget" ? comms : {} },
    }),
  };
};

test("only a kernel that lists its comms, without the widget's, lacks the widget", async () => {
  const lacks = (kernel, comm) => kernelToReach({ widget_manager: { kernel } }, null, null).lacks(comm);
  assert.equal(await lacks(kernelWith({ other: {} }), "mine"), true);
  assert.equal(await lacks(kernelWith({ mine: {} }), "mine"), false);
  assert.equal(await lacks(kernelWith({}, "error"), "mine"), false);
  assert.equal(await lacks(kernelWith({}), undefined), false);
  assert.equal(await lacks(undefined, "mine"), false);
  assert.equal(await kernelToReach({}, null, null).lacks("mine"), false);
});

test("a kernel's end and start are told apart, until the view is closed", () => {
  const kernel = kernelWith({});
  const heard = [];
  const reached = kernelToReach(
    { widget_manager: { kernel } },
    () => heard.push("ended"),
    () => heard.push("started"),
  );
  for (const status of ["busy", "restarting", "autorestarting", "starting", "idle", "terminating", "dead"])
    for (const changed of kernel.listeners) changed(kernel, status);
  assert.deepEqual(heard, ["ended", "ended", "started", "ended", "ended"]);
  reached.close();
  assert.equal(kernel.listeners.size, 0);
});
