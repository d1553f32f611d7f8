// What the kernel tells a view once, as `greeting` of messages.py collects it, and what there is to choose from by it.

/** @import { SliderRange } from "./controls.js" */
/** @import { BackgroundKind, SliderName, State } from "./state.js" */
/** @import { StripItem } from "./strip.js" */

/** @typedef {[id: string, label: number, place: number, lends: boolean]} SceneRow A scene, and if it lends its background */
/** @typedef {[id: string, place: number, label: number]} UploadRow An uploaded image */
/** @typedef {[id: string, label: number, place: number, ...more: unknown[]]} Pictured A scene that has a thumbnail */

/**
 * @typedef {object} Greeting
 * @property {State} state
 * @property {number} size Side of an image in pixels
 * @property {Record<SliderName, SliderRange>} sliders
 * @property {string[]} nine Names of the nine classes and of everything outside; empty where the scenes have others
 * @property {string[]} own Names of the scenes' own classes; empty where they are the nine
 * @property {string[]} own_rows Names of the rows for these; "" where a row's class changes
 * @property {number[]} colour_map Red, green and blue of 256 colours
 * @property {string[]} models
 * @property {boolean} has_labels
 * @property {string[]} class_names Of the scenes, by label
 * @property {SceneRow[]} scenes
 * @property {string[]} unusable Ids of scenes without a usable object
 * @property {UploadRow[]} uploads
 * @property {string[]} backgrounds Names of uploaded backgrounds
 * @property {[name: string, title: string, text: string][]} variants
 * @property {string[]} textures
 * @property {string[]} venues
 * @property {number} thumb Side of a thumbnail in pixels
 * @property {number} per_sheet
 * @property {number} per_row
 */

/** @typedef {"correct" | "incorrect" | null} Correctness */

export const SWATCHES = ["#ffffff", "#000000", "#808080", "#008000", "#ffff00", "#0072b2", "#d55e00"];

/**
 * A scene's thumbnail: where it is on the sheets, and the words by which it is found.
 *
 * @param {Pick<Greeting, "class_names" | "per_sheet">} config
 * @param {Pictured} scene
 * @returns {StripItem}
 */
export const thumbnailOf = ({ class_names: names, per_sheet: perSheet }, [id, label, place]) => ({
  value: id,
  label: `${names[label] ?? "unknown class"} · ${id}`,
  sheet: String(Math.floor(place / perSheet)),
  place: place % perSheet,
});

/**
 * @param {Pick<Greeting, "scenes" | "unusable">} config
 * @returns {SceneRow[]}
 */
export const usableScenes = ({ scenes, unusable }) => {
  const without = new Set(unusable);
  return scenes.filter(([id]) => !without.has(id));
};

/**
 * The scenes of one class that are predicted correctly or not.
 *
 * @param {SceneRow[]} scenes
 * @param {string} label "" stands for every class
 * @param {string} wanted "" stands for both, as does anything before it is known what is predicted correctly
 * @param {Correctness[] | undefined} correctness By the scene's place
 */
export const filteredScenes = (scenes, label, wanted, correctness) =>
  scenes.filter(
    ([, ofScene, place]) =>
      (label === "" || String(ofScene) === label) && (!wanted || !correctness || correctness[place] === wanted),
  );

/**
 * The background that choosing a kind shows first; null where there is none yet.
 *
 * @param {BackgroundKind} kind
 * @param {Pick<Greeting, "textures" | "backgrounds" | "scenes" | "unusable">} config
 * @param {string} scene Shown scene, which is not its own donor unless there is no other
 * @returns {string | null}
 */
export const firstBackground = (kind, config, scene) => {
  const donor = usableScenes(config).find(([id, , , lends]) => lends && id !== scene);
  return {
    own: "own",
    colour: "colour:#ffffff",
    noise: "noise:gaussian",
    variant: "variant:only_fg",
    texture: `texture:${config.textures[0]}`,
    image: config.backgrounds.length ? `image:${config.backgrounds[0]}` : null,
    scene: `scene:${donor?.[0] ?? scene}`,
  }[kind];
};

/**
 * The backgrounds of a kind, where these are no thumbnails of scenes.
 *
 * @param {BackgroundKind} kind
 * @param {Pick<Greeting, "variants" | "textures" | "backgrounds">} config
 * @param {string} scene A texture is drawn anew for each image, and so are its thumbnails
 * @returns {StripItem[] | null}
 */
export const chipsOf = (kind, config, scene) => {
  switch (kind) {
    case "variant":
      return config.variants.map(([name, title, text]) => ({ value: `variant:${name}`, label: text, text: title }));
    case "colour":
      return SWATCHES.map((colour) => ({ value: `colour:${colour}`, label: colour, colour }));
    case "texture":
      return config.textures.map((name, i) => ({ value: `texture:${name}`, label: name, sheet: scene, place: i }));
    case "noise":
      return ["gaussian", "uniform"].map((name) => ({ value: `noise:${name}`, label: `${name} noise`, text: name }));
    case "image":
      return config.backgrounds.map((name) => ({ value: `image:${name}`, label: name, text: name }));
    default:
      return null;
  }
};
