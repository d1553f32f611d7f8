"""Scenery under the open sky: lawn, sky, street, desert, forest."""

from __future__ import annotations

import numpy as np

from bglab.synthetic.colors import Color, blend, jitter, pick, shaded, tints
from bglab.synthetic.objects.outlines import ROUND, Outline, limb, oval, polygon
from bglab.synthetic.scenery.brushes import (
    Canvas,
    Outlines,
    Tones,
    blades,
    blend_in,
    fill,
    fill_alike,
    fill_bottom,
    fill_each,
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
from bglab.synthetic.scenery.surfaces import (
    ASPHALT,
    DUNE,
    GRASS,
    LITTER,
    SNOW,
    add_clouds,
    add_texture,
    hedge,
    level_ground,
)
from bglab.synthetic.textures import glow_at, smoothstep, window


def lawn(rng: np.random.Generator, size: int) -> Canvas:
    """Paint a park: mown grass, hedges and trees out of focus, perhaps a fence, flowers."""
    horizon = rng.uniform(0.3, 0.44)
    green = jitter(rng, (104, 158, 62), 12)
    tones = gradient(size, (0, jitter(rng, (126, 178, 226), 12)), (horizon, (226, 238, 240)))
    add_clouds(tones, window(rng, "cloud", size), 0.55, thin=True)
    image = to_image(tones)
    hedge(rng, image, horizon, (52, 96, 48), (112, 150, 66))
    image = soften(image, 0.014)
    if rng.random() < 0.4:
        _fence(image, horizon)
    tones = gradient(size, (horizon, shaded(green, 1.18)), (1, shaded(green, 0.72)))[:, first_row(size, horizon) :]
    if rng.random() < 0.5:
        _mow(tones, rng.uniform(0.2, 0.8), horizon, size)
    add_texture(rng, tones, GRASS, horizon)
    fill_bottom(image, tones)
    grass = blades(rng, 30, (horizon + 0.2, 1.06), (0.02, 0.12), 0.009)
    fill_each(image, grass, tints(rng, 30, shaded(green, 0.6), shaded(green, 1.15)))
    _flowers(rng, image, horizon)
    return image


def _mow(tones: Tones, vanishing: float, horizon: float, size: int) -> None:
    """Add the light and dark stripes of a mown lawn, towards a vanishing point."""
    x = (np.arange(size, dtype=np.float32) / size - np.float32(vanishing)) * 9
    depth = np.arange(tones.shape[1], dtype=np.float32) / (size * (1 - horizon)) + np.float32(0.12)
    modulate(tones, smoothstep(np.sin(x / depth.astype(np.float32)[:, None]), -0.15, 0.15), 0.16)


def _fence(image: Canvas, horizon: float) -> None:
    rail = polygon((0, horizon - 0.05), (1, horizon - 0.05), (1, horizon - 0.035), (0, horizon - 0.035))
    fill(image, rail, (222, 220, 212))
    picket = polygon((0, 0.02), (0, -0.07), (0.016, -0.088), (0.032, -0.07), (0.032, 0.02))
    at = np.array([np.linspace(-0.02, 1.0, 18), np.full(18, horizon)]).T
    fill_alike(image, scattered(picket, at, np.ones((18, 1))), (238, 236, 228))


def _flowers(rng: np.random.Generator, image: Canvas, horizon: float) -> None:
    color: Color = ((250, 250, 240), (250, 214, 60), (236, 120, 160))[pick(rng, 3)]
    x, depth = rng.random((2, 11))
    at = np.array([x, horizon + 0.06 + (0.94 - horizon) * depth]).T
    fill_each(image, scattered(ROUND, at, (0.005 + 0.009 * depth)[:, None]), tints(rng, 11, color, color, 8))


def sky(rng: np.random.Generator, size: int) -> Canvas:
    """Paint the open sky: blue, evening or overcast, with clouds; hills or a branch at the edge."""
    high, low = (
        ((54, 118, 206), (176, 214, 242)),
        ((88, 150, 214), (222, 236, 244)),
        ((84, 104, 168), (250, 190, 140)),
        ((120, 140, 164), (206, 214, 220)),
    )[pick(rng, 4)]
    tones = gradient(size, (0, jitter(rng, high)), (0.9, jitter(rng, low)), (1, low))
    if rng.random() < 0.4:
        blend_in(tones, (255, 246, 214), 0.8 * glow_at(size, rng.uniform(0, 1), rng.uniform(0, 0.5)))
    clouds = window(rng, "cloud", size)
    add_clouds(tones, clouds, rng.uniform(0.42, 0.56))
    image = to_image(tones)
    edge = pick(rng, 3)
    if edge == 0:
        hills = blend(low, (84, 116, 110), 0.6)
        for k in range(2):
            fill(image, wavy(rng, 0.9 + 0.05 * k, 0.03, 0.9), shaded(hills, 1 - 0.25 * k))
    elif edge == 1:
        _branch(rng, image)
    return image


def _branch(rng: np.random.Generator, image: Canvas) -> None:
    """Paint a leafy branch that reaches in from the side."""
    mirrored, y = rng.random() < 0.5, rng.uniform(0.76, 0.94)
    stem = limb([(-0.05, y + 0.03), (0.3, y), (0.6, y + 0.03), (0.92, y - 0.04)], [0.026, 0.02, 0.014, 0.005])
    twig = limb([(0.3, y), (0.46, y - 0.12)], [0.012, 0.004])
    bark = jitter(rng, (86, 62, 46), 10)
    x, lean = rng.random((2, 16))
    at = np.array([0.05 + 0.85 * x, y + 0.01 - 0.02 * x]).T
    leaves = scattered(oval(0, -0.03, 0.014, 0.034), at, np.ones((16, 1)), 360 * lean)
    if mirrored:
        stem, twig, leaves = ((outline * (-1, 1)) + (1, 0) for outline in (stem, twig, leaves))
    fill(image, stem, bark)
    fill(image, twig, bark)
    leaf: Color = ((88, 140, 60), (206, 120, 150), (204, 130, 50))[pick(rng, 3)]
    fill_each(image, leaves, tints(rng, 16, shaded(leaf, 0.7), shaded(leaf, 1.2)))


def street(rng: np.random.Generator, size: int) -> Canvas:
    """Paint a street: house fronts with windows, pavement with a lamp, asphalt with lane marks."""
    kerb = rng.uniform(0.54, 0.62)
    image = to_image(gradient(size, (0, jitter(rng, (150, 186, 220), 16)), (0.5, (226, 230, 230))))
    left = rng.uniform(-0.2, 0)
    while left < 1:
        width = rng.uniform(0.24, 0.38)
        _house(rng, image, left, min(left + width, 1.1), kerb)
        left += width
    image = soften(image, 0.006)
    steps: tuple[tuple[float, Color], ...] = (
        (0.0, (176, 172, 164)),
        (0.055, (196, 192, 182)),
        (0.06, (120, 118, 116)),
        (0.075, (112, 112, 114)),
        (0.08, (84, 86, 92)),
        (0.4, (62, 64, 70)),
    )
    stops = [(kerb + depth, color) for depth, color in steps]
    fill_bottom(image, level_ground(rng, size, ASPHALT, kerb, kerb - 0.1, *stops))
    x = (np.arange(-1, 4) + rng.random()) * 0.36
    mark = polygon((0, 0), (0.2, 0), (0.195, 0.026), (-0.012, 0.026))
    at = np.array([x, np.full(5, rng.uniform(0.8, 0.88))]).T
    fill_alike(image, scattered(mark, at, np.ones((5, 1))), (222, 220, 206))
    if rng.random() < 0.7:
        _lamp(image, rng.uniform(0.05, 0.95), kerb + 0.03)
    return image


def _rectangle(left: float, top: float, right: float, bottom: float) -> Outline:
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def _house(rng: np.random.Generator, image: Canvas, left: float, right: float, base: float) -> None:
    """Draw a house front with rows of windows and a shop below."""
    walls: tuple[Color, ...] = ((178, 96, 76), (214, 196, 164), (152, 156, 166), (196, 160, 110), (120, 104, 104))
    wall, top = jitter(rng, walls[pick(rng, 5)], 12), rng.uniform(-0.1, 0.14)
    fill(image, _rectangle(left, top, right, base), wall)
    fill(image, _rectangle(left, top, right, top + 0.02), shaded(wall, 0.7))
    columns = 3 if right - left > 0.3 else 2
    step = (right - left) / columns
    x = left + step * (np.arange(columns) + 0.24)
    y = np.arange(top + 0.06, base - 0.22, 0.13)
    at = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    pane, ones = _rectangle(0, 0, 0.52 * step, 0.085), np.ones((len(at), 1))
    lit: Color = (255, 222, 140) if rng.random() < 0.4 else (150, 172, 190)
    fill_alike(image, scattered(pane * 1.14 - 0.005, at, ones), shaded(wall, 1.25))
    panes, bright = scattered(pane, at, ones), rng.random(len(at)) < 0.4
    fill_alike(image, panes[bright], jitter(rng, lit, 12))
    fill_alike(image, panes[~bright], jitter(rng, (66, 80, 98), 14))
    glass = blend((70, 84, 96), (190, 190, 160), rng.random())
    fill(image, _rectangle(left + 0.02, base - 0.13, right - 0.02, base), glass)
    awning = jitter(rng, ((180, 50, 50), (50, 110, 90), (60, 80, 140))[pick(rng, 3)], 16)
    high, low = base - 0.16, base - 0.11
    fill(image, polygon((left + 0.02, high), (right - 0.02, high), (right, low), (left, low)), awning)


def _lamp(image: Canvas, x: float, base: float) -> None:
    metal: Color = (48, 54, 56)
    fill(image, polygon((x - 0.008, base), (x - 0.005, 0.1), (x + 0.005, 0.1), (x + 0.008, base)), metal)
    fill(image, limb([(x, 0.105), (x + 0.03, 0.075), (x + 0.07, 0.085)], [0.007, 0.006, 0.006]), metal)
    fill(image, oval(x + 0.078, 0.096, 0.026, 0.014), (252, 240, 196))


def desert(rng: np.random.Generator, size: int) -> Canvas:
    """Paint a desert: dunes and mesas under a pale sky, ripples, rocks, perhaps a cactus."""
    horizon = rng.uniform(0.32, 0.46)
    sand = jitter(rng, ((228, 188, 126), (214, 160, 104), (236, 206, 150))[pick(rng, 3)], 10)
    top, low = (((106, 166, 216), (240, 230, 204)), ((226, 150, 104), (252, 222, 160)))[pick(rng, 2)]
    image = to_image(gradient(size, (0, jitter(rng, top)), (horizon, low)))
    if rng.random() < 0.5:
        mesa = blend((164, 92, 64), low, 0.35)
        fill(image, ragged(rng, 7, horizon - 0.01, 0.13, steps=True), mesa)
    for k in range(3):
        y = horizon + 0.09 * k
        crest = wavy(rng, y, 0.03 + 0.012 * k, rng.uniform(0.5, 1.1))
        fill(image, crest, shaded(sand, 0.86 + 0.1 * k))
        # the lee side of a dune: the same crest, falling away at another angle
        lee = crest * (1, 0.75) + (rng.uniform(0.05, 0.2), 0.25 * y + 0.03)
        fill(image, lee, shaded(sand, 0.76 + 0.08 * k))
    first = first_row(size, horizon + 0.2)
    near = gradient(size, (horizon + 0.2, shaded(sand, 1.02)), (1, shaded(sand, 0.84)))[:, first:]
    fade = np.linspace(0, 1, near.shape[1], dtype=np.float32)[:, None] ** 0.5
    far = to_tones(image[first:])
    near = far + fade * (near - far)
    add_texture(rng, near, DUNE, horizon + 0.1)
    fill_bottom(image, near)
    if rng.random() < 0.45:
        _cactus(rng, image, horizon + 0.14)
    _rocks(rng, image, horizon)
    return image


def _rocks(rng: np.random.Generator, image: Canvas, horizon: float) -> None:
    """Paint boulders with a lit top, a dark side and a shadow on the sand."""
    x, depth = rng.random((2, 5))
    depth.sort()
    at, radius = np.array([x, horizon + 0.16 + 0.42 * depth]).T, (0.03 + 0.07 * depth)[:, None]
    angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    rims = np.array([1.3 * np.cos(angles), 0.8 * np.sin(angles)]).T * rng.uniform(0.75, 1.15, (5, 9, 1))

    def rim(scale: tuple[float, float], shift: tuple[float, float]) -> Outlines:
        return (rims * scale + shift) * radius[:, None] + at[:, None]

    layers = [
        (scattered(oval(0.3, 0.55, 1.6, 0.35), at, radius), 0.62),
        (rim((1, 1), (0, 0)), 0.72),
        (rim((0.86, 0.7), (-0.1, -0.2)), 1.0),
        (rim((0.5, 0.34), (-0.2, -0.42)), 1.22),
    ]
    fill_stacks(image, layers, tints(rng, 5, (150, 116, 90), (150, 116, 90), 20))


def _cactus(rng: np.random.Generator, image: Canvas, base: float) -> None:
    x, tall, green = rng.uniform(0.06, 0.94), rng.uniform(0.24, 0.36), jitter(rng, (84, 122, 70), 10)
    arms = [[(x, base), (x, base - tall)]]
    for side, share in ((-1, 0.42), (1, 0.55)):
        y = base - share * tall
        arms.append([(x, y), (x + side * 0.055, y - 0.01), (x + side * 0.06, y - 0.3 * tall)])
    for k, arm in enumerate(arms):
        radius = 0.024 if k == 0 else 0.016
        fill(image, limb(arm, [radius] * len(arm)), shaded(green, 0.8))
        fill(image, limb(arm, [0.5 * radius] * len(arm)) - (0.3 * radius, 0), shaded(green, 1.12))


def forest(rng: np.random.Generator, size: int) -> Canvas:
    """Paint a forest: trunks behind trunks in the mist, conifers, leaf litter or snow."""
    horizon, snowy = rng.uniform(0.5, 0.62), rng.random() < 0.3
    mist = jitter(rng, ((196, 212, 204), (222, 206, 160), (188, 204, 220))[pick(rng, 3)], 8)
    bark = jitter(rng, (72, 54, 44), 8)
    haze = gradient(size, (0, blend(mist, (70, 96, 80), 0.4)), (0.35, mist), (horizon, shaded(mist, 0.9)))
    image = to_image(haze)
    soils: tuple[Color, ...] = ((136, 96, 58), (92, 100, 56), (160, 104, 50))
    litter: Color = (232, 236, 242) if snowy else jitter(rng, soils[pick(rng, 3)], 10)
    for depth, far in enumerate((0.72, 0.4)):
        fir = blend((40, 72, 54), mist, far)
        _conifers(rng, image, horizon + 0.02 * depth, fir, snowy=snowy and depth == 1)
        _trunks(rng, image, depth, horizon, blend(bark, mist, far))
    stops = (horizon, blend(litter, mist, 0.5)), (1, shaded(litter, 0.8))
    fill_bottom(image, level_ground(rng, size, SNOW if snowy else LITTER, horizon, horizon, *stops))
    _trunks(rng, image, 2, horizon, bark)
    tones = to_tones(image)
    modulate(tones, window(rng, "mottle", size), 0.3)
    return to_image(tones)


def _trunks(rng: np.random.Generator, image: Canvas, depth: int, horizon: float, bark: Color) -> None:
    """Paint a row of trunks, each with a lit side; the nearest row has marks on its bark."""
    count, thick = ((8, 0.011), (5, 0.022), (3, 0.05))[depth]
    lean, wide, low = rng.random((3, count))
    x = rng.permutation(count) / count + rng.uniform(0, 0.12)
    half = thick * (0.7 + 0.5 * wide)
    lean, y = 0.04 * (lean - 0.5), horizon + (0.01, 0.05, 0.2)[depth] + 0.04 * (1 + depth) * low

    def strip(*corners: tuple[float, float, float]) -> Outlines:
        """Return polygons from corners (offset from the middle in half thicknesses, fraction of lean, height)."""
        points = [(x + k * half + tip * lean, y + (rise if tip == 0 else -0.05 - y)) for k, tip, rise in corners]
        return np.array(points).transpose(2, 0, 1)

    stem = strip((-1.5, 0, 0), (-1, 0, -0.05), (-0.8, 1, 0), (0.8, 1, 0), (1, 0, -0.05), (1.6, 0, 0))
    lit = strip((-1.2, 0, -0.01), (-0.8, 1, 0), (-0.2, 1, 0), (-0.3, 0, -0.01))
    fill_stacks(image, [(stem, 1.0), (lit, 1.18)], tints(rng, count, bark, bark, 6))
    if depth == 2:
        side, share = rng.random((2, 3 * count))
        at = np.array([np.repeat(x, 3) + np.repeat(half, 3) * (1.1 * side - 0.5), np.repeat(y, 3) * share]).T
        marks = scattered(oval(0, 0, 0.008, 0.034), at, np.ones((3 * count, 1)))
        fill_each(image, marks, tints(rng, 3 * count, shaded(bark, 0.7), shaded(bark, 0.7), 4))


def _conifers(rng: np.random.Generator, image: Canvas, base: float, green: Color, *, snowy: bool) -> None:
    """Paint a row of firs of four tiers each, perhaps under snow."""
    x, tall, wide = rng.random((3, 5))
    at, scale = np.array([x, np.full(5, base)]).T, np.array([0.07 + 0.05 * wide, 0.22 + 0.2 * tall]).T
    # the left edge from the lowest tier up to the tip
    edge = [
        (-1, 0),
        (-0.45, -0.24),
        (-0.8, -0.24),
        (-0.32, -0.48),
        (-0.6, -0.48),
        (-0.2, -0.7),
        (-0.4, -0.7),
        (0, -1.04),
    ]
    fir = polygon(*edge, *((-x, y) for x, y in edge[-2::-1]))
    lit = polygon(*edge, (-0.1, -0.6), (0.05, -0.2), (-0.1, 0))
    layers = [(scattered(fir, at, scale), 0.92), (scattered(lit, at, scale), 1.07)]
    fill_stacks(image, layers, tints(rng, 5, green, green, 8))
    if snowy:
        caps = scattered(lit * (0.7, 0.9) - (0, 0.1), at, scale)
        fill_each(image, caps, np.full((5, 3), (226, 232, 238)))
