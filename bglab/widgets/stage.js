// The canvas: shows the composed image, and handles moving the object, drawing a box, and brushing the mask.

import { make, QUIET } from "./controls.js";

const within = (value, low, high) => Math.min(Math.max(value, low), high);

export class Stage {
  // `on` holds the callbacks: moved(changes), settled(), boxed(box), brushed(mask).
  constructor(size, on) {
    Object.assign(this, { size, on, mode: "move", undone: [], mask: null, brush: 0.06, erase: false });
    const surface = (kind, attributes = {}) =>
      make("canvas", { width: size, height: size, class: kind, ...attributes });
    this.canvas = surface("bglab-image", {
      role: "img",
      tabindex: 0,
      "aria-label": "Composed image",
      ...QUIET,
      title: "Drag to move the object; click it and scroll to scale. Keys: arrows move, + and − scale, f flips",
    });
    this.heat = surface("bglab-heat", { "aria-hidden": "true" });
    this.marks = surface("bglab-marks", { "aria-hidden": "true" });
    this.element = make("div", { class: "bglab-stage", "data-mode": "move" }, this.canvas, this.heat, this.marks);
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel", "keydown"]) {
      this.canvas.addEventListener(kind, (event) => this[kind](event));
    }
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  draw(levels) {
    this.pen.putImageData(new ImageData(levels, this.size, this.size), 0, 0);
  }

  drawHeat(levels, opacity) {
    this.heat.hidden = !opacity;
    this.heat.style.opacity = opacity;
    if (levels) this.heat.getContext("2d").putImageData(new ImageData(levels, this.size, this.size), 0, 0);
  }

  use(mode, mask) {
    this.mode = mode;
    this.undone = [];
    this.mask = mask ? Uint8Array.from(mask) : null;
    this.element.dataset.mode = mode;
    this.drawMarks();
  }

  // Position of an event, as shares of the side.
  point(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  }

  pointerdown(event) {
    if (event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
    this.from = this.last = this.point(event);
    if (this.mode === "brush" && this.mask) {
      this.undone.push(this.mask.slice());
      if (this.undone.length > 50) this.undone.shift();
      this.stroke(this.from);
    }
    event.preventDefault();
  }

  pointermove(event) {
    if (!this.from) return;
    const point = this.point(event);
    if (this.mode === "move") this.on.moved({ dx: point[0] - this.last[0], dy: point[1] - this.last[1] });
    else if (this.mode === "box") this.drawMarks([...this.from, ...point]);
    else this.stroke(point);
    this.last = point;
  }

  pointerup(event) {
    if (!this.from) return;
    const [from, to] = [this.from, this.point(event)];
    this.from = null;
    if (this.mode === "move") this.on.settled();
    else if (this.mode === "brush") this.on.brushed(this.mask);
    else {
      const [x0, x1] = [from[0], to[0]].sort((a, b) => a - b).map((v) => within(v, 0, 1));
      const [y0, y1] = [from[1], to[1]].sort((a, b) => a - b).map((v) => within(v, 0, 1));
      if (x1 - x0 > 0.02 && y1 - y0 > 0.02) this.on.boxed([x0, y0, x1, y1]);
      else this.drawMarks();
    }
  }

  pointercancel() {
    this.from = null;
    this.on.settled();
  }

  wheel(event) {
    if (this.mode !== "move" || document.activeElement !== this.canvas) return;
    event.preventDefault();
    this.on.moved({ scale: Math.exp(-event.deltaY / 500) });
    clearTimeout(this.wheeling);
    this.wheeling = setTimeout(() => this.on.settled(), 250);
  }

  keydown(event) {
    const step = (event.shiftKey ? 10 : 1) / this.size;
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
      this.on.moved(moves[event.key]);
      this.on.settled();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  stroke([x, y]) {
    const { size, mask } = this;
    if (!mask) return;
    const radius = this.brush * size,
      [lastX, lastY] = this.last;
    const steps = Math.max(1, Math.ceil((Math.hypot(x - lastX, y - lastY) * size) / Math.max(1, radius / 2)));
    for (let step = 1; step <= steps; step++) {
      const cx = (lastX + ((x - lastX) * step) / steps) * size,
        cy = (lastY + ((y - lastY) * step) / steps) * size;
      for (let row = Math.max(0, Math.floor(cy - radius)); row < Math.min(size, cy + radius); row++) {
        for (let column = Math.max(0, Math.floor(cx - radius)); column < Math.min(size, cx + radius); column++) {
          if (Math.hypot(column + 0.5 - cx, row + 0.5 - cy) <= radius) mask[row * size + column] = this.erase ? 0 : 1;
        }
      }
    }
    this.drawMarks();
  }

  undo() {
    if (!this.undone.length) return;
    this.mask = this.undone.pop();
    this.drawMarks();
    this.on.brushed(this.mask);
  }

  // Draws the tinted mask while it is edited, and the box while it is drawn.
  drawMarks(box) {
    const pen = this.marks.getContext("2d");
    pen.clearRect(0, 0, this.size, this.size);
    if (this.mode === "brush" && this.mask) {
      const tint = new ImageData(this.size, this.size);
      this.mask.forEach((inside, i) => tint.data.set(inside ? [230, 159, 0, 110] : [0, 0, 0, 90], 4 * i));
      pen.putImageData(tint, 0, 0);
    }
    if (!box) return;
    const [x0, y0, x1, y1] = box.map((v) => within(v, 0, 1) * this.size);
    pen.lineWidth = 2;
    for (const [colour, dash] of [
      ["#000", []],
      ["#fff", [5, 5]],
    ]) {
      pen.strokeStyle = colour;
      pen.setLineDash(dash);
      pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
  }
}
