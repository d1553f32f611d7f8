// One view of a widget: whom its messages reach, and what is left when it is closed.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { make } from "../../bglab/widgets/controls.js";
import { View, widgetOf } from "../../bglab/widgets/view.js";
import { Clock } from "./clock.js";
import { closePage, openPage } from "./page.js";

class TestView extends View {
  heard = [];

  on_hello(message, buffers) {
    this.heard.push([message.text, buffers.map((bytes) => [...bytes])]);
    this.root.replaceChildren(make("div", {}, make("button", {}), make("input", { name: "mix" }), this.error));
  }
}

let clock;
let root;
let model;
let view;

const modelOf = () => {
  const listeners = [];
  return {
    listeners,
    sent: [],
    on: (...added) => listeners.push(added),
    off: (event, callback) => {
      const at = listeners.findIndex(([each, other]) => each === event && other === callback);
      listeners.splice(at, at < 0 ? 0 : 1);
    },
    send(message, _callbacks, buffers) {
      this.sent.push([message, buffers]);
    },
    emit: (event, ...data) => {
      for (const [each, callback] of [...listeners]) if (each === event) callback(...data);
    },
  };
};
const sent = () => model.sent.map(([{ type }]) => type);
const hear = (message, buffers = []) => model.emit("msg:custom", message, buffers);

beforeEach(() => {
  clock = new Clock();
  root = openPage();
  model = modelOf();
  view = new TestView(model, root);
});

afterEach(() => {
  closePage();
  clock.restore();
});

test("a view greets the kernel and signs its messages", () => {
  view.send({ type: "layers", seq: 3 }, ["bytes"]);
  assert.deepEqual(sent(), ["hello", "ping", "layers"]);
  for (const [message] of model.sent) assert.equal(message.view, view.id);
  assert.deepEqual(model.sent[2][1], ["bytes"]);
  assert.notEqual(new TestView(modelOf(), openPage()).id, view.id);
});

test("a message reaches the view that it is for, or all of them", () => {
  hear({ type: "hello", text: "mine", view: view.id });
  hear({ type: "hello", text: "everybody's", view: null });
  hear({ type: "hello", text: "another's", view: "another" });
  hear({ type: "unheard_of", view: null });
  assert.deepEqual(
    view.heard.map(([text]) => text),
    ["mine", "everybody's"],
  );
});

test("buffers are bytes, whatever the front end has made of them", () => {
  const whole = Uint8Array.from([1, 2, 3, 4, 5]).buffer;
  hear({ type: "hello" }, [whole, new DataView(whole, 1, 2), new Uint8Array(whole, 3)]);
  assert.deepEqual(view.heard[0][1], [
    [1, 2, 3, 4, 5],
    [2, 3],
    [4, 5],
  ]);
});

test("an error is shown even before the view has anything else to show", () => {
  hear({ type: "error", text: "no such scene" });
  assert.equal(view.error.hidden, false);
  assert.match(root.textContent, /^no such scene/);
  view.hideError();
  assert.equal(view.error.hidden, true);
});

test("a lost view disables what was enabled, and gives it back if the kernel was there after all", () => {
  hear({ type: "hello" });
  assert.deepEqual([view.notice.hidden, view.error.hidden], [true, true]);
  const [button, input] = root.querySelectorAll("button, input");
  input.disabled = true;
  model.emit("comm_live_update");
  assert.equal(root.dataset.kernel, "lost");
  assert.deepEqual([button.disabled, input.disabled, root.firstElementChild.inert], [true, true, true]);
  assert.match(root.textContent, /The kernel was restarted: run the cell again\.$/);
  assert.equal(view.notice.hidden, false);
  const before = model.sent.length;
  view.send({ type: "inspect" });
  assert.equal(model.sent.length, before);
  hear({ type: "pong", comm: "c" });
  assert.deepEqual([button.disabled, input.disabled, root.firstElementChild.inert], [false, true, false]);
  assert.equal(view.notice.hidden, true);
  assert.equal(view.comm, "c");
});

test("a comm that takes no message is lost", () => {
  model.send = () => {
    throw new Error("Cannot send");
  };
  view.send({ type: "inspect" });
  assert.equal(view.connection.state, "lost");
});

test("only a request waits for an answer", async () => {
  hear({ type: "pong", comm: "c" });
  view.send({ type: "idle" });
  await clock.pass(100_000);
  assert.equal(view.connection.state, "live");
  view.send({ type: "inspect" });
  await clock.pass(6000);
  assert.equal(view.connection.state, "waiting");
});

test("a closed view leaves no listener and no timer behind", () => {
  const ended = widgetOf(TestView).render({ model, el: openPage() });
  view.close();
  ended();
  assert.deepEqual(model.listeners, []);
  assert.equal(clock.timers.size, 0);
});
