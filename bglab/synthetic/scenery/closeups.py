"""Scenery without a horizon: leaf, stage, jungle, reef."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float

from bglab.synthetic.colors import Color, Colors, blend, jitter, pick, shaded, tints
from bglab.synthetic.objects.outlines import ROUND, Outline, blob, limb, oval, polygon, turned
from bglab.synthetic.scenery.brushes import (
    Canvas,
    Sprite,
    blend_in,
    fill,
    fill_alike,
    fill_bottom,
    fill_each,
    fill_sprite,
    fill_stacks,
    first_row,
    gradient,
    modulate,
    ragged,
    scattered,
    soften,
    to_image,
    to_tones,
    wavy,
)
from bglab.synthetic.scenery.surfaces import BOARDS, SEABED, curtain, level_ground, water
from bglab.synthetic.textures import glow_at, window


def leaf(rng: np.random.Generator, size: int) -> Canvas:
    """Paint a leaf in close-up: midrib, side veins, dew, and bokeh behind it."""
    green = jitter(rng, ((96, 160, 54), (140, 176, 60), (62, 134, 70))[pick(rng, 3)], 12)
    far = jitter(rng, ((60, 96, 50), (150, 170, 90), (96, 120, 110), (120, 100, 60))[pick(rng, 4)], 12)
    behind = _bokeh(rng, size, far)
    turn, root = rng.uniform(-32, 32), (0.5, rng.uniform(0.52, 0.62))
    tones = gradient(size, (0, shaded(green, 1.16)), (1, shaded(green, 0.7)))
    blend_in(tones, (230, 246, 150), 0.45 * glow_at(size, rng.uniform(0.1, 0.9), rng.uniform(0.3, 0.6)))
    modulate(tones, window(rng, "mottle", size), 0.22)
    blade = to_image(tones)
    for shift, tone in ((0.008, 0.62), (0.0, 1.34)):
        for vein in _veins():
            outlines = turned(vein.reshape(-1, 2), turn, (0, 0)).reshape(vein.shape) + root
            fill_alike(blade, outlines + (0, shift), shaded(green, tone))
    inside = np.zeros((size, size, 3), dtype=np.uint8)
    fill(inside, turned(_LEAF_RIM, turn, (0, 0)) + root, (255, 255, 255))
    share = to_tones(inside) * np.float32(1 / 255)
    image = to_image(to_tones(behind) * (1 - share) + to_tones(blade) * share)
    count = pick(rng, 8)
    drops = np.array([0.1, root[1] - 0.16]) + rng.random((count, 2)) * (0.8, 0.36)
    radii = np.full((count, 1), 0.017)
    layers = [
        (scattered(ROUND, drops, radii), 0.72),
        (scattered(0.78 * ROUND + 0.12, drops, radii), 1.3),
        (scattered(0.28 * ROUND - 0.34, drops, radii), 1.95),
    ]
    fill_stacks(image, layers, np.full((count, 3), green))
    return image


#: Outline of the leaf around the middle of its midrib.
_LEAF_RIM = blob(
    (-0.9, 0.02), (-0.5, -0.3), (-0.05, -0.4), (0.45, -0.3), (0.75, 0), (0.45, 0.34), (-0.05, 0.44), (-0.5, 0.34)
)


@functools.cache
def _veins() -> tuple[Float[np.ndarray, "k n 2"], Float[np.ndarray, "1 n 2"]]:
    """Return eight pairs of side veins, and the midrib, around the middle of the midrib."""
    midrib = limb([(-0.9, 0.01), (-0.1, 0), (0.8, 0)], [0.018, 0.014, 0.007])
    lines = []
    for k in range(8):
        start = -0.75 + 0.18 * k
        for side in (-1, 1):
            # the midrib hides where the veins begin, apart, so that none overlaps another
            curve = [(start, side * 0.009), (start + 0.14, side * 0.2), (start + 0.24, side * 0.46)]
            lines.append(limb(curve, [0.008, 0.006, 0.003]))
    return np.stack(lines), midrib[None]


def _bokeh(rng: np.random.Generator, size: int, far: Color) -> Canvas:
    """Paint what is far out of focus: discs of light on a gradient of one colour."""
    image = to_image(gradient(size, (0, shaded(far, 1.15)), (1, shaded(far, 0.7))))
    x, y, radius, warm = rng.random((4, 11))
    discs = scattered(ROUND, np.array([x, 0.75 * y]).T, (0.05 + 0.09 * radius)[:, None])
    light = np.where(warm[:, None] < 0.6, (255, 246, 190), (236, 150, 130))
    share = (0.25 + 0.3 * warm)[:, None]
    fill_each(image, discs, np.array(far) * (1 - share) + light * share)
    return soften(image, 0.02)


def stage(rng: np.random.Generator, size: int) -> Canvas:
    """Paint a stage: heavy curtain in folds, boards in perspective, a spotlight."""
    edge = rng.uniform(0.6, 0.7)
    cloth = jitter(rng, ((168, 26, 36), (132, 20, 52), (40, 52, 120), (96, 36, 110))[pick(rng, 4)], 12)
    tones = curtain(rng, size, cloth, edge)
    wood = jitter(rng, ((170, 112, 62), (136, 84, 48), (196, 146, 92))[pick(rng, 3)], 10)
    stops = (edge, shaded(wood, 0.62)), (edge + 0.03, shaded(wood, 0.85)), (1, wood)
    image = to_image(tones)
    fill_bottom(image, level_ground(rng, size, BOARDS, edge, edge - 0.04, *stops))
    if rng.random() < 0.6:
        _valance(image, cloth)
    k = np.arange(-9, 10)[:, None]
    seams = np.array([(0.5, edge), (0.503, edge), (0.508, 1.01), (0.5, 1.01)]) + np.zeros((19, 1, 1))
    seams[..., 0] += k * np.array([0.07, 0.07, 0.19, 0.19])
    fill_alike(image, seams, shaded(wood, 0.45))
    fill(image, polygon((0, edge - 0.014), (1, edge - 0.014), (1, edge), (0, edge)), (206, 166, 82))
    return _spotlit(image, rng.uniform(0.3, 0.7))


def _spotlit(image: Canvas, x: float) -> Canvas:
    """Darken a stage outside a warm pool of light around ``x``."""
    tones, high = to_tones(image), glow_at(image.shape[0], x, 0.5)
    tones *= np.float32(0.42) + np.float32(0.75) * high + np.float32(0.25) * glow_at(image.shape[0], x, 0.9)
    blend_in(tones, (255, 236, 190), np.float32(0.16) * high)
    return to_image(tones)


def _valance(image: Canvas, cloth: Color) -> None:
    """Paint a short scalloped curtain with a golden fringe along the top."""
    for x in (0.125, 0.375, 0.625, 0.875):
        for radius, color in ((0.155, (214, 174, 84)), (0.135, shaded(cloth, 0.85)), (0.07, shaded(cloth, 1.06))):
            fill(image, oval(x, -0.02, 0.98 * radius, 1.08 * radius), color)


def jungle(rng: np.random.Generator, size: int) -> Canvas:
    """Paint a jungle: leaf upon leaf from the dim depth to the bright front, lianas, shafts of light."""
    deep = jitter(rng, (28, 62, 40), 8)
    light = blend(deep, (214, 236, 150), rng.uniform(0.25, 0.6))
    tones = gradient(size, (0, light), (0.5, shaded(deep, 1.16)), (1, shaded(deep, 0.6)))
    blend_in(tones, (236, 250, 180), 0.7 * glow_at(size, rng.uniform(0.2, 0.8), rng.uniform(-0.1, 0.3)))
    modulate(tones, window(rng, "mottle", size), 0.7)
    modulate(tones, np.float32(1) - glow_at(size, 0.5, 1.2), 0.5)
    image = to_image(tones)
    for depth in range(3):
        bright = (0.3, 0.62, 1.0)[depth]
        for _ in range(1 + (depth < 2)):
            x, sway = rng.random(), rng.uniform(-0.1, 0.1)
            curve = [(x, -0.05), (x + sway, 0.4), (x - 0.4 * sway, rng.uniform(0.6, 1.1))]
            fill(image, limb(curve, [0.006 + 0.004 * depth] * 3), blend(deep, (126, 106, 66), bright))
        colors = tints(rng, 10, (36, 96, 44), (112, 168, 60), 12)
        _foliage(rng, image, depth, np.array(deep) * (1 - bright) + colors * bright)
        image = soften(image, (0.02, 0.01, 0.0)[depth])
    return image


@functools.cache
def _fronds() -> tuple[tuple[tuple[Outline, float], ...], ...]:
    """Return a broad leaf and a feathered palm leaf, a unit long, each as outlines and shades."""
    broad = blob((0, 0), (0.3, -0.2), (0.7, -0.14), (1, 0.02), (0.7, 0.16), (0.3, 0.2))
    upper = polygon((0, 0), (0.35, -0.16), (0.75, -0.1), (1, 0.01))
    combs = []
    for side in (-1, 1):
        comb = [(0.0, 0.0)]
        for k in range(1, 8):
            x, reach = k / 7, 0.34 - 0.03 * k
            comb += [(x - 0.06, 0.0), (x + 0.12, side * reach), (x + 0.15, side * reach), (x, 0.0)]
        combs.append(polygon(*comb))
    rib = limb([(0, 0), (1.0, 0)], [0.016, 0.006])
    return ((broad, 1.0), (upper, 1.1), (rib, 1.35)), ((combs[0], 1.1), (combs[1], 0.85), (rib * (1.1, 1), 1.2))


def _foliage(rng: np.random.Generator, image: Canvas, depth: int, colors: Colors) -> None:
    """Paint leaves: far ones anywhere, near ones mostly from the frame inwards."""
    count = len(colors)
    u, v, swing, where, long = rng.random((5, count))
    y = 0.1 + v if depth < 2 else np.where(where < 0.7, np.where(v < 0.6, 1.05, -0.04), 0.1 + v)
    toward = np.where(y > 0.5, -90, 90) + 110 * (swing - 0.5)
    at, scale = np.array([u, y]).T, ((0.2, 0.26, 0.32)[depth] * (0.75 + 0.5 * long))[:, None]
    broad = round(0.65 * count)
    for kind, part in enumerate((slice(0, broad), slice(broad, count))):
        layers = [(scattered(outline, at[part], scale[part], toward[part]), tone) for outline, tone in _fronds()[kind]]
        fill_stacks(image, layers if depth == 2 else layers[:2], colors[part])


def reef(rng: np.random.Generator, size: int) -> Canvas:
    """Paint a reef: blue water with rays and caustics, sand, corals, weeds, bubbles."""
    top, deep = (
        ((126, 214, 226), (22, 92, 150)),
        ((96, 190, 214), (16, 70, 120)),
        ((150, 224, 206), (30, 120, 130)),
    )[pick(rng, 3)]
    bed = rng.uniform(0.72, 0.84)
    image = water(rng, size, (0, jitter(rng, top, 8)), (0.75, jitter(rng, deep, 8)), (1, shaded(deep, 0.85)))
    rock = blend(deep, (40, 60, 80), 0.4)
    fill(image, ragged(rng, 9, bed - 0.02, 0.16), rock)
    fill(image, ragged(rng, 9, bed + 0.03, 0.1), shaded(rock, 0.9))
    image = soften(image, 0.018)
    sand = blend(jitter(rng, (222, 206, 160), 8), deep, 0.25)
    stops = (bed, blend(sand, deep, 0.5)), (1, sand)
    floor = level_ground(rng, size, SEABED, bed, bed - 0.1, *stops)
    # the sand ends in a soft swell, not in a straight edge
    fill(image, wavy(rng, bed, 0.012, 0.8), blend(sand, deep, 0.5))
    fill_bottom(image, floor[:, first_row(size, bed + 0.015) - size :])
    _growth(rng, image, bed, deep)
    count = pick(rng, 9)
    x, y, radius = rng.random((3, count))
    at, radii = np.array([x, 0.8 * y]).T, (0.006 + 0.014 * radius)[:, None]
    layers = [(scattered(ROUND, at, radii), 1.45), (scattered(0.7 * ROUND + 0.2, at, radii), 0.85)]
    fill_stacks(image, layers, np.full((count, 3), blend(top, deep, 0.3)))
    return image


@functools.cache
def _corals() -> tuple[Sprite, ...]:
    """Return what grows on a reef, a unit tall on y = 0: staghorn coral, weed, brain coral, fan coral."""
    stag: list[tuple[Outline, float]] = []
    for lean, rise in ((-0.55, 0.8), (-0.2, 1.0), (0.15, 0.9), (0.5, 0.85)):
        knee, tip = (0.5 * lean, -0.5 * rise), (1.15 * lean, -rise)
        stag.append((limb([(0, 0), knee, tip], [0.11, 0.08, 0.05]), 0.9 + 0.4 * abs(lean)))
        stag.append((limb([knee, (knee[0] - 0.2, knee[1] - 0.28)], [0.065, 0.04]), 1.0))
    weed = [
        (limb([(lean, 0), (lean - sway, -0.5), (lean + sway, -1), (lean - sway, -1.5)], [0.05, 0.07, 0.06, 0.01]), tone)
        for lean, sway, tone in ((-0.2, 0.1, 0.8), (0.0, -0.12, 1.0), (0.22, 0.08, 1.1))
    ]
    brain = [(oval(0, 0, 0.62, 0.48), 0.72), (oval(-0.06, -0.08, 0.5, 0.35), 1.0)]
    brain += [(limb([(x - 0.16, -0.06), (x, -0.3)], [0.025, 0.025]), 0.75) for x in (-0.2, 0.02, 0.24)]
    tips = [(0.75 * np.sin(a), -np.cos(a)) for a in np.linspace(-1.1, 1.1, 7)]
    fan = [(blob((0, 0.05), *tips), 1.0)]
    fan += [(limb([(0, 0), (0.94 * x, 0.94 * y)], [0.025, 0.015]), 0.66) for x, y in tips]
    return tuple(Sprite.of(parts) for parts in (stag, weed, brain, fan))


def _growth(rng: np.random.Generator, image: Canvas, bed: float, deep: Color) -> None:
    """Paint corals and weeds along the sea bed."""
    paints = ((236, 96, 110), (246, 160, 70), (176, 96, 190), (240, 206, 110), (86, 170, 110))
    x = rng.permutation(np.linspace(0.02, 0.98, 7))
    kinds, hues, tall, wide, low = rng.random((5, 7))
    for k in range(7):
        kind = int(4 * kinds[k])
        color = (70, 150, 90) if kind == 1 else paints[int(5 * hues[k])]
        size = 0.12 + 0.12 * tall[k]
        at, scale = (x[k], bed + 0.02 + 0.18 * low[k]), (size if wide[k] < 0.5 else -size, size)
        fill_sprite(image, _corals()[kind], at, scale, blend(color, deep, 0.22))
