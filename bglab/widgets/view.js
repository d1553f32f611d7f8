// One view of a widget: messages to and from the kernel, errors, whether the kernel is there, and clean-up.

import { Connection, kernelToReach, NOTICES } from "./connection.js";
import { button, make } from "./controls.js";
import { passShortcuts } from "./keys.js";

/** @import { ConnectionState, Kernel } from "./connection.js" */

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */
/** @typedef {(...data: never[]) => void} Listener */

/**
 * @typedef {object} Model What the front end gives a view: the widget's traits, and messages to and from its kernel
 * @property {(name: string) => unknown} get
 * @property {(name: string, value: unknown) => void} set
 * @property {() => void} save_changes
 * @property {(event: string, callback: Listener) => void} on
 * @property {(event: string, callback: Listener) => void} off
 * @property {(message: object, callbacks: undefined, buffers: BufferSource[]) => void} send
 * @property {{ kernel?: Kernel }} [widget_manager] Absent in front ends that do not let a widget reach its kernel
 */

/** @typedef {{ type: string, seq?: number, [name: string]: unknown }} Request A message to the kernel */

/**
 * @typedef {object} Reply A message of the kernel; the methods `on_TYPE` of a view say what else it holds
 * @property {string} type
 * @property {string | null} [view] Null for all views
 * @property {number | null} [seq] Number of the request that it replies to
 */

/** @typedef {Record<string, ((reply: Reply, bytes: Bytes[]) => void) | undefined>} Handlers */

export class View {
  /** What a view disables while its kernel is lost. @type {HTMLButtonElement[] | null} */
  disabled = null;
  /** The widget's comm, which a new kernel lacks. @type {string | undefined} */
  comm;

  /**
   * @param {Model} model
   * @param {HTMLElement} root
   */
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.id = `${Date.now()}-${Math.random()}`;
    this.seq = 0;
    /** @type {[event: string, callback: Listener][]} */
    this.listeners = [];
    this.error = make("div", { class: "bglab-error", role: "alert", hidden: true });
    this.noticeText = make("span");
    this.notice = make("div", { class: "bglab-notice", role: "alert", hidden: true }, this.noticeText);
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
    /** @type {(reply: Reply, buffers: ArrayBufferView<ArrayBuffer>[]) => void} */
    const receive = (reply, buffers) => this.receive(reply, buffers);
    this.listen("msg:custom", receive);
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

  /**
   * @param {string} event
   * @param {Listener} callback
   */
  listen(event, callback) {
    this.model.on(event, callback);
    this.listeners.push([event, callback]);
  }

  /**
   * Sends a message that the kernel replies to; only `idle` has no reply.
   *
   * @param {Request} message
   * @param {BufferSource[]} buffers
   */
  send(message, buffers = []) {
    if (message.type !== "idle") this.connection.sent();
    this.post(message, buffers);
  }

  /**
   * @param {Request} message
   * @param {BufferSource[]} buffers
   */
  post(message, buffers = []) {
    if (this.connection.state === "lost") return;
    try {
      this.model.send({ ...message, view: this.id }, undefined, buffers);
    } catch {
      this.connection.lose(); // the front end has closed the comm, as it does when a kernel ends
    }
  }

  /**
   * Calls the method `on_TYPE` of a message to this view, or to all views.
   *
   * @param {Reply} reply
   * @param {(ArrayBufferView<ArrayBuffer> | ArrayBuffer)[]} buffers
   */
  receive(reply, buffers) {
    this.connection.heard();
    if (reply.view && reply.view !== this.id) return;
    const bytes = buffers.map((buffer) =>
      ArrayBuffer.isView(buffer)
        ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
        : new Uint8Array(buffer),
    );
    /** @type {Handlers} */ (/** @type {unknown} */ (this))[`on_${reply.type}`]?.(reply, bytes);
  }

  /**
   * Without its kernel a widget must neither look alive nor take any input.
   *
   * @param {ConnectionState} state
   */
  showConnection(state) {
    this.root.dataset.kernel = state;
    this.notice.hidden = state === "live";
    this.noticeText.textContent = NOTICES[state];
    this.root.append(this.notice);
    const isLost = state === "lost";
    /** @type {HTMLElement} */ (this.root.firstElementChild).inert = isLost;
    if (isLost && !this.disabled) {
      /** @type {NodeListOf<HTMLButtonElement>} */
      const controls = this.root.querySelectorAll("button, input, select");
      this.disabled = [...controls].filter((control) => !control.disabled);
    }
    for (const control of this.disabled ?? []) control.disabled = isLost;
    if (!isLost) this.disabled = null;
  }

  /** @param {{ comm: string }} reply */
  on_pong({ comm }) {
    this.comm = comm;
  }

  /** @param {{ text: string, seq?: number | null }} reply */
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

/**
 * What a widget's module exports.
 *
 * @param {new (model: Model, root: HTMLElement) => View} Shown
 */
export const widgetOf = (Shown) => ({
  /** @param {{ model: Model, el: HTMLElement }} given */
  render({ model, el }) {
    const view = new Shown(model, el);
    return () => view.close();
  },
});
