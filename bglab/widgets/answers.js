// What one classifier says: verdict, nine classes, its own best classes, share of saliency on the object.

const percent = (value) => `${Math.round(100 * value)}`;
const signed = (change) => {
  const points = Math.round(100 * change);
  return points === 0 ? "" : points > 0 ? `+${points}` : `−${-points}`;
};

class Bar {
  constructor(label, colour) {
    this.fill = make("div", { class: "bglab-fill" });
    this.fill.style.background = colour;
    this.mark = make("div", { class: "bglab-before", title: "the photograph" });
    this.label = make("span", { class: "bglab-name" }, label);
    this.value = make("span", { class: "bglab-value" });
    this.change = make("span", { class: "bglab-change" });
    const track = make("div", { class: "bglab-track" }, this.fill, this.mark);
    this.element = make("div", { class: "bglab-bar" }, this.label, track, this.value, this.change);
  }

  show(now, before) {
    this.fill.style.width = `${(100 * now).toFixed(1)}%`;
    this.mark.style.left = `${100 * before}%`;
    say(this.value, percent(now));
    say(this.change, signed(now - before));
  }
}

const VERDICTS = {
  right: ["right", "✓ right"],
  captured: ["wrong", "✗ captured by the background"],
  wrong: ["wrong", "✗ wrong"],
  unknown: ["unknown", "class not given"],
};

export const verdictOf = (answer) =>
  answer.right === null ? "unknown" : answer.right ? "right" : answer.captured ? "captured" : "wrong";

export class AnswerPanel {
  constructor(model, names, colours) {
    this.names = names;
    this.mark = make("b");
    this.said = make("span");
    this.verdict = make("div", { class: "bglab-verdict" }, this.mark, this.said);
    this.nine = names.map((name, i) => new Bar(name, colours[i]));
    this.own = Array.from({ length: 5 }, () => new Bar("", "var(--bglab-plain)"));
    this.share = make("div", { class: "bglab-share" });
    this.nineElement = make("div", { class: "bglab-bars" }, make("h4", {}, "Nine classes, %"), ...this.nine.map((bar) => bar.element));
    this.element = make(
      "section", { class: "bglab-answer", "aria-label": `Answer of ${model}` },
      make("h3", { title: model }, model.replace(/^[a-z]+:/, "")), this.verdict, this.share,
      make("div", { class: "bglab-both" }, this.nineElement,
        make("div", { class: "bglab-bars" }, make("h4", {}, "Its own classes, %"), ...this.own.map((bar) => bar.element))),
    );
  }

  show(answer, before, truth, donor) {
    const kind = verdictOf(answer);
    const [tone, words] = VERDICTS[kind];
    const said = answer.nine ? this.names[answer.prediction < 0 ? 9 : answer.prediction] : answer.top[0][1];
    const native = answer.nine ? ` (${answer.top[0][1]}, ${percent(answer.top[0][2])} %)` : "";
    this.mark.className = `bglab-${tone}`;
    say(this.mark, words);
    say(this.said, ` · ${said}${native}`);
    this.nineElement.hidden = !answer.nine;
    if (answer.nine) {
      this.nine.forEach((bar, i) => {
        bar.show(answer.nine[i], before.nine[i]);
        const role = i === truth ? "true" : i === donor ? "background" : "";
        if (bar.element.dataset.role !== role) {
          bar.element.dataset.role = role;
          bar.label.textContent = role ? `${this.names[i]} (${role})` : this.names[i];
        }
      });
    }
    this.own.forEach((bar, i) => {
      const [, name, now, earlier] = answer.top[i] ?? [0, "", 0, 0];
      bar.element.hidden = !answer.top[i];
      if (bar.label.title !== name) {
        bar.label.textContent = name;
        bar.label.title = name;
      }
      bar.show(now, earlier);
    });
    const change = answer.share === null || before.share === null ? "" : ` (${signed(answer.share - before.share) || "±0"})`;
    say(this.share, answer.no_map ? `No saliency: ${answer.no_map}`
      : answer.share === null ? "Saliency on the object: –" : `Saliency on the object: ${percent(answer.share)} %${change}`);
    this.spoken = `${words.replace(/[✓✗] /, "")}: ${said}${native}`;
  }

  dim(isOld) {
    this.element.classList.toggle("bglab-old", isOld);
  }
}
