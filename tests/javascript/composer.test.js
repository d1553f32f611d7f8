// Compositing, compared with slow loops that follow its definition; tests/widgets/test_composer.py compares it with the
// kernel's.

import assert from "node:assert/strict";
import { test } from "node:test";
import { blurPlanes, brightenPlanes, Composer, colourMap, growMask } from "../../bglab/widgets/composer.js";
import { noise } from "./random.js";

const SIZE = 12;
const AREA = SIZE * SIZE;

const PLAIN = {
  mix: 1,
  background_blur: 0,
  brightness: 1,
  feather: 0,
  grow: 0,
  dx: 0,
  dy: 0,
  scale: 1,
  flip: false,
};

const levels = (seed, count = 3 * AREA) => {
  const next = noise(seed);
  return Uint8Array.from({ length: count }, () => Math.floor(256 * next()));
};

const blob = (seed) => {
  const next = noise(seed);
  return Uint8Array.from({ length: AREA }, (_, i) => {
    const [x, y] = [i % SIZE, Math.floor(i / SIZE)];
    return (x - 6) ** 2 + (y - 5) ** 2 < 10 || next() < 0.05 ? 1 : 0;
  });
};

const layers = (seed = 1) => ({
  image: levels(seed),
  front: levels(seed + 1),
  alpha: blob(seed + 2),
  plate: levels(seed + 3),
});

const halfEven = (value) => {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
};
const byte = (value) => Math.min(Math.max(halfEven(value), 0), 255);

const closest = (actual, expected) =>
  Math.max(
    ...Array.from(actual, (value, i) => Math.abs(value - expected[i])),
    Math.abs(actual.length - expected.length),
  );

// Gaussian blur as one sum over all pixels in reach, with whole samples reflected at the borders.
const slowBlur = (plane, size, sigma) => {
  const reach = Math.min(Math.round(3 * sigma), size - 1);
  const reflect = (i) => (i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i);
  const weight = (dy, dx) => Math.exp(-(dy * dy + dx * dx) / (2 * sigma * sigma));
  return Array.from({ length: size * size }, (_, at) => {
    let sum = 0;
    let total = 0;
    for (let dy = -reach; dy <= reach; dy++)
      for (let dx = -reach; dx <= reach; dx++) {
        const [y, x] = [reflect(Math.floor(at / size) + dy), reflect((at % size) + dx)];
        sum += weight(dy, dx) * plane[y * size + x];
        total += weight(dy, dx);
      }
    return sum / total;
  });
};

// The value between pixels, whose centres are at halves: outside, the border is repeated or everything is 0.
const between = (plane, x, y, border) => {
  const at = (column, row) => {
    if (!border && (column < 0 || row < 0 || column >= SIZE || row >= SIZE)) return 0;
    const clamp = (i) => Math.min(Math.max(i, 0), SIZE - 1);
    return plane[clamp(row) * SIZE + clamp(column)];
  };
  let sum = 0;
  for (let row = Math.floor(y - 0.5); row <= Math.floor(y - 0.5) + 1; row++)
    for (let column = Math.floor(x - 0.5); column <= Math.floor(x - 0.5) + 1; column++)
      sum += at(column, row) * (1 - Math.abs(x - 0.5 - column)) * (1 - Math.abs(y - 0.5 - row));
  return sum;
};

// Where a point of the moved image comes from: scaled about the centre, then moved; mirrored first.
const moved = (plane, { dx, dy, scale, flip }, border) =>
  Array.from({ length: AREA }, (_, at) => {
    const x = ((at % SIZE) + 0.5 - SIZE / 2 - dx * SIZE) / scale + SIZE / 2;
    const y = (Math.floor(at / SIZE) + 0.5 - SIZE / 2 - dy * SIZE) / scale + SIZE / 2;
    return between(plane, flip ? SIZE - x : x, y, border);
  });

const channel = (planes, c) => Array.from(planes.slice(c * AREA, (c + 1) * AREA));

const slowCompose = ({ image, front, alpha, plate }, s) => {
  const grown = slowGrow(alpha, s.grow);
  const soft = s.feather ? slowBlur(grown, SIZE, s.feather) : grown;
  const a = moved(soft, s, false);
  const composed = new Array(4 * AREA).fill(255);
  for (let c = 0; c < 3; c++) {
    const blurred = s.background_blur
      ? slowBlur(channel(plate, c), SIZE, s.background_blur).map(byte)
      : channel(plate, c);
    const fore = moved(channel(front, c), s, true).map(byte);
    channel(image, c).forEach((own, i) => {
      const lit = byte(blurred[i] * s.brightness);
      const [back, object] = [lit, fore[i]].map((level) => halfEven(own + s.mix * (level - own)));
      composed[4 * i + c] = byte(back + a[i] * (object - back));
    });
  }
  return composed;
};

// A pixel is in the grown mask if one of the mask is near, and in the shrunk one if none outside of the mask is.
const slowGrow = (mask, radius) =>
  Array.from(mask, (_, at) => {
    const isNear = (value) =>
      Array.from(mask).some((other, i) => {
        const [dx, dy] = [(i % SIZE) - (at % SIZE), Math.floor(i / SIZE) - Math.floor(at / SIZE)];
        return other === value && Math.hypot(dx, dy) <= Math.abs(radius) + 1e-9;
      });
    return Number(radius >= 0 ? isNear(1) : !isNear(0));
  });

for (const sigma of [0.4, 1, 2.3, 10])
  test(`a blur of ${sigma} pixels is the weighted mean of what is in reach`, () => {
    const mask = Float32Array.from(blob(5));
    assert.ok(closest(blurPlanes(mask, SIZE, sigma), slowBlur(mask, SIZE, sigma)) < 1e-5);
    const planes = new Uint8ClampedArray(levels(6));
    const expected = [0, 1, 2].flatMap((c) => slowBlur(channel(planes, c), SIZE, sigma));
    assert.ok(closest(blurPlanes(planes, SIZE, sigma), expected) <= 0.5001);
  });

test("a blur leaves a plain plane as it is, and keeps the type of its planes", () => {
  const plain = new Uint8ClampedArray(3 * AREA).fill(77);
  assert.deepEqual(blurPlanes(plain, SIZE, 3), plain);
  assert.ok(blurPlanes(new Float32Array(AREA), SIZE, 1) instanceof Float32Array);
  assert.equal(blurPlanes(plain, SIZE, 0), plain);
});

test("a brightened level rounds ties to even and ends at white", () => {
  const planes = Uint8ClampedArray.from([0, 1, 3, 5, 100, 255]);
  assert.deepEqual([...brightenPlanes(planes, 0.5)], [0, 0, 2, 2, 50, 128]);
  assert.deepEqual([...brightenPlanes(planes, 1.5)], [0, 2, 4, 8, 150, 255]);
  assert.equal(brightenPlanes(planes, 1), planes);
});

for (const radius of [-3, -2, -1, 0, 1, 2, 5])
  test(`a mask grown by ${radius} pixels has what a disc reaches`, () => {
    const mask = Float32Array.from(blob(7));
    assert.deepEqual([...growMask(mask, SIZE, radius)], slowGrow(mask, radius));
  });

test("the image border does not erode a mask", () => {
  const mask = new Float32Array(AREA).fill(1);
  assert.deepEqual(growMask(mask, SIZE, -4), mask);
});

test("the photograph is what an unchanged state of its own plate shows", () => {
  const { image, alpha } = layers();
  const composed = new Composer(SIZE, { image, front: image, alpha, plate: image }).compose(PLAIN);
  for (let i = 0; i < AREA; i++)
    assert.deepEqual([...composed.slice(4 * i, 4 * i + 4)], [image[i], image[AREA + i], image[2 * AREA + i], 255]);
});

test("a movement by whole pixels moves the object, and leaves the background behind it", () => {
  const { image, front, alpha, plate } = layers();
  const composed = new Composer(SIZE, { image, front, alpha, plate }).compose({
    ...PLAIN,
    dx: 3 / SIZE,
    dy: -2 / SIZE,
  });
  for (let y = 0; y < SIZE; y++)
    for (let x = 0; x < SIZE; x++) {
      const [column, row] = [x - 3, y + 2];
      const isObject = column >= 0 && row < SIZE && alpha[row * SIZE + column] === 1;
      const expected = isObject ? front[row * SIZE + column] : plate[y * SIZE + x];
      assert.equal(composed[4 * (y * SIZE + x)], expected, `${x}, ${y}`);
    }
});

test("a flip mirrors the object left to right", () => {
  const { image, front, alpha, plate } = layers();
  const composed = new Composer(SIZE, { image, front, alpha, plate }).compose({ ...PLAIN, flip: true });
  for (let i = 0; i < AREA; i++) {
    const mirrored = i - (i % SIZE) + SIZE - 1 - (i % SIZE);
    assert.equal(composed[4 * i], alpha[mirrored] ? front[mirrored] : plate[i]);
  }
});

const STATES = [
  {},
  { mix: 0.37 },
  { mix: 0.5 },
  { mix: 0 },
  { background_blur: 1.3, brightness: 1.4 },
  { feather: 1.1 },
  { grow: 2, feather: 0.7 },
  { grow: -1 },
  { scale: 2 },
  { scale: 1.7, dx: 0.13 },
  { scale: 0.4, dx: -0.2, dy: 0.31, flip: true },
  { mix: 0.61, background_blur: 2, brightness: 0.7, feather: 1, grow: 1, dx: 0.07, dy: 0.11, scale: 0.8, flip: true },
];

for (const changes of STATES)
  test(`a state is composed as defined: ${JSON.stringify(changes)}`, () => {
    const state = { ...PLAIN, ...changes };
    const given = layers(11);
    const actual = Array.from(new Composer(SIZE, given).compose(state));
    const expected = slowCompose(given, state);
    // single precision may round the other way, in few places
    assert.ok(closest(actual, expected) <= 1);
    assert.ok(actual.filter((level, i) => level !== expected[i]).length <= 0.01 * actual.length);
  });

test("what is cached never outlives what it depends on", () => {
  const given = layers(21);
  const composer = new Composer(SIZE, given);
  for (const changes of [...STATES, ...STATES.toReversed()]) {
    const state = { ...PLAIN, ...changes };
    assert.deepEqual(composer.compose(state), new Composer(SIZE, given).compose(state), JSON.stringify(changes));
  }
});

test("what a change leaves as it is is not computed again", () => {
  const composer = new Composer(SIZE, layers());
  const state = { ...PLAIN, feather: 1, dx: 0.1 };
  const [alpha, colours] = [composer.alpha(state), composer.colours(state)];
  const brighter = { ...state, mix: 0.5, brightness: 1.5, background_blur: 2 };
  assert.equal(composer.alpha(brighter), alpha);
  assert.equal(composer.colours(brighter), colours);
  assert.notEqual(composer.alpha({ ...state, grow: 1 }), alpha);
  assert.equal(composer.colours({ ...state, grow: 1 }), colours);
});

test("layers are read where they begin in a larger buffer", () => {
  const given = layers(31);
  const shifted = Object.fromEntries(
    Object.entries(given).map(([name, plane]) => {
      const larger = new Uint8Array(plane.length + 9);
      larger.set(plane, 5);
      return [name, larger.subarray(5, 5 + plane.length)];
    }),
  );
  assert.deepEqual(new Composer(SIZE, shifted).compose(PLAIN), new Composer(SIZE, given).compose(PLAIN));
});

const GREYS = Array.from({ length: 768 }, (_, i) => Math.floor(i / 3));

test("a saliency map is scaled to its maximum, and transparent where it is 0", () => {
  const pixels = colourMap(Float32Array.from([0, 2, 8, 4]), 2, 2, 2, GREYS);
  // levels 0, 63.75, 255, 127.5; alpha is 255 times the root of their share
  const expected = [
    [0, 0, 0, 0],
    [64, 64, 64, 128],
    [255, 255, 255, 255],
    [128, 128, 128, 181],
  ];
  assert.deepEqual([...pixels], expected.flat());
});

test("a saliency map is enlarged bilinearly, and its border repeated", () => {
  const pixels = colourMap(Float32Array.from([0, 1]), 1, 2, 8, GREYS);
  // centres at (i + 1/2) / 4 of two cells whose own are at 1/2 and 3/2
  const shares = [0, 0, 1 / 8, 3 / 8, 5 / 8, 7 / 8, 1, 1];
  for (let row = 0; row < 8; row++)
    shares.forEach((share, i) => {
      assert.equal(pixels[4 * (8 * row + i)], Math.round(255 * share));
    });
});

test("a map of zeros is transparent, and colours keep their order", () => {
  assert.ok(colourMap(new Float32Array(6), 2, 3, 4, GREYS).every((level) => level === 0));
  const table = [...new Array(765).fill(0), 10, 20, 30];
  assert.deepEqual([...colourMap(Float32Array.of(1), 1, 1, 1, table)], [10, 20, 30, 255]);
});
