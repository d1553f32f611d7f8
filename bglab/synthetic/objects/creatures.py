"""Birds, reptiles and fish: about a hundred units across, facing right."""

from __future__ import annotations

import numpy as np

from bglab.synthetic.colors import Color, blend, jitter, pick, shaded, vivid
from bglab.synthetic.objects.coats import WHITE, eye, stroke
from bglab.synthetic.objects.outlines import Drawing, Part, blob, limb, oval, polygon, turned


def _feathers(
    root: tuple[float, float], angles: list[float], length: float, thick: float, color: Color, relief: float
) -> list[Part]:
    """Spread feathers from a point; the angles are degrees clockwise from straight right."""
    parts = []
    for k, angle in enumerate(angles):
        tip = (root[0] + length * np.cos(np.radians(angle)), root[1] + length * np.sin(np.radians(angle)))
        tone = shaded(color, 0.86 if k % 2 else 1.0)
        middle = (root[0] + 0.6 * (tip[0] - root[0]), root[1] + 0.6 * (tip[1] - root[1]))
        parts.append(Part(limb([root, middle, tip], [0.6 * thick, thick, 0.45 * thick]), tone, relief, 0.3))
    return parts


def songbird(rng: np.random.Generator) -> Drawing:
    """Draw a songbird on thin legs: round breast, folded wing, short beak, long tail."""
    back, belly = vivid(rng, 200, 0.65), jitter(rng, ((240, 226, 200), (236, 150, 70), (244, 214, 90))[pick(rng, 3)])
    beak: Color = (232, 150, 40) if rng.random() < 0.6 else (60, 54, 50)
    tilt, nod = rng.uniform(-10, 8), rng.uniform(-2, 2)
    leg: Color = (92, 66, 48)
    body = blob((22, 66), (30, 50), (48, 38), (66, 36), (78, 46), (78, 62), (64, 74), (44, 76), (30, 74))
    breast = blob((56, 74), (74, 68), (80, 56), (78, 46), (68, 52), (60, 62), (46, 72))
    wing = blob((64, 46), (60, 62), (42, 68), (20, 70), (32, 58), (48, 46))
    parts = _feathers((32, 64), [158, 164, 170, 177], 40, 3.6, shaded(back, 0.75), 0.6)
    parts += [Part(body, back, 0.8, 0.6), Part(breast, belly, 0.82, 0.3)]
    parts += [
        Part(polygon((86, 28 + nod), (101, 33 + nod), (86, 38 + nod)), beak, 0.8),
        Part(polygon((85, 34 + nod), (99, 34 + nod), (85, 40 + nod)), shaded(beak, 0.75), 0.75),
        Part(oval(76, 33 + nod, 13.5, 13), back, 0.95, 0.5),
        Part(oval(80, 40 + nod, 8, 5.5, 20), belly, 0.95, 0.2),
        *eye(80, 30.5 + nod, 2.3),
        Part(wing, shaded(back, 0.72), 1.0, 0.6),
    ]
    for k in range(3):
        parts.append(
            Part(stroke([(56 - 5 * k, 54 + 4 * k), (26 + 3 * k, 69 - 4.6 * k)], 0.6), shaded(back, 0.45), 0.95)
        )
    parts = [Part(turned(part.outline, tilt, (54, 70)), *part[1:]) for part in parts]
    legs = []
    for x in (50, 60):
        legs += [Part(stroke([(x, 72), (x + 2, 91)], 1.2), leg, 0.6)]
        legs += [Part(stroke([(x + 2, 91), (x + 2 + d, 94)], 1), leg, 0.7) for d in (-5, 5, 8)]
    return Drawing([*legs, *parts], "fur", shaded(back, 0.6), 70.0, 0.1)


def gull(rng: np.random.Generator) -> Drawing:
    """Draw a bird in flight, wings raised or lowered, tail spread."""
    kinds: tuple[tuple[Color, Color], ...] = (((240, 240, 238), (130, 140, 154)), ((96, 70, 50), (64, 46, 34)))
    coat = pick(rng, 3)
    body, wing = kinds[coat] if coat < 2 else (vivid(rng, 210, 0.7), vivid(rng, 190, 0.75))
    body, wing = jitter(rng, body, 8), jitter(rng, wing, 10)
    flap, beak = rng.uniform(-12, 16), (238, 170, 40)
    far = _feathers((56, 46), [-88, -97, -106, -115, -124], 44, 5, shaded(wing, 0.66), 0.4)
    near = _feathers((52, 48), [-104, -114, -124, -134, -144, -154], 56, 6, wing, 0.95)
    near += [Part(limb([(64, 54), (50, 40), (42, 22)], [8, 8, 3]), shaded(wing, 1.15), 1.0, 0.5)]
    down = rng.random() < 0.4
    if down:
        near = [Part((p.outline - (0, 50)) * (1, -0.85) + (0, 54), *p[1:]) for p in near]
    near = [Part(turned(p.outline, -flap if down else flap, (58, 50)), *p[1:]) for p in near]
    head = np.array([93.0, 44.0])
    parts = [
        *far,
        *_feathers((26, 56), [166, 176, 186, 196], 22, 3.6, shaded(wing, 0.85), 0.6),
        Part(blob((14, 58), (36, 46), (62, 42), (84, 42), (90, 50), (76, 60), (52, 65), (30, 62)), body, 0.8, 0.3),
        Part(polygon((99, 41), (113, 46), (100, 49)), beak, 0.8),
        Part(oval(head[0], head[1], 8.6, 8), body, 0.9, 0.2),
        *eye(95.4, 42, 1.6),
        *near,
    ]
    return Drawing(parts, "fur", shaded(body, 0.75), 80.0, 0.05)


def wader(rng: np.random.Generator) -> Drawing:
    """Draw a flamingo or a heron: an S of a neck on long thin legs."""
    body = jitter(rng, ((244, 142, 152), (150, 168, 188), (242, 240, 234))[pick(rng, 3)], 10)
    leg: Color = (206, 110, 90) if rng.random() < 0.5 else (92, 84, 70)
    bend, lifted = rng.uniform(-5, 5), rng.random() < 0.5
    neck = limb(
        [(62, 48), (76, 42), (78, 30), (68 + bend, 18), (72 + bend, 4), (80 + bend, 1)], [6.5, 4.4, 3.4, 3, 3, 3.6]
    )
    x = 82 + bend
    wing = blob((66, 42), (62, 54), (46, 58), (20, 58), (28, 48), (46, 40))
    far_foot = [(50, 56), (60, 72), (46, 78)] if lifted else [(52, 56), (55, 76), (53, 97)]
    parts = [
        Part(stroke(far_foot, 1.4), shaded(leg, 0.7), 0.5),
        Part(stroke([(45, 56), (47, 76), (45, 97)], 1.5), leg, 0.7),
        Part(stroke([(43, 97.5), (53, 97.5)], 1.3), leg, 0.7),
        *_feathers((34, 50), [150, 160, 170], 24, 3.4, shaded(body, 0.8), 0.6),
        Part(blob((26, 52), (38, 42), (54, 38), (68, 42), (70, 52), (58, 60), (42, 60)), body, 0.8, 0.4),
        Part(neck, body, 0.85, 0.2),
        Part(limb([(x + 2, 2), (x + 10, 5), (x + 14, 11)], [3, 2.4, 1]), (70, 56, 56), 0.9),
        Part(limb([(x + 3, 2), (x + 8, 4)], [2.8, 2.4]), (240, 200, 150), 0.95),
        Part(oval(x, 2, 5, 4.4), body, 0.95),
        *eye(x + 1.4, 1.2, 1.1),
        Part(wing, shaded(body, 0.84), 1.0, 0.5),
    ]
    for k in range(3):
        parts.append(Part(stroke([(56 - 6 * k, 48 + 3 * k), (26 + 3 * k, 57 - 3 * k)], 0.5), shaded(body, 0.6), 0.95))
    return Drawing(parts, "fur", shaded(body, 0.75), 70.0, 0.05)


def _reptile_skin(rng: np.random.Generator) -> Color:
    skins: tuple[Color, ...] = ((96, 148, 62), (140, 134, 70), (70, 128, 104), (164, 112, 64), (112, 112, 96))
    return jitter(rng, skins[pick(rng, len(skins))], 14)


def turtle(rng: np.random.Generator) -> Drawing:
    """Draw a turtle: a domed shell with scutes, stumpy legs, a wrinkled neck."""
    skin = _reptile_skin(rng)
    shell = jitter(rng, ((118, 84, 44), (86, 100, 50), (142, 108, 60))[pick(rng, 3)], 10)
    reach, step = rng.uniform(-4, 6), rng.uniform(-4, 4)
    far = shaded(skin, 0.65)
    dome = blob((6, 68), (10, 50), (24, 32), (44, 25), (64, 31), (78, 48), (83, 68), (44, 73))
    parts = [
        Part(limb([(14, 68), (0, 77)], [3.6, 1]), skin, 0.6, 0.5),
        Part(limb([(68, 66), (78 + step, 84)], [8, 5.6]), far, 0.45, 0.5),
        Part(limb([(26, 68), (30 - step, 84)], [8, 5.6]), far, 0.45, 0.5),
        Part(limb([(72, 62), (88, 58), (97 + reach, 50)], [8, 6.4, 6.6]), skin, 0.75, 0.8),
        Part(oval(100 + reach, 48, 9.4, 7.6, -8), skin, 0.85, 0.6),
        Part(stroke([(101 + reach, 52), (109 + reach, 49)], 0.5), shaded(skin, 0.35), 0.8),
        *eye(103 + reach, 45.6, 1.6),
        Part(dome, shaded(shell, 0.55), 0.9),
    ]
    scutes = (
        ((33, 29), (55, 29), (61, 43), (44, 50), (27, 43)),
        ((30, 30), (24, 43), (28, 52), (17, 60), (9, 59), (13, 47), (21, 35)),
        ((58, 30), (68, 36), (76, 48), (79, 59), (72, 60), (61, 52), (64, 43)),
        ((29, 46), (43, 53), (42, 68), (20, 67), (19, 61)),
        ((46, 53), (60, 46), (70, 61), (68, 67), (46, 68)),
    )
    parts += [Part(polygon(*scute), shaded(shell, 1.12), 1.0, 0.5) for scute in scutes]
    parts += [
        Part(limb([(5, 69), (44, 74), (84, 69)], [2.6, 3, 2.6]), blend(shell, (226, 206, 150), 0.5), 1.0),
        Part(limb([(64, 70), (70 - step, 86)], [9, 6.2]), skin, 1.0, 0.8),
        Part(limb([(20, 70), (16 + step, 86)], [9, 6.2]), skin, 1.0, 0.8),
    ]
    return Drawing(parts, "scales", shaded(skin, 0.55), 150.0, 0.15)


def lizard(rng: np.random.Generator) -> Drawing:
    """Draw a lizard seen from the side and above: splayed legs with toes, spines, a long curling tail."""
    skin = vivid(rng, 190, 0.6) if rng.random() < 0.3 else _reptile_skin(rng)
    far, belly = shaded(skin, 0.65), blend(skin, (240, 226, 170), 0.5)
    curl, step = rng.uniform(-8, 8), rng.uniform(-5, 5)
    parts: list[Part] = []
    for hip, knee, foot in (((64, 52), (76, 56), (80 + step, 70)), ((34, 54), (46, 60), (44 - step, 74))):
        parts += _reptile_leg(hip, knee, foot, far, 0.45)
    tail = limb([(30, 54), (12, 60), (-4, 54), (-8, 38), (4 + curl, 28), (16 + curl, 34)], [8, 6, 4.4, 3.2, 2.2, 0.9])
    back = [(30, 47.5), (42, 43), (54, 42), (64, 42.5), (73, 40)]
    for (x, y), (x2, y2) in zip(back, back[1:], strict=False):
        middle = (x + x2) / 2
        parts.append(Part(polygon((x, y + 2), (middle - 1, (y + y2) / 2 - 6), (x2, y2 + 2)), shaded(skin, 0.55), 0.6))
    parts += [
        Part(tail, skin, 0.7, 1.0),
        Part(limb([(24, 56), (40, 54), (58, 53), (72, 49)], [7, 11.5, 11, 8]), skin, 0.8, 1.0),
        Part(limb([(34, 61), (48, 62), (64, 58)], [1.5, 3.4, 2]), belly, 0.8, 0.2),
        Part(blob((70, 42), (80, 35), (92, 37), (104, 43.5), (103, 49), (88, 52), (74, 55)), skin, 0.95, 0.7),
        Part(stroke([(86, 47.6), (103, 46.6)], 0.55), shaded(skin, 0.3), 0.8),
        *eye(86.5, 40.5, 2.6, (226, 170, 40)),
    ]
    for hip, knee, foot in (((62, 56), (52, 66), (62 - step, 78)), ((30, 58), (18, 66), (26 + step, 80))):
        parts += _reptile_leg(hip, knee, foot, skin, 0.95)
    return Drawing(parts, "scales" if rng.random() < 0.5 else "spots", shaded(skin, 0.5), 130.0, 0.2)


def _reptile_leg(
    hip: tuple[float, float], knee: tuple[float, float], foot: tuple[float, float], color: Color, relief: float
) -> list[Part]:
    x, y = foot
    parts = [Part(limb([hip, knee, foot], [5.4, 3.6, 2.4]), color, relief, 0.8)]
    for dx, dy in ((8, -1.5), (8, 2.5), (4, 5)):
        parts.append(Part(limb([foot, (x + dx, y + dy)], [1.7, 0.9]), color, relief, 0.2))
    return parts


def snake(rng: np.random.Generator) -> Drawing:
    """Draw a snake: a long winding body, raised head, forked tongue."""
    skin = vivid(rng, 190, 0.65) if rng.random() < 0.4 else _reptile_skin(rng)
    belly, rise = blend(skin, (246, 232, 180), 0.55), rng.uniform(-6, 6)
    path = [(-4, 58), (8, 72), (26, 76), (36, 64), (48, 54), (62, 60), (66, 74), (82, 80), (96, 70), (90, 52)]
    path += [(76, 42), (74, 28 + rise), (86, 20 + rise)]
    radii = [0.8, 3, 5.2, 6.4, 7.2, 7.8, 8, 8, 7.8, 7.2, 6.4, 5.6, 6]
    x, y = 93, 20 + rise
    underside = [(px + 0.6, py + 0.62 * r) for (px, py), r in zip(path[1:9], radii[1:9], strict=True)]
    head = blob((x - 12, y - 3), (x - 3, y - 8), (x + 7, y - 4), (x + 11, y + 2), (x + 4, y + 6), (x - 9, y + 7))
    tongue: Color = (206, 40, 50)
    parts = [
        Part(stroke([(x + 8, y + 2), (x + 17, y + 4)], 0.8), tongue, 0.8),
        Part(stroke([(x + 17, y + 4), (x + 22, y + 1.6)], 0.6), tongue, 0.8),
        Part(stroke([(x + 17, y + 4), (x + 21.5, y + 7.4)], 0.6), tongue, 0.8),
        Part(limb(path, radii), skin, 0.8, 1.0),
        Part(limb(underside, [0.3 * r for r in radii[1:9]]), belly, 0.8, 0.1),
        Part(head, skin, 1.0, 0.5),
        Part(stroke([(x - 2, y + 3), (x + 10, y + 2.4)], 0.45), shaded(skin, 0.3), 0.9),
        *eye(x + 1, y - 2, 1.9, (232, 196, 50)),
    ]
    pattern = ("bands", "patches", "scales")[pick(rng, 3)]
    return Drawing(parts, pattern, shaded(skin, 0.42), 150.0, 0.25)


def _fins(color: Color, outlines: list[np.ndarray], relief: float) -> list[Part]:
    return [Part(outline, color, relief, 0.25) for outline in outlines]


def _rays(root: tuple[float, float], tips: list[tuple[float, float]], color: Color) -> list[Part]:
    return [Part(stroke([root, tip], 0.45), color, 0.75) for tip in tips]


def reef_fish(rng: np.random.Generator) -> Drawing:
    """Draw a tall reef fish with streaming fins, often banded."""
    main = vivid(rng, 240, 0.8)
    second: Color = WHITE if rng.random() < 0.4 else vivid(rng, 230, 0.8)
    fin, flow = shaded(second, 0.9), rng.uniform(-6, 6)
    tail = blob((24, 52), (12, 38 + flow), (-2, 26 + flow), (2, 50 + flow), (-2, 76 + flow), (12, 64 + flow))
    dorsal = blob((68, 26), (54, 12), (30, 2), (20, -8 + flow), (22, 16), (28, 36), (50, 32))
    anal = blob((66, 76), (52, 88), (32, 96), (22, 108 + flow), (22, 84), (28, 66), (50, 70))
    body = blob((22, 50), (34, 34), (54, 23), (74, 26), (90, 40), (99, 53), (90, 64), (74, 76), (54, 79), (34, 68))
    parts = _fins(fin, [tail, dorsal, anal], 0.55)
    parts += _rays((24, 51), [(2, 34 + flow), (4, 46 + flow), (4, 58 + flow), (2, 68 + flow)], shaded(fin, 0.7))
    parts += [
        Part(body, main, 0.85, 1.0),
        Part(blob((96, 49), (103, 51), (103, 56), (95, 58)), shaded(main, 0.8), 0.9),
        Part(stroke([(76, 38), (72, 52), (77, 66)], 0.8), shaded(main, 0.6), 0.7),
        Part(blob((68, 56), (58, 54), (48, 62), (52, 70), (62, 66)), fin, 1.0, 0.1),
        Part(oval(86, 45, 5.4, 5.4), WHITE, 0.95),
        *eye(86.8, 45, 3.6),
    ]
    pattern = ("bands", "bands", "scales", "patches")[pick(rng, 4)]
    return Drawing(parts, pattern, second if pattern != "scales" else shaded(main, 0.6), 190.0, 0.35)


def trout(rng: np.random.Generator) -> Drawing:
    """Draw a streamlined fish with a forked tail, scales and a pale belly."""
    main = jitter(rng, ((120, 140, 110), (196, 130, 60), (110, 136, 168), (214, 84, 58))[pick(rng, 4)], 16)
    belly, fin = blend(main, (250, 244, 230), 0.75), shaded(main, 0.78)
    wag = rng.uniform(-7, 7)
    tail = blob((18, 52), (6, 42 + wag), (-10, 30 + wag), (-3, 53 + wag), (-10, 76 + wag), (6, 63 + wag))
    body = blob((12, 53), (30, 42), (54, 33), (76, 35), (94, 44), (104, 54), (94, 63), (76, 70), (54, 71), (30, 62))
    under = blob((30, 61), (52, 60), (76, 60), (96, 58), (92, 64), (76, 69.6), (54, 70.6))
    outlines = [
        tail,
        blob((68, 36), (58, 20), (44, 19), (40, 32), (42, 40)),
        blob((38, 62), (32, 76), (24, 78), (26, 62)),
        blob((66, 66), (58, 80), (50, 82), (54, 68)),
        blob((34, 42), (28, 33), (23, 34), (26, 44)),
    ]
    parts = _fins(fin, outlines, 0.55)
    parts += _rays((14, 53), [(-5, 38 + wag), (-2, 47 + wag), (-2, 59 + wag), (-5, 68 + wag)], shaded(fin, 0.7))
    parts += [
        Part(body, main, 0.85, 1.0),
        Part(under, belly, 0.85, 0.3),
        Part(stroke([(80, 38), (75, 52), (80, 66)], 0.9), shaded(main, 0.55), 0.7),
        Part(blob((74, 57), (62, 56), (54, 64), (62, 68), (70, 64)), fin, 1.0, 0.1),
        Part(stroke([(92, 57), (103, 56)], 0.6), shaded(main, 0.35), 0.8),
        Part(oval(91, 48, 3.7, 3.7), WHITE, 0.95),
        *eye(91.5, 48, 2.6),
    ]
    return Drawing(parts, ("scales", "spots")[pick(rng, 2)], shaded(main, 0.55), 110.0, 0.3)


def shark(rng: np.random.Generator) -> Drawing:
    """Draw a shark: pointed snout, tall back fin, gills, an uneven tail."""
    main = jitter(rng, ((112, 126, 142), (134, 140, 140), (84, 108, 140))[pick(rng, 3)], 10)
    belly, fin, wag = (236, 238, 238), shaded(main, 0.82), rng.uniform(-5, 5)
    tail = blob((8, 50), (-6, 36 + wag), (-20, 16 + wag), (-12, 46 + wag), (-16, 68 + wag), (-2, 58 + wag))
    body = blob((0, 50), (20, 43), (46, 35), (72, 34), (96, 41), (112, 50), (96, 60), (70, 66), (42, 62), (18, 55))
    under = blob((24, 56), (48, 58), (76, 58), (106, 53), (94, 60.4), (70, 65.6), (42, 61.6))
    parts = _fins(fin, [tail, blob((62, 37), (50, 22), (36, 10), (38, 24), (38, 40))], 0.6)
    parts += _fins(
        fin, [blob((26, 54), (18, 66), (12, 68), (16, 54)), blob((24, 45), (18, 36), (14, 37), (16, 47))], 0.6
    )
    parts += [Part(body, main, 0.85, 0.4), Part(under, belly, 0.85)]
    parts += [Part(stroke([(76 - 4 * k, 45), (74 - 4 * k, 55)], 0.6), shaded(main, 0.45), 0.7) for k in range(4)]
    parts += [
        Part(blob((66, 58), (54, 74), (40, 86), (46, 70), (52, 58)), fin, 1.0),
        Part(stroke([(90, 57), (97, 58), (104, 55)], 0.8), (70, 40, 44), 0.7),
        *eye(96, 47, 1.9),
    ]
    return Drawing(parts, "fur", shaded(main, 0.75), 90.0, 0.25)
