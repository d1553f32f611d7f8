"""Dogs, bears and big cats, apes and monkeys: about a hundred units across, facing right, feet at y = 90."""

from __future__ import annotations

import numpy as np

from bglab.synthetic.colors import Color, blend, jitter, pick, shaded
from bglab.synthetic.objects.coats import BLACK, FURS, WHITE, eye, stroke
from bglab.synthetic.objects.outlines import Drawing, Part, blob, limb, oval, polygon, turned

GROUND = 90.0


def leg(
    hip: tuple[float, float], lean: float, thick: float, color: Color, *, relief: float, knee: float = 0.0
) -> list[Part]:
    """Draw a leg that ends in a paw.

    Args:
        hip: Point at which it starts.
        lean: Distance of the paw in front of the hip.
        thick: Half its thickness at the hip.
        color: Colour of the coat.
        relief: Height towards the viewer, in [0, 1]; more for near legs than for far ones.
        knee: Distance by which the joint bends backwards.
    """
    x, y = hip
    middle = (x + 0.45 * lean - knee, y + 0.5 * (GROUND - y))
    ankle = (x + lean - 0.35 * knee, GROUND - 4)
    paw = oval(x + lean + 2, GROUND - 2.6, 0.75 * thick + 1.6, 2.8)
    outline = limb([(x, y), middle, ankle], [thick, 0.66 * thick, 0.5 * thick])
    return [Part(outline, color, relief, 1.0), Part(paw, color, relief, 0.6)]


def four_legs(
    fore: tuple[float, float], hind: tuple[float, float], stride: float, thick: float, color: Color
) -> tuple[list[Part], list[Part]]:
    """Draw four legs in a walk; the far pair goes behind the body, the near pair before it."""
    far = shaded(color, 0.62)
    behind = leg((fore[0] + 4, fore[1]), stride, 0.9 * thick, far, relief=0.45)
    behind += leg((hind[0] + 5, hind[1]), -stride, 1.1 * thick, far, relief=0.45, knee=3)
    before = leg(fore, -0.8 * stride, thick, color, relief=0.85)
    before += leg(hind, 0.8 * stride - 2, 1.35 * thick, color, relief=0.85, knee=4)
    return behind, before


def dog_head(at: tuple[float, float], coat: tuple[Color, Color, Color], *, floppy: bool, long: float) -> list[Part]:
    """Draw a dog's head in profile: skull, snout with a black nose, an ear that hangs or stands."""
    x, y = at
    main, light, dark = coat
    tip = x + 11 + 6 * long
    parts = [] if floppy else [Part(polygon((x - 4, y - 5), (x + 1, y - 17), (x + 5, y - 6)), shaded(dark, 0.8), 0.5)]
    parts += [
        Part(limb([(x + 2, y + 3), (tip - 2, y + 5)], [6.2, 3.6]), blend(main, light, 0.6), 0.75, 0.2),
        Part(oval(x, y, 9, 8.2), main, 0.85, 0.5),
        Part(stroke([(x + 7, y + 7.5), (tip - 1, y + 7)], 0.55), BLACK, 0.6),
        Part(oval(tip + 0.6, y + 3, 2.3, 2), BLACK, 0.95),
        *eye(x + 4.2, y - 1.6, 1.5),
    ]
    if floppy:
        ear = blob((x - 5, y - 7), (x + 1, y - 5), (x, y + 5), (x - 3, y + 13), (x - 8, y + 8), (x - 8, y - 2))
        parts.append(Part(ear, dark, 1.0, 0.2))
    else:
        ear = blob((x - 8, y - 3), (x - 6, y - 10), (x - 4, y - 18), (x + 1, y - 10), (x + 2, y - 5))
        parts.append(Part(ear, dark, 1.0, 0.2))
    return parts


def _dog_coat(rng: np.random.Generator) -> tuple[tuple[Color, Color, Color], str, Color]:
    main, light, dark = (jitter(rng, c) for c in FURS[pick(rng, len(FURS))])
    look = pick(rng, 3)
    if look == 0:
        return (main, light, dark), "fur", shaded(main, 0.7)
    if look == 1:
        return (main, light, dark), "patches", light
    return (WHITE, WHITE, dark), "spots" if rng.random() < 0.4 else "patches", dark


def standing_dog(rng: np.random.Generator) -> Drawing:
    """Draw a dog on its four legs, tail up."""
    coat, pattern, pattern_color = _dog_coat(rng)
    main, light, dark = coat
    sink, bob, stride = rng.uniform(0, 12), rng.uniform(-4, 4), rng.uniform(-7, 7)
    wag, floppy, long = rng.uniform(-6, 8), rng.random() < 0.6, rng.uniform(0.2, 1.0)
    behind, before = four_legs((68, 56 + sink), (29, 55 + sink), stride, 5.2, main)
    tail = limb([(25, 44 + sink), (13, 38 + sink), (5 + wag, 22 + sink), (8 + wag, 14 + sink)], [4.4, 3.6, 3, 1.6])
    body = [
        (21, 50), (26, 40), (44, 40), (60, 39), (72, 38), (77, 47), (73, 60), (62, 62), (46, 57), (32, 58)
    ]  # fmt: skip
    neck = limb([(68, 49 + sink), (77, 36 + sink + bob), (81, 27 + sink + bob)], [11, 8.5, 7])
    collar = stroke([(71.5, 35 + sink + bob), (77, 39.5 + sink + bob), (84, 39.5 + sink + bob)], 1.5)
    parts = [Part(tail, main, 0.6, 1.0), *behind]
    parts += [Part(blob(*((x, y + sink) for x, y in body)), main, 0.8, 1.0)]
    parts += [Part(oval(72, 54 + sink, 6, 8, 15), blend(main, light, 0.5), 0.82, 0.5)]
    parts += [*before, Part(neck, main, 0.85, 1.0)]
    if rng.random() < 0.5:
        parts.append(Part(collar, (190, 40, 44) if rng.random() < 0.5 else (40, 80, 170), 1.0))
    parts += dog_head((84, 24 + sink + bob), coat, floppy=floppy, long=long)
    return Drawing(parts, pattern, pattern_color, 150.0)


def sitting_dog(rng: np.random.Generator) -> Drawing:
    """Draw a dog that sits upright."""
    coat, pattern, pattern_color = _dog_coat(rng)
    main, light, _ = coat
    bob, floppy, long = rng.uniform(-3, 3), rng.random() < 0.6, rng.uniform(0.2, 1.0)
    wag = rng.uniform(-6, 6)
    tail = limb([(28, 82), (15, 84), (7, 76 + wag), (4, 66 + wag)], [4.4, 4, 3.2, 1.8])
    body = blob((54, 26), (64, 38), (65, 54), (58, 70), (46, 86), (28, 88), (24, 74), (32, 56), (42, 38))
    parts = [Part(tail, main, 0.6, 1.0)]
    parts += leg((62, 52), 4, 5.2, shaded(main, 0.62), relief=0.45)
    parts += [
        Part(body, main, 0.8, 1.0),
        Part(oval(60, 48, 6, 12, -4), blend(main, light, 0.6), 0.82, 0.4),
        Part(oval(36, 74, 12.5, 13.5), main, 0.9, 1.0),
        Part(limb([(34, 86), (48, 87)], [3.6, 3]), main, 0.95, 0.6),
        *leg((57, 54), 2, 5.6, main, relief=0.95),
        Part(limb([(55, 36), (58, 26 + bob)], [11, 8.5]), main, 0.85, 1.0),
        *dog_head((61, 18 + bob), coat, floppy=floppy, long=long),
    ]
    return Drawing(parts, pattern, pattern_color, 150.0)


def bear(rng: np.random.Generator) -> Drawing:
    """Draw a bear: heavy, humped, small round ears, hardly a tail; brown, black, polar or panda."""
    furs = ((112, 72, 42), (44, 38, 38), (238, 232, 216), (244, 242, 236))
    kind = pick(rng, 4)
    main = jitter(rng, furs[kind], 8)
    limbs = jitter(rng, (34, 32, 34), 6) if kind == 3 else main
    muzzle = blend(main, (214, 180, 140), 0.55) if kind < 2 else shaded(main, 1.3)
    bob, stride = rng.uniform(-2, 9), rng.uniform(-6, 6)
    behind, before = four_legs((70, 60), (26, 60), stride, 8.8, limbs)
    body = blob(
        (12, 56), (17, 38), (32, 29), (50, 30), (62, 23), (76, 29), (84, 44), (80, 62), (64, 70), (44, 71), (24, 70)
    )
    x, y = 86, 38 + bob
    far_ear, near_ear = oval(x + 2, y - 12, 4, 4), oval(x - 6, y - 11, 4.6, 4.6)
    parts = [*behind, Part(oval(12, 52, 4, 4), main, 0.6), Part(body, main, 0.8, 1.0)]
    if kind == 3:
        yoke = blob((60, 24), (76, 29), (83, 44), (80, 62), (68, 69), (60, 52))
        behind, before = ([part._replace(hide=0.0) for part in group] for group in (behind, before))
        parts = [*behind, *parts[len(behind) :], Part(yoke, limbs, 0.82, 0.0)]
    parts += before
    parts += [
        Part(far_ear, shaded(limbs, 0.7), 0.5),
        Part(oval(x, y, 13, 12), main, 0.95, 0.7),
        Part(limb([(x + 6, y + 4), (x + 14, y + 6)], [7, 4.8]), muzzle, 1.0, 0.2),
        Part(near_ear, limbs, 1.0),
        Part(oval(x - 6, y - 10.6, 2.3, 2.3), shaded(limbs, 1.35), 0.8),
        Part(oval(x + 18, y + 3.6, 2.6, 2.2), BLACK, 1.0),
        Part(stroke([(x + 10, y + 10), (x + 17, y + 9)], 0.55), BLACK, 0.8),
    ]
    if kind == 3:
        parts.append(Part(oval(x + 3.4, y - 1.6, 3.4, 4.2, 30), BLACK, 0.95))
    parts += eye(x + 4, y - 2.4, 1.4)
    return Drawing(parts, "fur", shaded(main, 0.6), 70.0)


def big_cat(rng: np.random.Generator) -> Drawing:
    """Draw a tiger, a leopard or a maned lion: long and low, round head, whiskers, long tail."""
    kind = pick(rng, 3)
    main = jitter(rng, ((226, 130, 48), (222, 170, 92), (212, 164, 96))[kind], 12)
    light, dark = (248, 236, 214), (40, 26, 18)
    pattern = ("stripes", "spots", "fur")[kind]
    bob, stride, wag = rng.uniform(-3, 7), rng.uniform(-8, 8), rng.uniform(-12, 8)
    behind, before = four_legs((68, 60), (24, 58), stride, 6.2, main)
    tail = limb([(16, 50), (3, 60), (-8, 66 + wag), (-17, 54 + wag)], [3, 2.6, 2.4, 2.2])
    tip = oval(-17, 54 + wag, 3.6, 4.6) if kind == 2 else oval(-17, 54 + wag, 2.4, 2.8)
    body = blob((13, 52), (20, 42), (38, 43), (56, 40), (70, 39), (79, 48), (76, 62), (60, 65), (40, 61), (22, 63))
    x, y = 84, 36 + bob
    parts = [Part(tail, main, 0.6, 0.9), Part(tip, dark, 0.65), *behind, Part(body, main, 0.8, 1.0), *before]
    parts.append(Part(limb([(70, 50), (x - 2, y + 4)], [11, 10]), main, 0.85, 1.0))
    if kind == 2:
        mane = jitter(rng, (128, 74, 34), 10)
        rim = [
            (x - 3 + r * np.cos(a), y + 3 + 1.1 * r * np.sin(a))
            for a, r in zip(np.linspace(0, 2 * np.pi, 17)[:-1], [19, 16.5] * 8, strict=True)
        ]
        parts += [Part(blob(*rim), mane, 0.95, 0.0), Part(oval(x - 2, y + 2, 13, 14), shaded(mane, 1.12), 1.0)]
    parts += _cat_face(x, y, main, light, dark)
    scale = {0: 170.0, 1: 150.0, 2: 60.0}[kind]
    return Drawing(parts, pattern, dark if kind < 2 else shaded(main, 0.75), scale)


def _cat_face(x: float, y: float, main: Color, light: Color, dark: Color) -> list[Part]:
    """Draw a big cat's face, turned half towards the viewer."""
    parts = []
    for side in (-1, 1):
        ear = (x + 1 + side * 8.5, y - 8.5)
        parts += [Part(oval(*ear, 4.4, 4.6), shaded(main, 0.8), 0.9), Part(oval(*ear, 2.2, 2.4), dark, 0.8)]
    parts += [
        Part(oval(x, y, 12, 11), main, 1.0, 0.45),
        Part(oval(x + 1 - 3, y + 6, 5, 4.4), light, 1.0),
        Part(oval(x + 1 + 4, y + 6, 5, 4.4), light, 1.0),
        Part(oval(x + 2, y + 9.6, 4, 2.6), light, 0.9),
        Part(polygon((x - 1, y + 1.4), (x + 5, y + 1.4), (x + 2, y + 4.8)), (84, 44, 40), 1.0),
        Part(stroke([(x + 2, y + 4), (x + 2, y + 7.4)], 0.5), dark, 0.8),
    ]
    for side in (-1, 1):
        parts += eye(x + 1.4 + side * 5, y - 2.2, 2, (190, 170, 60))
        for k in (0, 1):
            ends = [(x + 2 + side * 6, y + 5.4 + 1.6 * k), (x + 2 + side * 15, y + 3.4 + 4.6 * k)]
            parts.append(Part(stroke(ends, 0.3), WHITE, 1.0))
    return parts


def _primate_coat(rng: np.random.Generator, kinds: tuple[tuple[Color, Color], ...]) -> tuple[Color, Color]:
    fur, skin = kinds[pick(rng, len(kinds))]
    return jitter(rng, fur, 10), jitter(rng, skin, 8)


def _ape_face(x: float, y: float, wide: float, fur: Color, skin: Color) -> list[Part]:
    """Draw a face from the front: round ears, bare heart-shaped skin, deep eyes, broad muzzle."""
    parts = []
    for side in (-1, 1):
        parts += [
            Part(oval(x + side * 1.02 * wide, y + 1, 0.34 * wide, 0.42 * wide), shaded(skin, 0.85), 0.7),
            Part(oval(x + side * 1.02 * wide, y + 1, 0.18 * wide, 0.24 * wide), shaded(skin, 0.6), 0.5),
        ]
    parts.append(Part(oval(x, y, wide, 1.04 * wide), fur, 0.9, 0.6))
    for side in (-1, 1):
        parts.append(Part(oval(x + side * 0.34 * wide, y - 0.12 * wide, 0.44 * wide, 0.46 * wide), skin, 0.95))
    parts += [
        Part(oval(x, y + 0.5 * wide, 0.62 * wide, 0.46 * wide), shaded(skin, 1.12), 1.0),
        Part(oval(x - 0.12 * wide, y + 0.3 * wide, 0.07 * wide, 0.06 * wide), BLACK, 0.9),
        Part(oval(x + 0.12 * wide, y + 0.3 * wide, 0.07 * wide, 0.06 * wide), BLACK, 0.9),
        Part(
            stroke(
                [(x - 0.34 * wide, y + 0.6 * wide), (x, y + 0.7 * wide), (x + 0.34 * wide, y + 0.6 * wide)], 0.06 * wide
            ),
            shaded(skin, 0.35),
            0.8,
        ),
        *eye(x - 0.34 * wide, y - 0.1 * wide, 0.16 * wide, (110, 66, 30)),
        *eye(x + 0.34 * wide, y - 0.1 * wide, 0.16 * wide, (110, 66, 30)),
    ]
    return parts


def _hand(x: float, y: float, radius: float, skin: Color, relief: float = 1.0) -> list[Part]:
    fingers = [
        Part(limb([(x, y), (x + d * radius, y + 1.5 * radius)], [0.4 * radius, 0.28 * radius]), skin, relief)
        for d in (-0.7, -0.1, 0.5)
    ]
    return [Part(oval(x, y, 0.9 * radius, 0.9 * radius), skin, relief), *fingers]


def monkey(rng: np.random.Generator) -> Drawing:
    """Draw a sitting monkey with a long curled tail; it may wave."""
    fur, skin = _primate_coat(
        rng,
        (
            ((136, 92, 54), (234, 192, 156)),
            ((96, 84, 74), (222, 164, 140)),
            ((196, 150, 84), (110, 78, 66)),
            ((64, 54, 50), (226, 200, 172)),
        ),
    )
    far, wave = shaded(fur, 0.68), rng.random() < 0.5
    lift, curl = rng.uniform(-5, 5), rng.uniform(-5, 5)
    tail = limb(
        [(34, 82), (12, 86), (0, 72), (2, 50), (14 + curl, 44), (18 + curl, 54), (10 + curl, 58)],
        [3, 3, 2.8, 2.6, 2.4, 2.2, 1.8],
    )
    raised = [(62, 50), (80, 44 + lift), (84, 20 + lift)]
    lowered = [(62, 50), (74, 66), (66, 82)]
    arm = raised if wave else lowered
    parts = [Part(tail, fur, 0.6, 0.8)]
    parts += [Part(limb(arm, [6.2, 4.6, 3.4]), far if not wave else fur, 0.7, 0.8)]
    hand_at = (arm[-1][0], arm[-1][1] - (3 if wave else -1))
    hand = _hand(*hand_at, 4.4, skin)
    parts += [Part(turned(p.outline, 180.0, hand_at), *p[1:]) for p in hand] if wave else hand
    parts += [
        Part(blob((48, 38), (60, 44), (66, 62), (64, 82), (48, 90), (32, 82), (30, 62), (36, 44)), fur, 0.8, 1.0),
        Part(oval(48, 68, 10.5, 15), shaded(fur, 1.35), 0.84, 0.2),
        Part(limb([(56, 82), (72, 66), (74, 86)], [8, 6.4, 3.8]), fur, 0.92, 0.8),
        Part(limb([(40, 82), (24, 66), (22, 86)], [8, 6.4, 3.8]), fur, 0.92, 0.8),
        Part(limb([(72, 88), (84, 88)], [3.6, 2.8]), skin, 1.0),
        Part(limb([(24, 88), (12, 88)], [3.6, 2.8]), skin, 1.0),
        Part(limb([(36, 48), (24, 60), (28, 78)], [6.2, 4.8, 3.6]), fur, 1.0, 0.8),
        *_hand(28, 79, 4.2, skin),
        *_ape_face(48, 25, 16.5, fur, skin),
    ]
    return Drawing(parts, "fur", shaded(fur, 0.55), 60.0)


def ape(rng: np.random.Generator) -> Drawing:
    """Draw an ape on its knuckles: sloping back, arms longer than legs, no tail."""
    fur, skin = _primate_coat(
        rng,
        (
            ((52, 48, 52), (92, 80, 78)),
            ((176, 92, 44), (140, 100, 84)),
            ((44, 38, 36), (206, 160, 132)),
        ),
    )
    far, stride, bob = shaded(fur, 0.62), rng.uniform(-6, 6), rng.uniform(-3, 5)
    parts = [
        Part(limb([(66, 48), (80 + stride, 66), (82 + stride, 86)], [9, 6.4, 4.6]), far, 0.45, 0.5),
        Part(oval(83 + stride, 87, 5.4, 3.6), shaded(skin, 0.7), 0.5),
        Part(limb([(30, 70), (42, 80), (38 - stride, 87)], [10, 7, 4.6]), far, 0.45, 0.5),
        Part(
            blob((18, 70), (24, 50), (42, 32), (60, 24), (74, 32), (78, 50), (66, 64), (46, 74), (28, 82)),
            fur,
            0.8,
            1.0,
        ),
        Part(limb([(28, 70), (38, 78), (28 + stride, 86)], [13, 9, 5.4]), fur, 0.9, 0.8),
        Part(limb([(26 + stride, 87.5), (38 + stride, 88)], [3.8, 2.8]), skin, 1.0),
        Part(limb([(62, 42), (64 - stride, 64), (62 - stride, 85)], [13, 8.4, 5.6]), fur, 1.0, 0.8),
        Part(oval(64 - stride, 87, 6.4, 4), skin, 1.0),
        Part(oval(75, 26 + bob, 13, 12), fur, 0.9, 0.8),
        *_ape_face(79, 30 + bob, 13, fur, skin),
    ]
    return Drawing(parts, "fur", shaded(fur, 0.5), 60.0)
