// Sheets of thumbnails, requested for what is visible. What is scrolled past before its turn is never requested.

/** @import { Bytes } from "./view.js" */

const SHEETS_AT_ONCE = 2;
// A request without a reply for so long does not hold up others.
const GIVE_UP_MS = 5000;
// Sheets that are kept: about twenty megabytes.
const SHEETS_KEPT = 200;

export class SheetLoader {
  /** @param {(sheet: string) => void} need Requests a sheet */
  constructor(need) {
    this.need = need;
    /** URLs of the sheets that have come. @type {Map<string, string>} */
    this.urls = new Map();
    /** When each sheet was requested that has not come yet. @type {Map<string, number>} */
    this.asked = new Map();
    /** @type {string[]} */
    this.wanted = [];
  }

  /**
   * Takes the sheets that are visible now; those that have come into view last are requested first.
   *
   * @param {Set<string>} sheets
   */
  want(sheets) {
    const earlier = this.wanted.filter((sheet) => sheets.has(sheet));
    this.wanted = [...[...sheets].filter((sheet) => !earlier.includes(sheet)), ...earlier];
    this.request();
  }

  request() {
    const now = performance.now();
    for (const [sheet, since] of this.asked) if (now - since > GIVE_UP_MS) this.asked.delete(sheet);
    for (const sheet of this.wanted) {
      if (this.asked.size >= SHEETS_AT_ONCE) return;
      if (this.urls.has(sheet) || this.asked.has(sheet)) continue;
      this.asked.set(sheet, now);
      this.need(sheet);
    }
  }

  /**
   * @param {string} sheet
   * @param {Bytes} bytes JPEG
   */
  take(sheet, bytes) {
    this.forget(sheet);
    this.urls.set(sheet, URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })));
    this.asked.delete(sheet);
    for (const old of this.urls.keys()) {
      if (this.urls.size <= SHEETS_KEPT) break;
      if (old !== sheet && !this.wanted.includes(old)) this.forget(old);
    }
    this.request();
  }

  /** @param {string} sheet */
  forget(sheet) {
    const url = this.urls.get(sheet);
    if (url) URL.revokeObjectURL(url);
    this.urls.delete(sheet);
  }

  // Forgets all sheets and requests, as when every place shows something else.
  clear() {
    this.close();
    this.asked.clear();
    this.wanted = [];
  }

  close() {
    for (const sheet of [...this.urls.keys()]) this.forget(sheet);
  }
}
