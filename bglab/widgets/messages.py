"""What the kernel tells a browser: the greeting, sheets of thumbnails, answers."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from bglab.catalogue import unknown_name
from bglab.errors import UnknownName
from bglab.figures import VENUES, color_of
from bglab.images import FAMILIES, draw_texture
from bglab.labels import OUTSIDE
from bglab.seeding import keyed_generator
from bglab.variants import VARIANTS, SceneBatch, variant_table
from bglab.widgets.session import NINE_NAMES, Seen, Session
from bglab.widgets.state import SLIDERS, State

#: Side of a thumbnail, thumbnails a sheet and a row of it.
THUMB_PX, PER_SHEET, PER_ROW = 64, 48, 8
#: Perceptually uniform, and readable for colour-blind people (Nuñez et al., 2018).
COLOUR_MAP = "cividis"
_JPEG_QUALITY = 82


def greeting(session: Session, state: dict[str, Any]) -> dict[str, Any]:
    """Give everything that a view needs once: names, colours, ranges, scenes, and the state."""
    scenes = session.prepared.scenes
    colours = matplotlib.colormaps[COLOUR_MAP](np.arange(256), bytes=True)[:, :3]
    words = variant_table(list(VARIANTS)).set_index("Variant")
    defaults = asdict(State(""))
    return {
        "state": state,
        "defaults": defaults,
        "size": session.size,
        "sliders": {name: slider._asdict() for name, slider in SLIDERS.items()},
        "nine": list(NINE_NAMES),
        "colours": [*map(color_of, NINE_NAMES[:9]), "#999999"],
        "colour_map": colours.ravel().tolist(),
        "models": [classifier.spec.id for classifier in session.classifiers],
        "truth_is_known": session.truth_is_known,
        "class_names": list(scenes.classes) if len(scenes.classes) <= 100 else [],
        "scenes": [
            [record.id, record.label, i, bool(lends)]
            for i, (record, lends) in enumerate(zip(scenes.records, session.prepared.has_plate, strict=True))
        ],
        "own": [[key, place, session.own[key].label] for place, key in enumerate(session.own)],
        "images": list(session.backgrounds),
        "variants": [
            [v.name, v.title, f"{words.loc[v.title, 'Foreground']}; {words.loc[v.title, 'Background']}"]
            for v in VARIANTS.values()
        ],
        "textures": list(FAMILIES),
        "venues": list(VENUES),
        "thumb": THUMB_PX,
        "per_sheet": PER_SHEET,
        "per_row": PER_ROW,
    }


def answer_message(answers: Sequence[Seen], original: Sequence[Seen]) -> tuple[dict[str, Any], list[bytes]]:
    """Put answers into a message, each with what the photograph got; maps travel as float32 buffers."""
    content = {
        "type": "answer",
        "answers": [_told(seen, before) for seen, before in zip(answers, original, strict=True)],
        "original": [_told(before, before) for before in original],
    }
    maps = [b"" if seen.saliency is None else seen.saliency.astype(np.float32).tobytes() for seen in answers]
    return content, maps


def _told(seen: Seen, before: Seen) -> dict[str, Any]:
    return {
        "nine": None if seen.nine is None else [round(float(v), 5) for v in seen.nine],
        "top": [
            [number, name, round(share, 5), round(float(before.probabilities[number]), 5)]
            for number, name, share in seen.top
        ],
        "prediction": seen.prediction,
        "right": seen.right,
        "captured": seen.captured,
        "share": None if math.isnan(seen.share) else round(seen.share, 5),
        "map": None if seen.saliency is None else list(seen.saliency.shape),
        "no_map": seen.no_map,
    }


class Sheets:
    """Thumbnails in sheets of 48, made when they are asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def jpeg(self, kind: str, sheet: str) -> bytes:
        """Give one sheet.

        Args:
            kind: ``scene``, ``plate`` or ``texture``.
            sheet: Its number, or ``own`` and the place of an image of one's own.

        Raises:
            UnknownName: If there is no such sheet.
        """
        if kind == "texture":
            rngs = [keyed_generator(self._session.seed, "thumbnail", name) for name in FAMILIES]
            return sheet_of([draw_texture(THUMB_PX, rng, name) for name, rng in zip(FAMILIES, rngs, strict=True)])
        if kind not in {"scene", "plate"}:
            raise UnknownName(unknown_name("kind of thumbnail", kind, ("scene", "plate", "texture")))
        if sheet.startswith("own"):
            name = list(self._session.own)[int(sheet[3:])]
            return sheet_of([self._image(self._session.own[name].batch, kind)])
        prepared, first = self._session.prepared, int(sheet) * PER_SHEET
        arrays = prepared.images if kind == "scene" else prepared.plates
        return sheet_of([np.asarray(array) for array in arrays[first : first + PER_SHEET]])

    def _image(self, batch: SceneBatch, kind: str) -> np.ndarray:
        return (batch.images if kind == "scene" else batch.plates)[0].numpy()


def sheet_of(images: Sequence[np.ndarray]) -> bytes:
    """Lay images out in rows of eight."""
    rows = -(-len(images) // PER_ROW)
    canvas = Image.new("RGB", (PER_ROW * THUMB_PX, rows * THUMB_PX))
    for i, levels in enumerate(images):
        small = Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))
        small = small.resize((THUMB_PX, THUMB_PX), Image.Resampling.BILINEAR, reducing_gap=2.0)
        canvas.paste(small, (i % PER_ROW * THUMB_PX, i // PER_ROW * THUMB_PX))
    with io.BytesIO() as buffer:
        canvas.save(buffer, format="JPEG", quality=_JPEG_QUALITY)
        return buffer.getvalue()


def outside_or(label: int) -> str:
    """Name one of the nine classes, or say that it is unknown."""
    return "class not given" if label == OUTSIDE else NINE_NAMES[label]
