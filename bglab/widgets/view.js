// One view of a widget: messages to and from the kernel, errors, whether the kernel is there, and clean-up.

import { Connection, kernelToReach, NOTICES } from "./connection.js";
import { button, make } from "./controls.js";
import { passShortcuts } from "./keys.js";

export class View {
  constructor(model, root) {
    Object.assign(this, { model, root, id: `${Date.now()}-${Math.random()}`, seq: 0, listeners: [] });
    this.error = make("div", { class: "bglab-error", role: "alert", hidden: true });
    this.notice = make("div", { class: "bglab-notice", role: "alert", hidden: true }, make("span"));
    this.kernel = kernelToReach(
      model,
      () => this.connection.lose(),
      () => this.connection.verify(),
    );
    this.connection = new Connection({
      ask: () => this.post({ type: "ping" }),
      isGone: () => this.kernel.lacks(this.comm),
      show: (state) => this.showConnection(state),
    });
    this.listen("msg:custom", (message, buffers) => this.receive(message, buffers));
    // the widget manager sets this for all its models when the kernel restarts
    this.listen("comm_live_update", () => this.connection.lose());
    this.stopKeys = passShortcuts(root);
    this.check = () => this.connection.check();
    for (const kind of ["pointerenter", "focusin"]) root.addEventListener(kind, this.check);
    root.classList.add("bglab");
    root.replaceChildren(make("div", { class: "bglab-note", role: "status" }, "Loading…"));
    this.send({ type: "hello" });
    this.post({ type: "ping" });
  }

  listen(event, callback) {
    this.model.on(event, callback);
    this.listeners.push([event, callback]);
  }

  // Sends a message that the kernel replies to; only `idle` has no reply.
  send(message, buffers = []) {
    if (message.type !== "idle") this.connection.sent();
    this.post(message, buffers);
  }

  post(message, buffers = []) {
    if (this.connection.state === "lost") return;
    try {
      this.model.send({ ...message, view: this.id }, undefined, buffers);
    } catch {
      this.connection.lose(); // the front end has closed the comm, as it does when a kernel ends
    }
  }

  // Calls the method `on_TYPE` of a message to this view, or to all views.
  receive(message, buffers) {
    this.connection.heard();
    if (message.view && message.view !== this.id) return;
    const bytes = buffers.map(
      (buffer) => new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength),
    );
    this[`on_${message.type}`]?.(message, bytes);
  }

  // Without its kernel a widget must neither look alive nor take any input.
  showConnection(state) {
    this.root.dataset.kernel = state;
    this.notice.hidden = state === "live";
    this.notice.firstChild.textContent = NOTICES[state] ?? "";
    this.root.append(this.notice);
    const isLost = state === "lost";
    this.root.firstElementChild.inert = isLost;
    if (isLost)
      this.disabled ??= [...this.root.querySelectorAll("button, input, select")].filter((control) => !control.disabled);
    for (const control of this.disabled ?? []) control.disabled = isLost;
    if (!isLost) this.disabled = null;
  }

  on_pong({ comm }) {
    this.comm = comm;
  }

  on_error({ text }) {
    this.error.replaceChildren(
      text,
      button("×", () => this.hideError(), { "aria-label": "Dismiss" }),
    );
    this.error.hidden = false;
    if (!this.error.parentElement) this.root.replaceChildren(this.error);
  }

  hideError() {
    this.error.hidden = true;
  }

  close() {
    for (const [event, callback] of this.listeners) this.model.off(event, callback);
    for (const kind of ["pointerenter", "focusin"]) this.root.removeEventListener(kind, this.check);
    this.stopKeys();
    this.connection.close();
    this.kernel.close();
  }
}
