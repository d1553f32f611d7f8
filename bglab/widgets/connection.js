// Whether the kernel still answers. One that is busy answers late, one that was restarted never answers this view.

/** @import { Model } from "./view.js" */

/** @typedef {"live" | "waiting" | "silent" | "lost"} ConnectionState */

/** @type {Record<ConnectionState, string>} */
export const NOTICES = {
  live: "",
  waiting: "Waiting for the kernel…",
  silent: "The kernel has not answered for a while. If it was restarted, run the cell again.",
  lost: "The kernel was restarted: run the cell again.",
};
const PATIENCE_MS = 3000;
const SILENT_MS = 30_000;
// An idle widget asks only when someone comes back to it: a regular message would keep hubs from stopping idle kernels.
const STALE_MS = 5000;

export class Connection {
  /**
   * @param {object} on
   * @param {() => void} on.ask Sends a message that the kernel answers at once
   * @param {() => Promise<boolean>} on.isGone Looks for the widget in the kernel
   * @param {(state: ConnectionState) => void} on.show
   */
  constructor({ ask, isGone, show }) {
    this.ask = ask;
    this.isGone = isGone;
    this.show = show;
    /** @type {ConnectionState} */
    this.state = "live";
    this.timer = 0;
    this.heardAt = performance.now();
  }

  // A request was sent. If nothing comes back, the kernel may be computing, so it is asked whether it is there.
  sent() {
    if (this.timer || this.state !== "live") return;
    this.timer = setTimeout(() => {
      this.ask();
      this.verify();
      this.timer = setTimeout(() => {
        this.become("waiting");
        this.verify();
        this.timer = setTimeout(() => this.become("silent"), SILENT_MS);
      }, PATIENCE_MS);
    }, PATIENCE_MS);
  }

  heard() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.heardAt = performance.now();
    this.become("live");
  }

  // Someone came back to the widget.
  check() {
    if (this.timer || this.state !== "live" || performance.now() - this.heardAt < STALE_MS) return;
    this.sent();
    this.ask();
  }

  async verify() {
    const isGone = await this.isGone().catch(() => false);
    if (isGone) this.lose();
  }

  lose() {
    clearTimeout(this.timer);
    this.become("lost");
  }

  /** @param {ConnectionState} state */
  become(state) {
    if (this.state === state) return;
    this.state = state;
    this.show(state);
  }

  close() {
    clearTimeout(this.timer);
  }
}

/** @typedef {(kernel: unknown, status: string) => void} StatusListener */

/**
 * @typedef {object} Kernel A front end's connection to a kernel, as far as it is used here
 * @property {{ connect: (changed: StatusListener) => void, disconnect: (changed: StatusListener) => void }} [statusChanged]
 * @property {(wanted: { target_name: string }) => Promise<{ content: { status: string, comms: object } }>} [requestCommInfo]
 */

/**
 * JupyterLab, Notebook and Voilà let a widget reach its kernel. Returns a function that looks for the comm of a widget in
 * the kernel, and one that stops listening.
 *
 * @param {Pick<Model, "widget_manager">} model
 * @param {() => void} ended Called when the kernel ends or starts anew
 * @param {() => void} started
 */
export const kernelToReach = (model, ended, started) => {
  const kernel = model.widget_manager?.kernel;
  /** @type {StatusListener} */
  const changed = (_kernel, status) => {
    if (["restarting", "autorestarting", "terminating", "dead"].includes(status)) ended();
    else if (status === "starting") started();
  };
  kernel?.statusChanged?.connect(changed);
  return {
    /** @param {string | undefined} comm */
    async lacks(comm) {
      if (!kernel?.requestCommInfo || !comm) return false;
      const { content } = await kernel.requestCommInfo({ target_name: "jupyter.widget" });
      return content.status === "ok" && !(comm in content.comms);
    },
    close: () => kernel?.statusChanged?.disconnect(changed),
  };
};
