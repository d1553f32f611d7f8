"""What the kernel sends to a browser: the greeting, sheets of thumbnails, inspections."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from bglab.catalogue import unknown_name
from bglab.errors import UnknownName
from bglab.figures import venue_names
from bglab.images import FAMILIES, from_levels
from bglab.labels import OUTSIDE
from bglab.variants import VARIANTS, variant_table
from bglab.widgets.collection import ImageCollection
from bglab.widgets.display_space import MOST_ROWS, DisplaySpace
from bglab.widgets.inspection import Inspection
from bglab.widgets.session import Session
from bglab.widgets.state import SLIDERS

#: Side of a thumbnail in pixels, thumbnails per sheet and per row of a sheet.
THUMB_PX, PER_SHEET, PER_ROW = 64, 48, 8
#: Side in pixels of the canvas on the page, where the page is wide enough.
CANVAS_PX = 340
#: Perceptually uniform, and readable for colour-blind people (Nuñez et al., 2018).
COLOUR_MAP = "cividis"
_JPEG_QUALITY = 82
#: Digits of the number of a sheet, and one.
_LONGEST_NUMBER = 10


def greeting(session: Session, state: dict[str, Any]) -> dict[str, Any]:
    """Collect everything that a view needs once: names, colours, ranges, scenes, and the state."""
    images, scenes = session.images, session.images.scenes
    words = variant_table(list(VARIANTS)).set_index("Variant")
    return {
        "state": state,
        "size": images.size,
        "sliders": {name: slider._asdict() for name, slider in SLIDERS.items()},
        **shown_classes(session.display),
        "colour_map": colour_table(),
        "models": [classifier.spec.id for classifier in session.inspector.classifiers],
        # photographs can be told apart by whether the first classifier is right
        "has_labels": session.inspector.is_comparable(0) and bool((images.labels != OUTSIDE).any()),
        "class_names": list(scenes.classes),
        "scenes": [[record.id, record.label, i, images.lends(record, i)] for i, record in enumerate(scenes.records)],
        "unusable": list(images.unusable),
        **uploads(images),
        "variants": [
            [v.name, v.title, f"{words.loc[v.title, 'Foreground']}; {words.loc[v.title, 'Background']}"]
            for v in VARIANTS.values()
        ],
        "textures": list(FAMILIES),
        "venues": list(venue_names()),
        "thumb": THUMB_PX,
        "per_sheet": PER_SHEET,
        "per_row": PER_ROW,
    }


def colour_table() -> list[int]:
    """Return the 256 colours of saliency maps as red, green, blue, red, …, from 0 to the maximum of a map."""
    return matplotlib.colormaps[COLOUR_MAP](np.arange(256), bytes=True)[:, :3].ravel().tolist()


def uploads(images: ImageCollection) -> dict[str, Any]:
    """List the uploaded images, each with its position and class, and the names of the uploaded backgrounds."""
    return {
        "uploads": [[key, place, images.label(key)] for place, key in enumerate(images.uploads)],
        "backgrounds": list(images.backgrounds),
    }


def result_message(
    display: DisplaySpace, inspections: Sequence[Inspection], originals: Sequence[Inspection]
) -> tuple[dict[str, Any], list[bytes]]:
    """Put inspections into a message, next to those of the photograph.

    Returns:
        The message, and for each inspection its saliency map as bytes of float32, empty if it has none.
    """
    content = {
        "type": "result",
        "results": [_result(display, *pair) for pair in zip(inspections, originals, strict=True)],
        "originals": [_result(display, original, original) for original in originals],
    }
    return content, [map_bytes(inspection) for inspection in inspections]


def map_bytes(inspection: Inspection) -> bytes:
    """Return a saliency map as bytes of float32, empty if there is none."""
    values = inspection.saliency.values
    return b"" if values is None else values.astype(np.float32).tobytes()


def shown_classes(display: DisplaySpace) -> dict[str, Any]:
    """List the names of the nine classes and of everything outside, or else those of the scenes' own classes."""
    names = list(display.names)
    if display.is_nine:
        return {"nine": [*names, display.rest], "own": [], "own_rows": []}
    return {"nine": [], "own": names, "own_rows": names if len(names) <= MOST_ROWS else [""] * (MOST_ROWS + 1)}


def _result(display: DisplaySpace, inspection: Inspection, original: Inspection) -> dict[str, Any]:
    prediction, saliency = inspection.prediction, inspection.saliency
    before = original.prediction.probabilities
    nine, rows = prediction.nine, None
    if not display.is_nine and prediction.by_class is not None and original.prediction.by_class is not None:
        chosen = display.rows(
            prediction.by_class, original.prediction.by_class, prediction.true_label, prediction.donor_label
        )
        rows = [[row.label, row.name, round(row.now, 5), round(row.before, 5)] for row in chosen]
    return {
        "nine": None if nine is None else [round(float(p), 5) for p in nine],
        "own": rows,
        "is_comparable": prediction.by_class is not None,
        "top": [
            [index, name, round(probability, 5), round(float(before[index]), 5)]
            for index, name, probability in prediction.top
        ],
        "prediction": prediction.prediction,
        "correct": prediction.correct,
        "captured": prediction.captured,
        "share": None if math.isnan(saliency.share) else round(saliency.share, 5),
        "map": None if saliency.values is None else list(saliency.values.shape),
        "no_map": saliency.why_missing,
    }


class Sheets:
    """Thumbnails in sheets of 48, made on request.

    Args:
        images: Scenes and uploads to show.
    """

    def __init__(self, images: ImageCollection) -> None:
        self._images = images

    def jpeg(self, kind: str, sheet: str) -> bytes:
        """Encode one sheet as JPEG.

        Args:
            kind: ``scene`` or ``plate``.
            sheet: Number of the sheet, or ``upload`` followed by the position of an uploaded image.

        Raises:
            UnknownName: If there is no such kind, or no such sheet.
        """
        if kind not in {"scene", "plate"}:
            raise UnknownName(unknown_name("kind of thumbnail", kind, ("scene", "plate")))
        is_upload = sheet.startswith("upload")
        digits, names = sheet.removeprefix("upload"), list(self._images.uploads)
        count = len(names) if is_upload else -(-len(self._images.scenes) // PER_SHEET)
        number = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < _LONGEST_NUMBER else count
        if number >= count:
            raise UnknownName(f"expected one of {count} sheets of thumbnails, got '{sheet[:40]}'; reload the page")
        if is_upload:
            batch = self._images.uploads[names[number]].batch
            return sheet_of([(batch.images if kind == "scene" else batch.plates)[0].numpy()])
        first = number * PER_SHEET
        return sheet_of(self._images.thumbnails(kind, first, first + PER_SHEET, THUMB_PX))


def texture_sheet(session: Session, scene: str) -> bytes:
    """Encode thumbnails of all textures as JPEG: the middle of the texture behind a scene, as large as on the canvas.

    Args:
        session: Images and their renderer.
        scene: Id of the scene, since a texture is drawn anew for each.

    Raises:
        UnknownName: If there is no such scene.
    """
    side = min(session.images.size, max(1, round(session.images.size * THUMB_PX / CANVAS_PX)))
    start = (session.images.size - side) // 2
    middle = slice(start, start + side)
    plates = [session.renderer.layers(scene, f"texture:{name}").plate for name in FAMILIES]
    return sheet_of([plate[:, middle, middle].numpy() for plate in plates])


def sheet_of(images: Sequence[np.ndarray], side: int = THUMB_PX) -> bytes:
    """Tile thumbnails of images in rows of eight and encode them as JPEG.

    Args:
        images: RGB levels of shape (3, h, w), at most 48.
        side: Side of the thumbnails in pixels.
    """
    rows = -(-len(images) // PER_ROW)
    canvas = Image.new("RGB", (PER_ROW * side, rows * side))
    for i, levels in enumerate(images):
        small = from_levels(levels)
        small = small.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        canvas.paste(small, (i % PER_ROW * side, i // PER_ROW * side))
    with io.BytesIO() as buffer:
        canvas.save(buffer, format="JPEG", quality=_JPEG_QUALITY)
        return buffer.getvalue()


def png_of(levels: np.ndarray) -> bytes:
    """Encode an image as PNG.

    Args:
        levels: RGB levels of shape (3, h, w).
    """
    with io.BytesIO() as buffer:
        from_levels(levels).save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()


def webp_of(levels: np.ndarray) -> bytes:
    """Encode an image as WebP without loss: of a photograph, two thirds of the bytes of a PNG.

    Args:
        levels: RGB levels of shape (3, h, w).
    """
    with io.BytesIO() as buffer:
        from_levels(levels).save(buffer, format="WEBP", lossless=True, quality=75, method=4)
        return buffer.getvalue()
