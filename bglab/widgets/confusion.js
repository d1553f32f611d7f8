// A confusion matrix to choose from: rows are true classes, columns predicted ones.

import { make, QUIET } from "./controls.js";

/**
 * @typedef {{shown: number[], counts: number[][], is_part: boolean}} Confusion Classes with their counts; the last column is outside.
 */

/** @typedef {HTMLTableCellElement & { truth: string, predicted: string, at: [row: number, column: number] }} Cell */

export class ConfusionMatrix {
  /** @type {Cell[][]} */
  cells = [];
  /** Row and column of the cell that the tabulator key reaches. @type {[row: number, column: number]} */
  at = [0, 0];
  /** Classes that are shown, to tell whether they change. */
  key = "";

  /**
   * @param {string[]} names Names of all classes, and last that of predictions outside them.
   * @param {(truth: string, predicted: string) => void} choose Called with the classes of a cell, or "" for all.
   */
  constructor(names, choose) {
    this.names = names;
    this.choose = choose;
    this.table = make("table", {
      class: "bglab-confusion",
      role: "grid",
      "aria-label": "Confusion matrix: true class by predicted class",
    });
    this.part = make("div", { class: "bglab-note" });
    this.element = make(
      "section",
      { class: "bglab-matrix", "aria-label": "Confusion" },
      make("h3", {}, "True class × predicted class"),
      this.table,
      this.part,
    );
    this.table.addEventListener("keydown", (event) => this.onKey(event));
    this.table.addEventListener("click", (event) => this.press(event.target));
  }

  /**
   * @param {Confusion} confusion
   * @param {string} truth Chosen true class, or "".
   * @param {string} predicted Chosen predicted class, or "".
   */
  show({ shown, counts, is_part: isPart }, truth, predicted) {
    const columns = [...shown, this.names.length - 1];
    const key = JSON.stringify(shown);
    if (key !== this.key) this.build(shown, columns);
    this.key = key;
    this.part.textContent = isPart
      ? `The ${shown.length} of ${(this.names.length - 1).toLocaleString("en")} classes with most errors`
      : "Choose a cell to see its rows; again to see all.";
    counts.forEach((row, r) => {
      const total = row.reduce((sum, count) => sum + count, 0);
      row.forEach((count, c) => {
        const cell = this.cells[r][c];
        const [t, p] = [this.names[shown[r]], this.names[columns[c]]];
        const words = count.toLocaleString("en");
        if (cell.textContent !== words) cell.textContent = count ? words : "·";
        cell.setAttribute("aria-label", `true ${t}, predicted ${p}: ${words}`);
        cell.title = `true ${t}, predicted ${p}: ${words} rows`;
        cell.style.setProperty("--share", `${Math.round(total ? (100 * count) / total : 0)}%`);
        cell.dataset.kind = shown[r] === columns[c] ? "correct" : "incorrect";
        cell.setAttribute(
          "aria-selected",
          String(Boolean(truth || predicted) && (!truth || t === truth) && (!predicted || p === predicted)),
        );
      });
    });
  }

  /**
   * @param {number[]} shown Labels of the rows
   * @param {number[]} columns Labels of the columns
   */
  build(shown, columns) {
    const head = columns.map((label) => make("th", { scope: "col" }, make("span", {}, this.names[label])));
    this.cells = shown.map((truth, r) =>
      columns.map((predicted, c) => {
        const cell = make("td", { role: "gridcell", tabindex: r || c ? -1 : 0, ...QUIET });
        /** @type {[number, number]} */
        const at = [r, c];
        return Object.assign(cell, { truth: this.names[truth], predicted: this.names[predicted], at });
      }),
    );
    this.at = [0, 0];
    this.table.replaceChildren(
      make("thead", {}, make("tr", {}, make("td"), ...head)),
      make(
        "tbody",
        {},
        ...this.cells.map((row, r) => make("tr", {}, make("th", { scope: "row" }, this.names[shown[r]]), ...row)),
      ),
    );
  }

  /** @param {EventTarget | null} target */
  press(target) {
    const cell = /** @type {Cell | null} */ (/** @type {Element} */ (target).closest("[role=gridcell]"));
    if (!cell) return;
    this.activate(...cell.at);
    const isChosen =
      cell.getAttribute("aria-selected") === "true" && this.table.querySelectorAll("[aria-selected=true]").length === 1;
    this.choose(isChosen ? "" : cell.truth, isChosen ? "" : cell.predicted);
  }

  /**
   * @param {number} r
   * @param {number} c
   */
  activate(r, c) {
    this.cells[this.at[0]]?.[this.at[1]]?.setAttribute("tabindex", "-1");
    this.at = [r, c];
    this.cells[r][c].setAttribute("tabindex", "0");
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, number[]>} */
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    const step = steps[event.key];
    if (event.key === "Enter" || event.key === " ") this.press(event.target);
    else if (step) {
      /** @type {[number, number]} */
      const to = [this.at[0] + step[0], this.at[1] + step[1]];
      const cell = this.cells[to[0]]?.[to[1]];
      if (cell) {
        this.activate(...to);
        cell.focus({ preventScroll: true });
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
