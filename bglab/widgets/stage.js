// The canvas: shows the composed image, and handles moving the object, drawing a box, and brushing the mask.

import { penOf, putLevels, square } from "./canvases.js";
import { make, QUIET } from "./controls.js";
import { boxBetween, brushMask, within } from "./mask.js";

/** @import { DrawnBox, Point } from "./mask.js" */
/** @import { Movement } from "./state.js" */

/** @typedef {"move" | "box" | "brush"} Tool */

/**
 * @typedef {object} StageCallbacks
 * @property {(movement: Movement) => void} moved
 * @property {() => void} settled
 * @property {(box: DrawnBox) => void} boxed
 * @property {(mask: Uint8Array<ArrayBuffer>) => void} brushed
 */

const STROKES_KEPT = 50;

export class Stage {
  /** Where the pointer went down, while it is down. @type {Point | null} */
  from = null;
  /** Where it was last. @type {Point} */
  last = [0, 0];
  wheeling = 0;

  /**
   * @param {number} size Side in pixels
   * @param {StageCallbacks | null} on Without them the canvas only shows
   */
  constructor(size, on = null) {
    this.size = size;
    this.on = on;
    /** @type {Tool | "show"} */
    this.mode = on ? "move" : "show";
    /** @type {Uint8Array<ArrayBuffer>[]} */
    this.undone = [];
    /** @type {Uint8Array<ArrayBuffer> | null} */
    this.mask = null;
    this.brush = 0.06;
    this.erase = false;
    const handled = on && {
      tabindex: 0,
      ...QUIET,
      title: "Drag to move the object; click it and scroll to scale. Keys: arrows move, + and − scale, f flips",
    };
    this.canvas = square(size, { class: "bglab-image", role: "img", "aria-label": "Composed image", ...handled });
    this.heat = square(size, { class: "bglab-heat", "aria-hidden": "true" });
    this.marks = square(size, { class: "bglab-marks", "aria-hidden": "true" });
    this.element = make("div", { class: "bglab-stage", "data-mode": this.mode }, this.canvas, this.heat, this.marks);
    penOf(this.canvas, { willReadFrequently: true });
    if (!on) return;
    this.canvas.addEventListener("pointerdown", (event) => this.pointerdown(event));
    this.canvas.addEventListener("pointermove", (event) => this.pointermove(event));
    this.canvas.addEventListener("pointerup", (event) => this.pointerup(event));
    this.canvas.addEventListener("pointercancel", () => this.pointercancel());
    this.canvas.addEventListener("keydown", (event) => this.keydown(event));
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  /** @param {Uint8ClampedArray<ArrayBuffer>} levels RGBA */
  draw(levels) {
    putLevels(this.canvas, levels);
  }

  /**
   * @param {Uint8ClampedArray<ArrayBuffer> | null} levels RGBA; null leaves what was drawn before
   * @param {number} opacity
   */
  drawHeat(levels, opacity) {
    this.heat.hidden = !opacity;
    this.heat.style.opacity = String(opacity);
    if (levels) putLevels(this.heat, levels);
  }

  /**
   * @param {Tool | "show"} mode
   * @param {ArrayLike<number> | null} mask What the brush corrects
   */
  use(mode, mask) {
    this.mode = mode;
    this.undone = [];
    this.mask = mask ? Uint8Array.from(mask) : null;
    this.element.dataset.mode = mode;
    this.drawMarks();
  }

  /**
   * @param {MouseEvent} event
   * @returns {Point}
   */
  point(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  }

  /** @param {PointerEvent} event */
  pointerdown(event) {
    if (event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
    this.from = this.last = this.point(event);
    if (this.mode === "brush" && this.mask) {
      this.undone.push(this.mask.slice());
      if (this.undone.length > STROKES_KEPT) this.undone.shift();
      this.stroke(this.from);
    }
    event.preventDefault();
  }

  /** @param {PointerEvent} event */
  pointermove(event) {
    if (!this.from) return;
    const point = this.point(event);
    if (this.mode === "move") this.on?.moved({ dx: point[0] - this.last[0], dy: point[1] - this.last[1] });
    else if (this.mode === "box") this.drawMarks([...this.from, ...point]);
    else this.stroke(point);
    this.last = point;
  }

  /** @param {PointerEvent} event */
  pointerup(event) {
    if (!this.from) return;
    const box = boxBetween(this.from, this.point(event));
    this.from = null;
    if (this.mode === "move") this.on?.settled();
    else if (this.mode === "brush") this.brushed();
    else if (box) this.on?.boxed(box);
    else this.drawMarks();
  }

  pointercancel() {
    this.from = null;
    this.on?.settled();
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    if (this.mode !== "move" || document.activeElement !== this.canvas) return;
    event.preventDefault();
    this.on?.moved({ scale: Math.exp(-event.deltaY / 500) });
    clearTimeout(this.wheeling);
    this.wheeling = setTimeout(() => this.on?.settled(), 250);
  }

  /** @param {KeyboardEvent} event */
  keydown(event) {
    const step = (event.shiftKey ? 10 : 1) / this.size;
    /** @type {Record<string, Movement>} */
    const moves = {
      ArrowLeft: { dx: -step },
      ArrowRight: { dx: step },
      ArrowUp: { dy: -step },
      ArrowDown: { dy: step },
      "+": { scale: 1.05 },
      "-": { scale: 1 / 1.05 },
      f: { flip: true },
    };
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && this.mode === "brush") this.undo();
    else if (this.mode === "move" && moves[event.key] && !event.ctrlKey && !event.metaKey) {
      this.on?.moved(moves[event.key]);
      this.on?.settled();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {Point} point */
  stroke(point) {
    if (!this.mask) return;
    brushMask(this.mask, this.size, this.last, point, this.brush, this.erase ? 0 : 1);
    this.drawMarks();
  }

  brushed() {
    if (this.mask) this.on?.brushed(this.mask);
  }

  undo() {
    const before = this.undone.pop();
    if (!before) return;
    this.mask = before;
    this.drawMarks();
    this.brushed();
  }

  /**
   * Draws the tinted mask while it is edited, and the box while it is drawn.
   *
   * @param {DrawnBox} [box] From where the pointer went down to where it is, in any direction
   */
  drawMarks(box) {
    const pen = penOf(this.marks);
    pen.clearRect(0, 0, this.size, this.size);
    if (this.mode === "brush" && this.mask) {
      const tint = new ImageData(this.size, this.size);
      for (let i = 0; i < this.mask.length; i++)
        tint.data.set(this.mask[i] ? [230, 159, 0, 110] : [0, 0, 0, 90], 4 * i);
      pen.putImageData(tint, 0, 0);
    }
    if (!box) return;
    const [x0, y0, x1, y1] = box.map((value) => within(value, 0, 1) * this.size);
    pen.lineWidth = 2;
    for (const [colour, dash] of /** @type {[string, number[]][]} */ ([
      ["#000", []],
      ["#fff", [5, 5]],
    ])) {
      pen.strokeStyle = colour;
      pen.setLineDash(dash);
      pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
  }
}
