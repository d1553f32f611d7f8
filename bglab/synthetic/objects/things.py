"""Vehicles and musical instruments: about a hundred units across, wheels and feet at y = 90."""

from __future__ import annotations

import numpy as np

from bglab.synthetic.colors import Color, blend, jitter, pick, shaded, vivid
from bglab.synthetic.objects.coats import BLACK, WHITE, stroke
from bglab.synthetic.objects.outlines import Drawing, Part, blob, limb, oval, polygon

TYRE: Color = (34, 34, 38)
GLASS: Color = (120, 158, 180)


def lacquer(rng: np.random.Generator) -> Color:
    """Draw a paint: any hue, or white, silver or black."""
    if rng.random() < 0.7:
        return vivid(rng, 215, 0.8)
    return jitter(rng, ((236, 236, 232), (168, 172, 178), (52, 54, 60))[pick(rng, 3)], 8)


def wheel(x: float, radius: float, rim: Color, turn: float) -> list[Part]:
    """Draw a wheel that stands on y = 90, with spokes."""
    y = 90 - radius
    parts = [
        Part(oval(x, y, radius, radius), TYRE, 0.7),
        Part(oval(x, y, 0.64 * radius, 0.64 * radius), rim, 0.95),
    ]
    for k in range(5):
        angle = np.radians(turn + 72 * k)
        hole = (x + 0.4 * radius * np.cos(angle), y + 0.4 * radius * np.sin(angle))
        parts.append(Part(oval(*hole, 0.12 * radius, 0.12 * radius), TYRE, 0.6))
    parts.append(Part(oval(x, y, 0.14 * radius, 0.14 * radius), shaded(rim, 0.6), 1.0))
    return parts


def _arch(x: float, radius: float, color: Color) -> Part:
    return Part(oval(x, 90 - radius, radius * 1.22, radius * 1.22), shaded(color, 0.25), 0.5)


def pane(*points: tuple[float, float]) -> list[Part]:
    """Draw a window with a slanting reflection."""
    outline = polygon(*points)
    low, high = outline.min(axis=0), outline.max(axis=0)
    wide = high[0] - low[0]
    gleam = [
        (low[0] + 0.42 * wide, low[1] + 1.2),
        (low[0] + 0.62 * wide, low[1] + 1.2),
        (low[0] + 0.46 * wide, high[1] - 1),
        (low[0] + 0.26 * wide, high[1] - 1),
    ]
    return [Part(outline, shaded(GLASS, 0.62), 0.6), Part(polygon(*gleam), shaded(GLASS, 1.3), 0.6)]


def car(rng: np.random.Generator) -> Drawing:
    """Draw a passenger car in profile."""
    color, rim, turn = lacquer(rng), (196, 198, 202), rng.uniform(0, 72)
    roof, back, radius = rng.uniform(-4, 4), rng.uniform(-5, 8), rng.uniform(9.5, 11.5)
    top = 47 + roof
    body = [(2, 80), (1, 68), (8, 62), (20, 60), (60, 58.5), (84, 61.5), (97, 66), (101, 74), (100, 81), (50, 83)]
    cabin = [
        (14 + back, 62),
        (24 + back, top + 3),
        (34 + back, top - 1),
        (54, top - 1),
        (64, top + 3),
        (80, 62),
        (48, 65),
    ]
    dark = shaded(color, 0.6)
    parts = [
        Part(blob(*cabin), color, 0.7),
        *pane((20 + back, 61), (28 + back, top + 3.4), (44, top + 2.6), (44, 61)),
        *pane((47, 61), (47, top + 2.6), (55, top + 3), (64, top + 6.4), (73, 61)),
        Part(blob(*body), color, 0.9),
        Part(polygon((4, 78), (99, 78), (98, 83), (6, 83)), shaded(color, 0.45), 0.8),
        Part(stroke([(45.5, 62), (45, 78)], 0.5), dark, 0.8),
        Part(stroke([(20, 62), (18, 77)], 0.5), dark, 0.8),
        Part(stroke([(72, 63), (70, 77)], 0.5), dark, 0.8),
        Part(stroke([(37, 66), (42, 66)], 0.8), shaded(color, 0.4), 1.0),
        Part(stroke([(62, 66), (67, 66)], 0.8), shaded(color, 0.4), 1.0),
        Part(oval(96, 69.4, 3.6, 2.5, 20), (255, 246, 200), 1.0),
        Part(oval(3.6, 68.6, 2.2, 3), (210, 30, 30), 1.0),
    ]
    for x in (22, 80):
        parts += [_arch(x, radius, color), *wheel(x, radius, rim, turn)]
    return Drawing(parts, "fur", dark, 100.0, 0.9)


def bus(rng: np.random.Generator) -> Drawing:
    """Draw a bus: a tall box with a row of windows and a door."""
    color, band = lacquer(rng), lacquer(rng)
    turn, high, radius = rng.uniform(0, 72), rng.uniform(24, 32), 8.6
    parts = [
        Part(
            polygon(
                (3, high),
                (6, high - 3),
                (95, high - 3),
                (100, high + 2),
                (102, 60),
                (102, 82),
                (99, 84),
                (2, 84),
                (1, 80),
            ),
            color,
            0.85,
        ),
        Part(polygon((2, 62), (102, 62), (102, 69), (1.5, 69)), band, 0.86),
        Part(polygon((2, 79), (102, 79), (101, 84), (2, 84)), shaded(color, 0.45), 0.8),
        Part(polygon((20, high - 6), (52, high - 6), (54, high - 3), (18, high - 3)), shaded(color, 0.8), 0.7),
    ]
    for k in range(5):
        x = 5.5 + 15 * k
        parts += pane((x, high + 5), (x + 13, high + 5), (x + 13, 56), (x, 56))
    parts += [
        *pane((82, high + 5), (91, high + 5), (91, 78), (82, 78)),
        Part(stroke([(86.5, high + 5), (86.5, 78)], 0.6), shaded(color, 0.5), 0.8),
        *pane((94, high + 5), (99.4, high + 6), (101, 57), (94, 57)),
        Part(oval(100, 74, 2, 2.6), (255, 246, 200), 1.0),
        Part(oval(2.4, 74, 1.6, 3), (210, 30, 30), 1.0),
    ]
    for x in (20, 72):
        parts += [_arch(x, radius, color), *wheel(x, radius, (190, 190, 194), turn)]
    return Drawing(parts, "fur", shaded(color, 0.7), 100.0, 0.7)


def lorry(rng: np.random.Generator) -> Drawing:
    """Draw a lorry: a cab in front of a box or an open bed with a load."""
    color, box, turn = lacquer(rng), lacquer(rng), rng.uniform(0, 72)
    radius, top = 9.2, rng.uniform(26, 36)
    cab = ((68, 78), (68, 40), (71, 36), (86, 36), (90, 39), (97, 56), (101, 59), (102, 80), (99, 82), (68, 82))
    parts = [Part(polygon((0, 74), (98, 74), (98, 80), (0, 80)), (58, 58, 62), 0.6)]
    if rng.random() < 0.6:
        parts += [Part(polygon((0, top), (64, top), (64, 75), (0, 75)), box, 0.85)]
        parts += [Part(stroke([(x, top + 2), (x, 73)], 0.6), shaded(box, 0.7), 0.75) for x in (13, 26, 39, 52)]
        parts += [Part(polygon((0, 60), (64, 60), (64, 66), (0, 66)), color, 0.86)]
    else:
        load = jitter(rng, (150, 108, 64), 16)
        parts += [
            Part(limb([(4, 52 - 9 * k), (62, 52 - 9 * k)], [5.4, 5.4]), shaded(load, 1 - 0.12 * (k % 2)), 0.8, 0.6)
            for k in range(2)
        ]
        parts += [Part(oval(4, 52 - 9 * k, 3, 4.6), shaded(load, 1.4), 0.9) for k in range(2)]
        parts += [Part(polygon((0, 56), (64, 56), (64, 75), (0, 75)), box, 0.9)]
    parts += [
        Part(polygon(*cab), color, 0.9),
        *pane((77, 41), (87, 41), (94, 56), (77, 56)),
        Part(stroke([(74.5, 42), (74.5, 78)], 0.5), shaded(color, 0.55), 0.8),
        Part(stroke([(77, 62), (82, 62)], 0.8), shaded(color, 0.4), 1.0),
        Part(polygon((66, 30), (68.4, 30), (68.4, 76), (66, 76)), (150, 150, 156), 1.0),
        Part(oval(100, 68, 2, 3), (255, 246, 200), 1.0),
        Part(polygon((94, 79), (103, 79), (103, 84), (94, 84)), (90, 90, 96), 1.0),
    ]
    for x in (13, 35, 84):
        parts += [_arch(x, radius, color), *wheel(x, radius, (186, 186, 190), turn)]
    return Drawing(parts, "streak", shaded(box, 0.7), 100.0, 0.7)


def _wood(rng: np.random.Generator) -> Color:
    return jitter(rng, ((196, 120, 56), (146, 66, 32), (222, 172, 96), (110, 52, 30))[pick(rng, 4)], 12)


def _pegs(x: float, top: float, step: float, rows: int, color: Color) -> list[Part]:
    return [Part(oval(x + side * 5.4, top + step * row, 2, 1.5), color, 0.8) for side in (-1, 1) for row in range(rows)]


def guitar(rng: np.random.Generator) -> Drawing:
    """Draw a guitar: waisted body, round hole, long fretted neck, six strings."""
    wood, dark = _wood(rng), (58, 34, 22)
    if rng.random() < 0.3:
        wood = lacquer(rng)
    waist = rng.uniform(-2, 2)
    body = blob(
        (50, 42), (62, 43), (69, 52), (64 + waist, 64), (70, 74), (74, 88), (66, 102), (50, 105),
        (34, 102), (26, 88), (30, 74), (36 - waist, 64), (31, 52), (38, 43),
    )  # fmt: skip
    inner = (body - (50, 75)) * 0.93 + (50, 75)
    parts = [
        *_pegs(50, -22, 5, 3, (206, 206, 200)),
        Part(polygon((45, -26), (55, -26), (53.6, -8), (46.4, -8)), dark, 0.85),
        Part(body, shaded(wood, 0.5), 0.85),
        Part(inner, wood, 0.9, 0.5),
        Part(oval(50, 66, 10.6, 10.6), shaded(wood, 0.55), 0.9),
        Part(oval(50, 66, 8.6, 8.6), (26, 18, 16), 0.5),
        Part(polygon((46.6, -9), (53.4, -9), (54.4, 58), (45.6, 58)), dark, 1.0),
        Part(polygon((40, 87), (60, 87), (60, 91), (40, 91)), dark, 1.0),
    ]
    parts += [Part(stroke([(46.6, y), (53.4, y)], 0.4), (200, 196, 180), 1.0) for y in range(-4, 56, 9)]
    parts += [Part(stroke([(47.6 + 1.2 * k, -9), (46.6 + 1.7 * k, 88)], 0.22), (232, 228, 214), 1.0) for k in range(5)]
    return Drawing(parts, "streak", shaded(wood, 0.6), 220.0, 0.6)


def violin(rng: np.random.Generator) -> Drawing:
    """Draw a violin: pinched waist, f-holes, scroll, chin rest, with its bow."""
    wood, dark = jitter(rng, ((172, 84, 32), (140, 58, 26), (196, 116, 50))[pick(rng, 3)], 10), (40, 26, 20)
    body = blob(
        (50, 36), (62, 38), (67, 48), (63, 57), (58.5, 63), (60, 70), (67, 76), (70, 88), (63, 99), (50, 101),
        (37, 99), (30, 88), (33, 76), (40, 70), (41.5, 63), (37, 57), (33, 48), (38, 38),
    )  # fmt: skip
    inner = (body - (50, 70)) * 0.92 + (50, 70)
    tilt = rng.uniform(-4, 4)
    parts = [
        Part(stroke([(80 + tilt, -22), (86, 40), (82 - tilt, 98)], 1.1), (96, 50, 26), 0.7),
        Part(stroke([(78 + tilt, -20), (80 - tilt, 96)], 0.5), (240, 236, 220), 0.6),
        Part(polygon((78 - tilt, 88), (84 - tilt, 88), (84 - tilt, 98), (79 - tilt, 98)), dark, 0.8),
        *_pegs(50, -20, 6, 2, dark),
        Part(limb([(50, 0), (50, -16), (50, -25)], [2.6, 3, 3.4]), shaded(wood, 0.75), 0.85),
        Part(oval(50, -27, 4, 3.6), shaded(wood, 0.8), 0.95),
        Part(body, shaded(wood, 0.5), 0.85),
        Part(inner, wood, 0.92, 0.5),
        Part(polygon((47.4, -12), (52.6, -12), (53.6, 58), (46.4, 58)), dark, 1.0),
        Part(polygon((46, 80), (54, 80), (52, 99), (48, 99)), dark, 1.0),
        Part(polygon((43, 70), (57, 70), (56, 73), (44, 73)), (222, 190, 130), 1.0),
        Part(oval(38, 92, 7, 4.6, -30), dark, 1.0),
    ]
    for side in (-1, 1):
        x = 50 + side * 10.5
        parts.append(Part(limb([(x - side * 2, 60), (x, 67), (x + side * 2.6, 75)], [1.2, 0.6, 1.2]), BLACK, 0.7))
    parts += [Part(stroke([(48.4 + 1.1 * k, -12), (47.6 + 1.7 * k, 81)], 0.2), (230, 226, 214), 1.0) for k in range(4)]
    return Drawing(parts, "streak", shaded(wood, 0.6), 200.0, 0.8)


def drum(rng: np.random.Generator) -> Drawing:
    """Draw a drum with hoops, laced cords and a pair of sticks."""
    shell, hoop = lacquer(rng), jitter(rng, ((214, 178, 90), (196, 198, 204), (190, 60, 44))[pick(rng, 3)], 8)
    deep, cross = rng.uniform(70, 86), rng.uniform(-5, 5)
    parts = [
        Part(np.concatenate([oval(50, deep, 44, 13)[:13], oval(50, 36, 44, 13)[12:]]), shell, 0.8, 0.1),
    ]
    low = oval(50, deep - 2, 44, 13)[:13]
    parts.append(Part(np.concatenate([low, low[::-1] + (0, 6)]), hoop, 1.0))
    angles = np.radians(np.linspace(172, 8, 10))
    tops = [(50 + 44 * np.cos(a), 39 + 13 * np.sin(a)) for a in angles]
    feet = [(50 + 44 * np.cos(a), deep - 1 + 13 * np.sin(a)) for a in angles]
    for k in range(9):
        ends = [tops[k], feet[k + 1]] if k % 2 else [feet[k], tops[k + 1]]
        parts.append(Part(stroke(ends, 0.9), (244, 238, 220), 1.0))
    parts += [
        Part(oval(50, 38, 44.6, 14.4), shaded(hoop, 0.75), 1.0),
        Part(oval(50, 34.6, 44.6, 14.4), hoop, 1.0),
        Part(oval(50, 34, 41, 12.2), (244, 238, 224), 0.8),
    ]
    for start, end in (((40, 36), (84, 10 + cross)), ((56, 34), (22, 6 - cross))):
        parts.append(Part(limb([start, end], [1.5, 2.2]), (206, 150, 86), 1.0, 0.3))
        parts.append(Part(oval(*start, 3.2, 2.6), (222, 172, 108), 1.0))
    return Drawing(parts, "streak", shaded(shell, 0.7), 90.0, 0.7)


def piano(rng: np.random.Generator) -> Drawing:
    """Draw a grand piano with its lid up."""
    body = (
        (30, 28, 32)
        if rng.random() < 0.5
        else jitter(rng, ((236, 234, 228), (120, 58, 30), (150, 30, 34))[pick(rng, 3)], 8)
    )
    lid, dark = blend(body, (255, 255, 255), 0.1), shaded(body, 0.55)
    lift = rng.uniform(-6, 6)
    cover = blob((16, 50), (12, 30 + lift), (20, 8 + lift), (40, 4 + lift), (60, 14 + lift), (78, 40), (84, 50))
    parts: list[Part] = [
        Part(polygon((x, 64), (x + 6, 64), (x + 4.4, 88), (x + 1.6, 88)), dark, 0.7) for x in (10, 52, 84)
    ]
    parts += [Part(oval(x + 3, 88.4, 2.2, 1.8), (206, 170, 80), 0.9) for x in (10, 52, 84)]
    parts += [
        Part(stroke([(46, 66), (46, 84), (50, 86)], 1), (206, 170, 80), 0.7),
        Part(cover, lid, 0.7),
        Part((cover - (45, 50)) * (0.88, 0.87) + (45, 49), shaded(body, 0.8), 0.6),
        Part(polygon((12, 50), (86, 50), (86, 55), (12, 55)), (196, 150, 70), 0.6),
        Part(stroke([(66, 52), (60, 24 + lift)], 0.7), (60, 44, 30), 0.8),
        Part(polygon((6, 53), (90, 53), (90, 66), (6, 67)), body, 0.9),
        Part(polygon((76, 50), (101, 54), (102, 60), (76, 58)), body, 0.95),
        Part(polygon((80, 58), (104, 60), (104, 69), (80, 69)), dark, 0.95),
        Part(polygon((81, 58.6), (103, 60.6), (103, 66), (81, 64.6)), WHITE, 1.0),
    ]
    for k, x in enumerate((83, 86, 90.4, 93.4, 96.4, 100)):
        y = 58.8 + 0.25 * k
        parts.append(Part(polygon((x, y), (x + 1.7, y + 0.2), (x + 1.7, y + 4.2), (x, y + 4)), BLACK, 1.0))
    return Drawing(parts, "fur", shaded(body, 0.8), 100.0, 1.0)
