"""Insects seen from above: about a hundred units across, heads to the right."""

from __future__ import annotations

import numpy as np

from bglab.synthetic.colors import Color, blend, jitter, pick, shaded, vivid
from bglab.synthetic.objects.coats import BLACK, WHITE, stroke
from bglab.synthetic.objects.outlines import Drawing, Part, blob, limb, oval, polygon, turned


def _mirrored(parts: list[Part]) -> list[Part]:
    """Add each part's mirror image across the long axis (y = 50)."""
    return [Part((p.outline - (0, 50)) * (1, -1) + (0, 50), *p[1:]) for p in parts]


def _legs(roots: list[float], spread: float, length: float, color: Color, radius: float) -> list[Part]:
    """Draw six jointed legs."""
    parts = []
    for x, lean in zip(roots, (16, -1, -17), strict=True):
        knee = (x + 0.55 * lean, 50 - spread - 0.5 * length)
        foot = (x + 1.5 * lean, 50 - spread - length)
        parts.append(Part(limb([(x, 46), knee, foot], [1.5 * radius, radius, 0.7 * radius]), color, 0.5))
    return parts + _mirrored(parts)


def _antennae(x: float, bend: float, length: float, color: Color, *, clubbed: bool) -> list[Part]:
    """Draw a pair of feelers."""
    tip = (x + length, 50 - 5 - bend)
    parts = [Part(stroke([(x, 47), (x + 0.55 * length, 46 - 0.3 * bend), tip], 0.85), color, 0.6)]
    if clubbed:
        parts.append(Part(oval(*tip, 2, 2), color, 0.7))
    return parts + _mirrored(parts)


def ladybird(rng: np.random.Generator) -> Drawing:
    """Draw a ladybird: a round spotted shell parted down the middle, black head with pale cheeks."""
    shell = jitter(rng, ((214, 36, 30), (238, 150, 30), (232, 200, 50))[pick(rng, 3)], 10)
    leg: Color = (34, 28, 28)
    rim = ((8, 50), (16, 28), (38, 16), (60, 20), (73, 35), (75, 50), (73, 65), (60, 80), (38, 84), (16, 72))
    dome = blob(*rim)
    parts = _legs([62, 44, 28], 26, 21, leg, 2.2) + _antennae(88, rng.uniform(2, 8), 17, leg, clubbed=True)
    parts += [
        Part(oval(83, 50, 9.5, 12), BLACK, 0.6),
        Part(oval(86, 43, 3, 3.4), WHITE, 0.7),
        Part(oval(86, 57, 3, 3.4), WHITE, 0.7),
        Part(blob((80, 50), (77, 36), (70, 30), (66, 50), (70, 70), (77, 64)), BLACK, 0.75),
        Part(oval(73, 38, 3, 4.4), WHITE, 0.75),
        Part(oval(73, 62, 3, 4.4), WHITE, 0.75),
        Part(dome, shell, 1.0),
        Part(polygon((75, 49), (75, 51), (8, 50.4), (8, 49.6)), shaded(shell, 0.25), 0.8),
    ]
    spots = [
        Part(oval(x, y, r, r), BLACK, 1.0) for x, y, r in ((62, 33, 5.6), (40, 27, 6.4), (40, 42, 4.6), (22, 36, 5.2))
    ]
    keep = 2 + pick(rng, 3)
    parts += [*spots[:keep], *_mirrored(spots[:keep]), Part(oval(72, 50, 4, 5), BLACK, 1.0)]
    return Drawing(parts, "fur", BLACK, 100.0, 0.9)


def beetle(rng: np.random.Generator) -> Drawing:
    """Draw a stag beetle: a shining long shell, a broad neck shield, and jaws like antlers."""
    shell = vivid(rng, 120, 0.75) if rng.random() < 0.6 else jitter(rng, (84, 46, 26), 12)
    dark, gape = shaded(shell, 0.45), rng.uniform(-3, 5)
    jaw = Part(limb([(84, 44), (96, 32 - gape), (108, 36 - gape), (112, 43 - gape)], [3.4, 2.6, 2, 0.8]), dark, 0.8)
    tooth = Part(limb([(98, 33 - gape), (102, 40 - gape)], [1.6, 0.6]), dark, 0.8)
    parts = _legs([68, 48, 30], 15, 24, dark, 2.2) + [jaw, tooth, *_mirrored([jaw, tooth])]
    parts += _antennae(86, 12, 9, dark, clubbed=True)
    rim = ((0, 50), (6, 36), (26, 28), (48, 28), (57, 34), (59, 50), (57, 66), (48, 72), (26, 72), (6, 64))
    ridges = [Part(stroke([(52, 50 - dy), (30, 50 - 1.1 * dy), (9, 50 - 0.5 * dy)], 0.5), dark, 0.85) for dy in (6, 12)]
    parts += [
        Part(blob((76, 38), (88, 39), (92, 50), (88, 61), (76, 62)), shaded(shell, 0.7), 0.8),
        Part(blob((56, 50), (58, 30), (72, 30), (80, 40), (80, 60), (72, 70), (58, 70)), shaded(shell, 0.85), 0.9),
        Part(blob(*rim), shell, 1.0, 0.3),
        Part(polygon((59, 49.3), (59, 50.7), (0, 50.3), (0, 49.7)), dark, 0.7),
        *ridges,
        *_mirrored(ridges),
        Part(oval(88, 41.6, 2, 2.4), BLACK, 1.0),
        Part(oval(88, 58.4, 2, 2.4), BLACK, 1.0),
    ]
    return Drawing(parts, "fur", dark, 100.0, 1.0)


def butterfly(rng: np.random.Generator) -> Drawing:
    """Draw a butterfly with open wings, a dark rim and eye spots."""
    wing, spot = vivid(rng, 245, 0.75), vivid(rng, 240, 0.6)
    rim, sweep = shaded(wing, 0.22), rng.uniform(-8, 8)
    fore = blob((58, 47), (55, 32), (62, 8), (80, -10), (97, -8), (95, 10), (84, 30), (70, 45))
    hind = blob((56, 48), (58, 38), (46, 18), (28, 8), (10, 14), (10, 32), (24, 44), (42, 50))
    wings: list[Part] = []
    for outline, centre in ((hind, (36, 31)), (fore, (75, 18))):
        inner = (outline - centre) * 0.8 + np.array(centre) + (1, 2)
        wings += [Part(outline, rim, 0.8), Part(inner, wing, 0.85, 0.35)]
    wings += [
        Part(oval(27, 25, 6, 6), rim, 0.9),
        Part(oval(27, 25, 3.8, 3.8), spot, 0.9),
        Part(oval(82, 18, 4.6, 4.6), rim, 0.9),
        Part(oval(82, 18, 2.8, 2.8), spot, 0.9),
    ]
    wings += [Part(oval(x, y, 1.5, 1.5), WHITE, 0.9) for x, y in ((91, 2), (89, 10), (16, 13), (15, 20), (64, 5))]
    wings = [Part(turned(p.outline, sweep, (56, 46)), *p[1:]) for p in wings]
    body: Color = (48, 38, 34)
    parts = [*wings, *_mirrored(wings), *_antennae(74, rng.uniform(6, 12), 24, body, clubbed=True)]
    parts += [
        Part(limb([(24, 50), (44, 50), (58, 50)], [1.6, 3.4, 3]), body, 1.0, 0.4),
        Part(oval(62, 50, 7.5, 4.8), shaded(body, 1.15), 1.0, 0.4),
        Part(oval(72, 50, 4.2, 4), body, 1.0),
    ]
    return Drawing(parts, "bands", rim, 60.0, 0.1)


def dragonfly(rng: np.random.Generator) -> Drawing:
    """Draw a dragonfly: four glassy wings on a long jointed abdomen, huge eyes."""
    body, glass = vivid(rng, 190, 0.75), jitter(rng, (214, 232, 238), 8)
    vein, sweep = (92, 110, 116), rng.uniform(-7, 7)
    wings: list[Part] = []
    for root, middle, tip in (((70, 47), (76, 22), (82, -6)), ((62, 47), (54, 24), (46, -2))):
        wings.append(Part(limb([root, middle, tip], [2.6, 7, 4.6]), vein, 0.6))
        wings.append(Part(limb([root, middle, tip], [1.9, 6.2, 3.8]), glass, 0.65, 0.25))
        wings.append(Part(stroke([root, (middle[0] + 1.4, middle[1]), tip], 0.5), vein, 0.7))
        wings.append(Part(oval(tip[0] + 1.6, tip[1] + 3, 1.7, 3.2), shaded(body, 0.5), 0.7))
    wings = [Part(turned(p.outline, sweep, (66, 47)), *p[1:]) for p in wings]
    parts = [*_legs([74, 68, 62], 4, 12, (40, 36, 34), 1.1), *wings, *_mirrored(wings)]
    parts.append(Part(limb([(-14, 50), (12, 50), (40, 50), (62, 50)], [2.6, 3, 3.4, 5]), body, 0.9))
    parts += [Part(oval(-8 + 9 * k, 50, 0.9, 3.1), shaded(body, 0.45), 0.9) for k in range(7)]
    parts += [
        Part(oval(68, 50, 11.5, 7.6), shaded(body, 0.85), 1.0),
        Part(stroke([(60, 48), (76, 48)], 0.9), shaded(body, 1.4), 1.0),
        Part(stroke([(60, 52), (76, 52)], 0.9), shaded(body, 1.4), 1.0),
        Part(oval(83, 50, 4.4, 6), body, 0.9),
        Part(oval(85, 45.4, 4.8, 4.6), blend(body, (150, 40, 40), 0.6), 1.0),
        Part(oval(85, 54.6, 4.8, 4.6), blend(body, (150, 40, 40), 0.6), 1.0),
    ]
    return Drawing(parts, "scales", vein, 70.0, 0.5)
