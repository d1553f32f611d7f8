// Which sheets of thumbnails are requested, and which are kept.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { SheetLoader } from "../../bglab/widgets/sheet_loader.js";
import { Clock } from "./clock.js";

let clock;
let asked;
let loader;
const revoked = new Set();
const revoke = URL.revokeObjectURL;

beforeEach(() => {
  clock = new Clock();
  asked = [];
  loader = new SheetLoader((sheet) => asked.push(sheet));
  revoked.clear();
  URL.revokeObjectURL = (url) => {
    revoked.add(url);
    revoke(url);
  };
});

afterEach(() => {
  loader.close();
  URL.revokeObjectURL = revoke;
  clock.restore();
});

const take = (sheet) => loader.take(sheet, new Uint8Array(1));

test("two sheets are requested at a time, each once", () => {
  loader.want(new Set(["0", "1", "2", "3"]));
  loader.want(new Set(["0", "1", "2", "3"]));
  assert.deepEqual(asked, ["0", "1"]);
  take("1");
  assert.deepEqual(asked, ["0", "1", "2"]);
  take("0");
  take("2");
  take("3");
  loader.want(new Set(["3", "0"]));
  assert.deepEqual(asked, ["0", "1", "2", "3"]);
});

test("what comes into view last is requested first, and what has left it never", () => {
  loader.want(new Set(["0", "1", "2", "3"]));
  loader.want(new Set(["2", "3", "4"]));
  loader.want(new Set(["3", "4", "5"]));
  for (const sheet of ["0", "1", "5", "4"]) take(sheet);
  assert.deepEqual(asked, ["0", "1", "5", "4", "3"]);
});

test("a request without a reply holds up others for five seconds only, and is then repeated", async () => {
  await clock.pass(700);
  loader.want(new Set(["0", "1", "2"]));
  await clock.pass(5000);
  loader.request();
  assert.deepEqual(asked, ["0", "1"]);
  await clock.pass(1);
  loader.request();
  assert.deepEqual(asked, ["0", "1", "0", "1"]);
});

test("a forgotten sheet is requested again", () => {
  loader.want(new Set(["0"]));
  take("0");
  const url = loader.urls.get("0");
  loader.forget("0");
  loader.want(new Set(["0"]));
  assert.deepEqual(asked, ["0", "0"]);
  assert.ok(revoked.has(url));
});

test("a sheet that comes again takes the place of the earlier one", async () => {
  take("0");
  const [first] = loader.urls.values();
  loader.take("0", new Uint8Array([7, 8, 9]));
  assert.deepEqual([...revoked], [first]);
  const kept = await fetch(loader.urls.get("0"));
  assert.equal(kept.headers.get("content-type"), "image/jpeg");
  assert.deepEqual([...new Uint8Array(await kept.arrayBuffer())], [7, 8, 9]);
});

test("200 sheets are kept, the oldest go first, and those in view never", () => {
  loader.want(new Set(["3"]));
  for (let i = 0; i < 250; i++) take(String(i));
  const kept = [...loader.urls.keys()].map(Number);
  assert.deepEqual(kept, [3, ...Array.from({ length: 199 }, (_, i) => 51 + i)]);
  assert.equal(revoked.size, 50);
});

test("a closed loader keeps no URL", () => {
  for (const sheet of ["0", "1"]) take(sheet);
  const urls = [...loader.urls.values()];
  loader.close();
  assert.deepEqual([...revoked], urls);
  assert.equal(loader.urls.size, 0);
});

test("a cleared loader begins anew, as if it had never asked", () => {
  loader.want(new Set(["0", "1", "2"]));
  take("0");
  loader.clear();
  assert.equal(loader.urls.size, 0);
  loader.request();
  assert.deepEqual(asked, ["0", "1", "2"]);
  loader.want(new Set(["1"]));
  assert.deepEqual(asked.slice(3), ["1"]);
});
