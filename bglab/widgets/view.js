// One view of a widget: messages to and from the kernel, errors, and clean-up.

class View {
  constructor(model, root) {
    Object.assign(this, { model, root, id: `${Date.now()}-${Math.random()}`, seq: 0, listeners: [] });
    this.error = make("div", { class: "bglab-error", role: "alert", hidden: true });
    this.listen("msg:custom", (message, buffers) => this.receive(message, buffers));
    root.classList.add("bglab");
    root.replaceChildren(make("div", { class: "bglab-note", role: "status" }, "Loading…"));
    this.send({ type: "hello" });
  }

  listen(event, callback) {
    this.model.on(event, callback);
    this.listeners.push([event, callback]);
  }

  send(message, buffers = []) {
    this.model.send({ ...message, view: this.id }, undefined, buffers);
  }

  // Calls the method `on_TYPE` of a message to this view, or to all views.
  receive(message, buffers) {
    if (message.view && message.view !== this.id) return;
    const bytes = buffers.map((buffer) => new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength));
    this[`on_${message.type}`]?.(message, bytes);
  }

  on_error({ text }) {
    this.error.replaceChildren(text, button("×", () => this.hideError(), { "aria-label": "Dismiss" }));
    this.error.hidden = false;
    if (!this.error.parentElement) this.root.replaceChildren(this.error);
  }

  hideError() {
    this.error.hidden = true;
  }

  close() {
    for (const [event, callback] of this.listeners) this.model.off(event, callback);
  }
}
