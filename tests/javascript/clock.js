// A clock that stands still until a test moves it: `performance.now`, `setTimeout` and `clearTimeout` follow it.

export class Clock {
  constructor() {
    this.now = 0;
    this.last = 0;
    this.timers = new Map();
    this.real = { now: performance.now, setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
    performance.now = () => this.now;
    globalThis.setTimeout = (callback, ms = 0) => {
      this.timers.set(++this.last, { at: this.now + ms, callback });
      return this.last;
    };
    globalThis.clearTimeout = (id) => this.timers.delete(id);
  }

  // Lets time pass, timers ring in their order, and promises settle in between.
  async pass(ms) {
    const end = this.now + ms;
    await this.settle();
    for (let next = this.next(end); next; next = this.next(end)) {
      const [id, { at, callback }] = next;
      this.now = Math.max(this.now, at);
      this.timers.delete(id);
      callback();
      await this.settle();
    }
    this.now = end;
  }

  next(end) {
    return [...this.timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
  }

  async settle() {
    for (let i = 0; i < 5; i++) await Promise.resolve();
  }

  restore() {
    performance.now = this.real.now;
    globalThis.setTimeout = this.real.setTimeout;
    globalThis.clearTimeout = this.real.clearTimeout;
  }
}
