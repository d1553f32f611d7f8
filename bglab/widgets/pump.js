// Requests of which only the latest counts, such as those of a drag: one is under way at a time.

// Shortest time between two requests of a drag: nobody reads faster, and a smooth canvas needs the processor's time.
export const PACE_MS = 100;

/** @template Item */
export class Pump {
  /**
   * @param {object} on
   * @param {() => number} on.number Numbers a request; replies have the same number
   * @param {(seq: number, item: Item) => void} on.send
   */
  constructor({ number, send }) {
    this.number = number;
    this.send = send;
    /** @type {number | null} */
    this.inFlight = null;
    /** @type {Item | null} */
    this.waiting = null;
    this.sentAt = 0;
    this.pause = 0;
  }

  /**
   * Sends a request now, or once the one under way has been answered, unless a later one takes its place until then.
   *
   * @param {Item} item
   */
  push(item) {
    this.waiting = item;
    this.next();
  }

  next() {
    if (this.inFlight !== null || this.pause || this.waiting === null) return;
    const item = this.waiting;
    this.waiting = null;
    this.inFlight = this.number();
    this.sentAt = performance.now();
    this.send(this.inFlight, item);
  }

  /**
   * Takes an answer; returns whether it was that to the request under way.
   *
   * @param {number | null | undefined} seq
   */
  landed(seq) {
    if (seq == null || seq !== this.inFlight) return false;
    this.inFlight = null;
    // an item that waits came before the answer, so something is being dragged; a single step is never delayed
    if (this.waiting !== null) {
      const resume = () => {
        this.pause = 0;
        this.next();
      };
      this.pause = setTimeout(resume, this.sentAt + PACE_MS - performance.now());
    }
    return true;
  }

  close() {
    clearTimeout(this.pause);
  }
}
