// One classifier's result: correctness, probabilities of the nine and the top native classes, saliency on the object.

const percent = (value) => `${Math.round(100 * value)}`;
const signed = (change) => {
  const points = Math.round(100 * change);
  return points === 0 ? "" : points > 0 ? `+${points}` : `−${-points}`;
};

class Bar {
  constructor(label, colour) {
    this.fill = make("div", { class: "bglab-fill" });
    this.fill.style.background = colour;
    this.mark = make("div", { class: "bglab-before", title: "Original photograph" });
    this.label = make("span", { class: "bglab-name" }, label);
    this.value = make("span", { class: "bglab-value" });
    this.change = make("span", { class: "bglab-change" });
    const track = make("div", { class: "bglab-track" }, this.fill, this.mark);
    this.element = make("div", { class: "bglab-bar" }, this.label, track, this.value, this.change);
  }

  show(now, before) {
    this.fill.style.width = `${(100 * now).toFixed(1)}%`;
    this.mark.style.left = `${100 * before}%`;
    write(this.value, percent(now));
    write(this.change, signed(now - before));
  }
}

// For each outcome, the suffix of its CSS class and its text.
const OUTCOMES = {
  correct: ["correct", "✓ correct"],
  captured: ["incorrect", "✗ incorrect: the background's class"],
  incorrect: ["incorrect", "✗ incorrect"],
  unknown: ["unknown", "true class unknown"],
};

export const outcomeOf = ({ correct, captured }) =>
  OUTCOMES[correct === null ? "unknown" : correct ? "correct" : captured ? "captured" : "incorrect"];

export class ResultPanel {
  constructor(model, names, colours) {
    this.names = names;
    this.mark = make("b");
    this.predicted = make("span");
    this.outcome = make("div", { class: "bglab-outcome" }, this.mark, this.predicted);
    this.nine = names.map((name, i) => new Bar(name, colours[i]));
    this.top = Array.from({ length: 5 }, () => new Bar("", "var(--bglab-plain)"));
    this.share = make("div", { class: "bglab-share" });
    this.nineElement = make("div", { class: "bglab-bars" }, make("h4", {}, "ImageNet-9 classes, %"), ...this.nine.map((bar) => bar.element));
    this.element = make(
      "section", { class: "bglab-result", "aria-label": `Prediction of ${model}` },
      make("h3", { title: model }, model.replace(/^[a-z]+:/, "")), this.outcome, this.share,
      make("div", { class: "bglab-both" }, this.nineElement,
        make("div", { class: "bglab-bars" }, make("h4", {}, "Native classes (top 5), %"), ...this.top.map((bar) => bar.element))),
    );
  }

  show(result, original, truth, donor) {
    const [tone, words] = outcomeOf(result);
    const predicted = result.nine ? this.names[result.prediction < 0 ? 9 : result.prediction] : result.top[0][1];
    const native = result.nine ? ` (${result.top[0][1]}, ${percent(result.top[0][2])} %)` : "";
    this.mark.className = `bglab-${tone}`;
    write(this.mark, words);
    write(this.predicted, ` · ${predicted}${native}`);
    this.nineElement.hidden = !result.nine;
    if (result.nine) {
      this.nine.forEach((bar, i) => {
        bar.show(result.nine[i], original.nine[i]);
        const role = i === truth ? "true" : i === donor ? "background" : "";
        if (bar.element.dataset.role !== role) {
          bar.element.dataset.role = role;
          bar.label.textContent = role ? `${this.names[i]} (${role})` : this.names[i];
        }
      });
    }
    this.top.forEach((bar, i) => {
      const [, name, now, before] = result.top[i] ?? [0, "", 0, 0];
      bar.element.hidden = !result.top[i];
      if (bar.label.title !== name) {
        bar.label.textContent = name;
        bar.label.title = name;
      }
      bar.show(now, before);
    });
    const change = result.share === null || original.share === null ? "" : ` (${signed(result.share - original.share) || "±0"})`;
    write(this.share, result.no_map ? `No saliency map: ${result.no_map}`
      : result.share === null ? "Saliency on the object: –" : `Saliency on the object: ${percent(result.share)} %${change}`);
    this.spoken = `${words.replace(/[✓✗] /, "")}, predicted ${predicted}${native}`;
  }

  dim(isOld) {
    this.element.classList.toggle("bglab-old", isOld);
  }
}
