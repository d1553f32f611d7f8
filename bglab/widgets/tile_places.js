// Where tiles are in a row or grid that scrolls: numbers alone, without the page.

export const GAP_PX = 4;
// Tiles so far outside of the visible part are in the page, too.
const MARGIN_PX = 204;

/**
 * @typedef {object} Arrangement
 * @property {boolean} isGrid A grid scrolls down, a row sideways
 * @property {number} columns Tiles of a row
 * @property {number} pitch Distance between two tiles, from start to start, in pixels
 * @property {number} count
 */

/**
 * Columns of a grid.
 *
 * @param {number} width In pixels, with 2 of padding on either side
 * @param {number} pitch
 */
export const columnsIn = (width, pitch) => Math.max(1, Math.floor((width - 4 + GAP_PX) / pitch));

/**
 * The tiles from the first to the last (exclusive) that are visible, with some more around them.
 *
 * @param {Arrangement} arrangement
 * @param {number} start How far it is scrolled, in pixels
 * @param {number} length Of the visible part, in pixels
 * @returns {[from: number, to: number]}
 */
export const visibleTiles = ({ isGrid, columns, pitch, count }, start, length) => {
  if (!length) return [0, 0];
  const each = isGrid ? columns : 1;
  const from = each * Math.max(0, Math.floor((start - MARGIN_PX) / pitch));
  return [from, Math.min(count, each * Math.ceil((start + length + MARGIN_PX) / pitch))];
};

/**
 * Where a key leads from a tile: undefined for other keys, and a place without a tile beyond the ends.
 *
 * @param {Arrangement} arrangement
 * @param {string} key
 * @param {number} at
 * @param {number} length Of the visible part, in pixels
 * @returns {number | undefined}
 */
export const placeByKey = ({ isGrid, columns, pitch, count }, key, at, length) => {
  const across = isGrid ? columns : 1;
  const inSight = Math.floor(length / pitch);
  // one row of the page before stays visible
  const page = isGrid ? across * Math.max(1, inSight - 1) : Math.max(1, inSight);
  /** @type {Record<string, number>} */
  const places = {
    ArrowRight: at + 1,
    ArrowLeft: at - 1,
    ArrowDown: at + across,
    ArrowUp: at - across,
    Home: 0,
    End: count - 1,
    PageDown: Math.min(at + page, count - 1),
    PageUp: Math.max(at - page, 0),
  };
  return places[key];
};
