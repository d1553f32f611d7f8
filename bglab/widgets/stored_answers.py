"""What a page without a kernel stores: images, and the answers of classifiers computed beforehand."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from bglab.models import Classifier, not_finite
from bglab.widgets.inspection import Inspection
from bglab.widgets.messages import result_message, webp_of
from bglab.widgets.session import Session
from bglab.widgets.state import State

#: Parts of a result that are stored as they are.
_PLAIN = ("prediction", "correct", "captured", "share")


class StoredImages:
    """Images as base64 of lossless WebP, each of them once.

    Attributes:
        texts: The images.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[bytes, int] = {}

    @property
    def size(self) -> int:
        """Bytes of all images in the page."""
        return sum(map(len, self.texts))

    def add(self, levels: UInt8[np.ndarray, "3 h w"]) -> int:
        """Add an image unless it is there, and return its position."""
        digest = hashlib.sha256(levels.tobytes()).digest()
        if digest not in self._places:
            self._places[digest] = len(self.texts)
            self.texts.append(base64.b64encode(webp_of(levels)).decode())
        return self._places[digest]


class StoredAnswers:
    """Answers of a session's classifiers: what the explorer shows of them, without its names.

    A row is ``[shown, top, prediction, correct, captured, share]``: probabilities of the nine classes, or
    ``[label, now, before]`` of each of the scenes' own classes that is shown; ``[class, now, before]`` of the five most
    probable native classes; and what `bglab.widgets.messages.result_message` calls by these names.

    Args:
        session: Images and classifiers.
        mixes: Stops of the slider.

    Attributes:
        classifiers: The classifiers.
        size: Bytes that the answers for one image take, as far as is known from the photographs.
    """

    def __init__(self, session: Session, mixes: Sequence[float]) -> None:
        self.classifiers: tuple[Classifier, ...] = session.inspector.classifiers
        self.size = 0
        self._session, self._mixes = session, mixes
        self._names: list[dict[int, str]] = [{} for _ in self.classifiers]
        self._reasons = [""] * len(self.classifiers)

    @property
    def shared(self) -> dict[str, Any]:
        """What is the same in all answers of a classifier: its class names, and why it has no map or no comparison."""
        comparable = [self._session.inspector.is_comparable(i) for i in range(len(self.classifiers))]
        return {"native": self._names, "no_map": self._reasons, "is_comparable": comparable}

    def originals(self, scene: str) -> list[list[Any]]:
        """Return one row per classifier for a photograph.

        Raises:
            BadInput: If its probabilities are not finite.
        """
        inspections = self._session.inspector.inspect_original(scene)
        rows = self._rows(inspections, scene)
        self._reasons = [inspection.saliency.why_missing for inspection in inspections]
        maps = [inspection.saliency.values for inspection in inspections]
        text = json.dumps(rows, separators=(",", ":"))
        self.size = max(self.size, len(text) + sum(4 * values.size // 3 for values in maps if values is not None))
        return rows

    def series(self, state: State) -> list[dict[str, Any]]:
        """Return the answers of each classifier for a scene on a background, over all mixes.

        Returns:
            For each classifier its ``rows``, the shape of its maps as ``map`` or None, and all ``maps`` as base64 of
            one byte per place.

        Raises:
            BadInput: If probabilities are not finite.
        """
        series = self._session.inspector.inspect_mixes(state, self._mixes)
        rows = [self._rows(inspections, state.scene) for inspections in series]
        answers = []
        for i in range(len(self.classifiers)):
            maps = [inspections[i].saliency.values for inspections in series]
            drawn = [values for values in maps if values is not None]
            levels = b"".join(quantised(values).tobytes() for values in drawn)
            shape = list(drawn[0].shape) if drawn else None
            answers.append({"rows": [row[i] for row in rows], "map": shape, "maps": base64.b64encode(levels).decode()})
        return answers

    def _rows(self, inspections: Sequence[Inspection], scene: str) -> list[list[Any]]:
        for classifier, inspection in zip(self.classifiers, inspections, strict=True):
            if not np.isfinite(inspection.prediction.probabilities).all():
                raise not_finite(classifier)
        originals = self._session.inspector.inspect_original(scene)
        content, _ = result_message(self._session.display, inspections, originals)
        rows = []
        for names, result in zip(self._names, content["results"], strict=True):
            names |= {index: name for index, name, *_ in result["top"]}
            own = result["own"] and [[label, now, before] for label, _, now, before in result["own"]]
            top = [[index, now, before] for index, _, now, before in result["top"]]
            rows.append([result["nine"] or own, top, *(result[name] for name in _PLAIN)])
        return rows


def quantised(values: Float[np.ndarray, "mh mw"]) -> UInt8[np.ndarray, "mh mw"]:
    """Quantise a saliency map to the 256 steps of its colours, from 0 to its maximum.

    Example:
        >>> quantised(np.array([[0.0, 0.5], [1.0, 2.0]])).tolist()
        [[0, 64], [128, 255]]
    """
    return np.rint(255 * values / max(float(values.max()), np.finfo(np.float32).tiny)).astype(np.uint8)
