"""One row of a prediction table in detail: photograph, variant, donor, saliency, and the most probable classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bglab.analysis import OUTSIDE_NAME, RowIndex
from bglab.errors import EXPECTED_ERRORS
from bglab.labels import NAMED_SPACES, class_names, to_in9
from bglab.widgets.inspection import Inspection
from bglab.widgets.messages import map_bytes, png_of
from bglab.widgets.row_images import RowImages
from bglab.widgets.selection_text import margin_words, reference_words, row_label, variant_title
from bglab.widgets.session import Session
from bglab.widgets.state import State

_TOP = 5


class RowDetail:
    """Describes rows for the panel that opens on a click.

    Args:
        index: The rows.
        images: Their images.
        session: Scenes and classifiers; None without scenes.
        models: Models of the table by the position of their classifier.
    """

    def __init__(self, index: RowIndex, images: RowImages, session: Session | None, models: Sequence[str]) -> None:
        self.session = session
        self._index, self._images, self._models = index, images, models

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.session.images.size if self.session is not None else 0

    @property
    def notes(self) -> list[str]:
        """What is to be known about the images of the whole table, in sentences."""
        if self.session is None:
            return ["Rows are shown as text. To see their images, give the scenes: bglab.browse(…, scenes=…)."]
        scenes, notes = self.session.images.scenes, []
        full = int(self._images.full_resolution.sum())
        foreign = [
            key for key in self._index.values["dataset"] if scenes.fingerprint[:6] not in key and "-full-" not in key
        ]
        if full:
            notes.append(
                f"{full:,} rows were classified at full resolution; their images here are made from prepared ones."
            )
        if foreign:
            rows = sum(
                int((self._index.codes("dataset") == self._index.values["dataset"].index(key)).sum()) for key in foreign
            )
            notes.append(
                f"{rows:,} rows are of {', '.join(foreign[:3])}, not of {scenes.name} as it is now; images may differ."
            )
        return notes

    def position(self, model: str) -> int:
        """Return the position of the classifier of a model, or -1."""
        return self._models.index(model) if model in self._models else -1

    def differences(self, row: int) -> str:
        """Return in what the explorer's image differs from the classified one; "" if in nothing."""
        if self._images.is_published(row):
            return "The explorer composes the image anew; the one that was classified was published with the release."
        variant = self._images.variant(row)
        is_random = "seed" in repr(variant) or any(word in repr(variant) for word in ("Nois", "Texture"))
        if is_random and not self._images.is_drawn_alike(row):
            return "The explorer draws noise and textures with another seed than the data set; give seed=…"
        return ""

    def describe(self, row: int, compared_with: str) -> tuple[dict[str, Any], list[bytes]]:
        """Describe a row.

        Args:
            row: Position of the row.
            compared_with: What it is compared with, or "".

        Returns:
            The message, and its buffers: the images that its ``images`` names, as PNG, then the saliency map as bytes
            of float32, empty if there is none.
        """
        index, table = self._index, self._index.table.iloc[row]
        names = (*index.classes, OUTSIDE_NAME)
        content: dict[str, Any] = {
            "place": row,
            "label": row_label(index, row),
            "scene": str(table["scene"]),
            "variant": variant_title(str(table["variant"])),
            "model": str(table["model"]),
            "donor": str(table["donor"]),
            "truth": names[int(index.truth[row])],
            "predicted": names[int(index.answer[row])],
            "correct": bool(index.correct[row]),
            "stored": self._stored(row),
            "margin": margin_words(float(table["margin"])),
            "compared": self._compared(row, compared_with),
            "images": [],
            "map": None,
            "top": [],
            "note": "",
        }
        buffers: list[bytes] = []
        missing = int(self._images.missing[row])
        if missing >= 0:
            content["note"] = f"One of the rows that {self._images.reasons[missing]}."
            return content, [*buffers, b""]
        try:
            inspection = self._show(row, content, buffers)
        except EXPECTED_ERRORS as problem:
            content["note"] = f"The image cannot be rendered: {problem}"
            return content | {"images": []}, [b""]
        return content, [*buffers, b"" if inspection is None else map_bytes(inspection)]

    def _show(self, row: int, content: dict[str, Any], buffers: list[bytes]) -> Inspection | None:
        """Add the images of a row, and what its classifier says about it now."""
        assert self.session is not None
        images, scene, donor = self.session.images, content["scene"], content["donor"]
        rendered = self._images.rendered(row)
        parts = [("As photographed", self.session.renderer.image(State(scene)))]
        parts.append((content["variant"], rendered.image[0]))
        if donor and donor != scene and donor in images.scenes.positions:
            parts.append((f"Donor {donor}", images.batch(donor).images[0]))
        content["images"] = [title for title, _ in parts]
        buffers += [png_of(levels.numpy()) for _, levels in parts]
        position = self.position(content["model"])
        if position < 0:
            content["note"] = f"Saliency and exact margins need the classifier: classifier={{'{content['model']}': …}}"
            return None
        inspection = self.session.inspector.inspect_image(rendered, scene, position)
        saliency, prediction = inspection.saliency, inspection.prediction
        content["map"] = None if saliency.values is None else list(saliency.values.shape)
        content["share"] = None if np.isnan(saliency.share) else round(saliency.share, 5)
        content["top"] = [[name, round(probability, 5)] for _, name, probability in prediction.top]
        content["note"] = saliency.why_missing
        margin = self._margin(row, prediction.probabilities)
        if margin is not None:
            content["margin"] = f"margin {margin:+.2f}".replace("-", "−")
        stored = self._index.table.iloc[row]
        if prediction.native != int(stored["native"]) and not content["note"]:
            content["note"] = (
                "The classifier predicts another class now than the table has: other weights, an engine of other "
                "precision, or another protocol. `bglab explain` tells the settings of two tables apart."
            )
        return inspection

    def _margin(self, row: int, probabilities: np.ndarray) -> float | None:
        """Compute the margin among the model's own classes; None if these do not map to the labels."""
        stored, truth = self._index.table.iloc[row], int(self._index.truth[row])
        labels = np.arange(len(probabilities))
        if stored["native_space"] != stored["space"]:
            if stored["native_space"] != "imagenet" or len(probabilities) != 1000:
                return None
            labels = to_in9(labels)
        is_true = labels == truth
        if not is_true.any() or is_true.all():
            return None
        return float(probabilities[is_true].max() - probabilities[~is_true].max())

    def _stored(self, row: int) -> list[str]:
        """Return what the table stores: the five best classes by name, the first with its probability."""
        stored = self._index.table.iloc[row]
        space = str(stored["native_space"])
        known = class_names(space) if space in NAMED_SPACES else self._index.classes
        best = stored.get("top5")
        best = [int(stored["native"])] if best is None or not len(best) else [int(i) for i in best]
        names = [known[i] if 0 <= i < len(known) else f"class {i}" for i in best[:_TOP]]
        confidence = float(stored["confidence"])
        return names if np.isnan(confidence) else [f"{names[0]} {100 * confidence:.0f} %", *names[1:]]

    def _compared(self, row: int, compared_with: str) -> str:
        """Return the prediction of the row that this one is compared with, in words; "" without one."""
        other = self._index.counterpart(row, compared_with)
        if other < 0:
            return ""
        names = (*self._index.classes, OUTSIDE_NAME)
        outcome = "correct" if self._index.correct[other] else "incorrect"
        confidence = float(self._index.confidence[other])
        sure = "" if np.isnan(confidence) else f", confidence {100 * confidence:.0f} %"
        return (
            f"On {reference_words(compared_with)}: {outcome}, predicted {names[int(self._index.answer[other])]}{sure}"
        )
