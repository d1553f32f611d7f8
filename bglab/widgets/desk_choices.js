// What the desk shows to choose from: data and networks, and the list of tables and figures.

import { button, make, QUIET, select, write } from "./controls.js";
import { filtered } from "./desk_list.js";
import { chipOf } from "./desk_tables.js";
import { View } from "./view.js";

/** @import { Attributes, Option } from "./controls.js" */
/** @import { Listed } from "./desk_list.js" */

/**
 * @typedef {object} DeskGreeting What the kernel tells a view once, as `greeting` of desk_messages.py collects it
 * @property {Listed[]} artefacts
 * @property {Record<string, string>} papers Titles of the papers
 * @property {string[]} sources URIs of scenes to suggest
 * @property {{ scenes: string, models: string, seed: number, out: string }} settings
 * @property {string[]} venues
 * @property {string[]} widths As wide as a column, or as the text
 * @property {string[]} formats Of exported files
 * @property {{ artefact: string, venue: string }} state
 */

/** @typedef {{ state: string, reason: string, command: string }} Readiness Whether it can be made, or what is missing */
/** @typedef {[status: string, chip: string]} Status What came of a run, and the same in a word or two */

/** @type {Option[]} */
const STATES = [
  ["", "all"],
  ["ready", "ready"],
  ["needs training", "needs training"],
  ["needs data", "needs data"],
  ["done", "done"],
];

/**
 * A labelled text field.
 *
 * @param {string} name
 * @param {string} label
 * @param {string | number} value
 * @param {Attributes} attributes
 */
const labelledField = (name, label, value, attributes) => {
  const input = make("input", {
    class: "bglab-field",
    name,
    value,
    spellcheck: "false",
    autocomplete: "off",
    ...QUIET,
    ...attributes,
  });
  return { input, element: make("label", { class: `bglab-labelled bglab-${name}` }, label, input) };
};

// `DeskView` shows the chosen one, and what a run does.
export class DeskChoices extends View {
  /** @type {DeskGreeting} */
  config;
  /** @type {Record<string, Readiness | undefined>} */
  states = {};
  /** Of those that were made, or begun. @type {Record<string, Status | undefined>} */
  statuses = {};
  /** The list, filtered. @type {Listed[]} */
  shown = [];
  /** Id of the one that the list has chosen. */
  chosen = "";
  /** Id of the one that is being made; "" if none is. */
  running = "";
  words = make("input", {
    type: "search",
    class: "bglab-search-field",
    placeholder: "Search…",
    "aria-label": "Search tables and figures",
    spellcheck: "false",
    autocomplete: "off",
    ...QUIET,
    oninput: () => this.fill(),
  });
  wanted = select("Filter by state", STATES, () => this.fill());
  count = make("span", { class: "bglab-note", role: "status" });
  runAll = button("Run all shown", () => this.run(this.shown.map(({ id }) => id)), {
    title: "Make all of the list that can be made, one after the other",
  });
  list = make("div", {
    class: "bglab-desk-list",
    role: "listbox",
    "aria-label": "Tables and figures",
    onclick: (event) => this.onListClick(event),
    onkeydown: (event) => this.onListKey(event),
  });
  status = make("div", { class: "bglab-status", role: "status", "aria-live": "polite" });

  settingsRow() {
    const { settings, sources } = this.config;
    const id = `bglab-sources-${this.id}`;
    const scenes = labelledField("scenes", "Scenes", settings.scenes, { list: id, title: "URI of the test scenes" });
    const models = labelledField("models", "Models", settings.models, {
      title: "URIs of pre-trained networks, separated by spaces",
    });
    const seed = labelledField("seed", "Seed", settings.seed, { type: "number", min: 0, step: 1 });
    const use = () =>
      this.send({
        type: "choose",
        scenes: scenes.input.value,
        models: models.input.value,
        seed: Number.parseInt(seed.input.value, 10),
      });
    return make(
      "div",
      { class: "bglab-row bglab-desk-settings" },
      scenes.element,
      make("datalist", { id }, ...sources.map((value) => make("option", { value }))),
      models.element,
      seed.element,
      button("Use these", use, { title: "Results of other scenes, models and seeds stay stored" }),
    );
  }

  side() {
    const space = make("span", { class: "bglab-space" });
    const row = make("div", { class: "bglab-row" }, this.wanted, this.count, space, this.runAll);
    const filter = make("div", { class: "bglab-desk-filter" }, this.words, row);
    return make("section", { class: "bglab-desk-side", "aria-label": "Tables and figures" }, filter, this.list);
  }

  /** @param {MouseEvent} event */
  onListClick(event) {
    /** @type {HTMLElement | null} */
    const item = /** @type {Element} */ (event.target).closest("[role=option]");
    if (item?.dataset.id) this.pick(item.dataset.id);
  }

  /** @param {KeyboardEvent} event */
  onListKey(event) {
    const at = this.shown.findIndex(({ id }) => id === this.chosen);
    /** @type {Record<string, number | undefined>} */
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: this.shown.length - 1 };
    const to = moves[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (!this.shown[to]) return;
    this.pick(this.shown[to].id);
    this.items.find((item) => item.dataset.id === this.chosen)?.focus();
  }

  get items() {
    /** @type {NodeListOf<HTMLElement>} */
    const items = this.list.querySelectorAll("[role=option]");
    return [...items];
  }

  /** @param {string} id */
  stateOf(id) {
    const status = this.statuses[id];
    if (status) return status[0] === "stopped" ? "stopped" : "done";
    return this.states[id]?.state ?? "";
  }

  fill() {
    const { artefacts, papers } = this.config;
    this.shown = filtered(artefacts, this.words.value, this.wanted.value, (id) => this.stateOf(id));
    const groups = Object.entries(papers).flatMap(([paper, title]) => {
      const inside = this.shown.filter((each) => each.paper === paper).map((each) => this.itemOf(each));
      const heading = make("div", { class: "bglab-desk-paper", role: "presentation" }, title);
      return inside.length ? [heading, ...inside] : [];
    });
    const none = make("div", { class: "bglab-note" }, "No such table or figure");
    const hadFocus = this.list.contains(document.activeElement);
    this.list.replaceChildren(...(groups.length ? groups : [none]));
    const isAll = this.shown.length === artefacts.length;
    write(this.count, isAll ? `${artefacts.length}` : `${this.shown.length} of ${artefacts.length}`);
    this.mark();
    // the arrow keys go on when the kernel has said something new
    if (hadFocus) this.items.find((item) => item.tabIndex === 0)?.focus({ preventScroll: true });
  }

  /** @param {Listed} listed */
  itemOf({ id, place, title }) {
    const [status, chip] = this.statuses[id] ?? ["", ""];
    const state = this.states[id]?.state ?? "";
    return make(
      "div",
      { class: "bglab-desk-item", role: "option", "data-id": id, title: `${id}: ${title}`, ...QUIET },
      make("b", {}, place),
      make("span", { class: "bglab-desk-title" }, title),
      chipOf(status || state, chip || state),
    );
  }

  // Marks the chosen item and the one that is being made, without making the list anew.
  mark() {
    const { items } = this;
    for (const item of items) {
      const isChosen = item.dataset.id === this.chosen;
      item.setAttribute("aria-selected", String(isChosen));
      item.tabIndex = isChosen ? 0 : -1;
      item.classList.toggle("bglab-running", item.dataset.id === this.running);
    }
    // the list can be reached by Tab even if the chosen one is filtered out
    if (items.length && items.every((item) => item.tabIndex < 0)) items[0].tabIndex = 0;
  }

  /**
   * @param {string} id
   * @param {boolean} isEcho Whether the kernel said so
   */
  pick(id, isEcho = false) {
    if (id === this.chosen && isEcho) return;
    this.chosen = id;
    this.mark();
    this.send({ type: "select", id });
  }

  /** @param {string[]} ids Those that can't be made are left out */
  run(ids) {
    const able = ids.filter((id) => this.states[id]?.state === "ready" || this.statuses[id]);
    this.hideError();
    if (able.length) this.send({ type: "run", ids: able });
    else this.status.textContent = "None of these can be made from these scenes and models";
  }
}
