// Whether the kernel still answers. One that is busy answers late, one that was restarted never answers this view.

export const NOTICES = {
  waiting: "Waiting for the kernel…",
  silent: "The kernel has not answered for a while. If it was restarted, run the cell again.",
  lost: "The kernel was restarted: run the cell again.",
};
const PATIENCE_MS = 3000;
const SILENT_MS = 30_000;
// An idle widget asks only when someone comes back to it: a regular message would keep hubs from stopping idle kernels.
const STALE_MS = 5000;

export class Connection {
  // `ask` sends a message that the kernel answers at once, `isGone` looks for the widget in the kernel, and `show` is
  // called with live, waiting, silent or lost.
  constructor({ ask, isGone, show }) {
    Object.assign(this, { ask, isGone, show, state: "live", timer: 0, heardAt: performance.now() });
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

  become(state) {
    if (this.state === state) return;
    this.state = state;
    this.show(state);
  }

  close() {
    clearTimeout(this.timer);
  }
}

// JupyterLab, Notebook and Voilà let a widget reach its kernel: `ended` is called when that ends or starts anew. Returns a
// function that looks for the comm of a widget in the kernel, and one that stops listening.
export const kernelToReach = (model, ended, started) => {
  const kernel = model.widget_manager?.kernel;
  const changed = (_kernel, status) => {
    if (["restarting", "autorestarting", "terminating", "dead"].includes(status)) ended();
    else if (status === "starting") started();
  };
  kernel?.statusChanged?.connect(changed);
  return {
    async lacks(comm) {
      if (!kernel?.requestCommInfo || !comm) return false;
      const { content } = await kernel.requestCommInfo({ target_name: "jupyter.widget" });
      return content.status === "ok" && !(comm in content.comms);
    },
    close: () => kernel?.statusChanged?.disconnect(changed),
  };
};
