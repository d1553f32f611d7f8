"""The clearest captures of a pair matrix, with their images: objects taken for the class of a background."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from bglab.analysis import pair_outcomes
from bglab.images import read_image
from bglab.labels import OUTSIDE, class_names
from bglab.results import PairPredictions
from bglab.search import PairEvaluator, Pairs, classify_shown
from bglab.seeding import keyed_generator

#: Captured pairs that are classified again for their probabilities; of more, a sample.
_MOST_PAIRS = 512
_BATCH = 32


class Capture(NamedTuple):
    """An object that is classified correctly in its own image, and as the background's class on another background.

    Attributes:
        scene: Id of the object's scene.
        object_name: What the object is: its ImageNet class if that is known, else its class.
        class_name: Class of the object.
        background: Id of the scene that lends the background.
        background_class: Class of the background, which is predicted.
        own_probability: Probability of the object's class in its own image, in [0, 1].
        probability: Probability of the background's class on the background, in [0, 1].
        own_image: The object's own image, as JPEG.
        image: The object on the background, as JPEG.
    """

    scene: str
    object_name: str
    class_name: str
    background: str
    background_class: str
    own_probability: float
    probability: float
    own_image: bytes
    image: bytes

    @property
    def caption(self) -> str:
        """The capture in a few words, e.g. ``tiger → insect 82 %``."""
        return f"{self.object_name} → {self.background_class} {100 * self.probability:.0f} %"


def clearest_captures(evaluator: PairEvaluator, pairs: PairPredictions, *, count: int = 5) -> tuple[Capture, ...]:
    """Choose the clearest captures of a matrix, each of another object and on another background.

    A capture is as clear as the smaller of two probabilities: that of the object's class in its own image, and that of
    the background's class on the background.

    Args:
        evaluator: The model with the scenes of the matrix.
        pairs: Predictions for every object on every background.
        count: Number of captures, at most.
    """
    captured = pair_outcomes(pairs).captured & pairs.correct[:, None]
    rows, columns = np.nonzero(captured)
    if len(rows) > _MOST_PAIRS:
        kept = np.sort(keyed_generator(0, "captures").permutation(len(rows))[:_MOST_PAIRS])
        rows, columns = rows[kept], columns[kept]
    if not len(rows):
        return ()
    own = _own_probabilities(evaluator, np.unique(rows))[rows]
    reached = _probabilities(evaluator, Pairs(rows, columns))
    order = np.argsort(-np.minimum(own, reached), kind="stable")
    chosen: list[int] = []
    for place in order.tolist():
        if len(chosen) == count:
            break
        if rows[place] not in rows[chosen] and columns[place] not in columns[chosen]:
            chosen.append(place)
    return tuple(_capture(evaluator, int(rows[i]), int(columns[i]), float(own[i]), float(reached[i])) for i in chosen)


def _own_probabilities(evaluator: PairEvaluator, rows: np.ndarray) -> Float[np.ndarray, " f"]:
    """Return the probability of each object's class in its own image, NaN for objects that are not asked for."""
    found = np.full(len(evaluator.foregrounds.ids), np.nan)
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        # not `originals`, which the protocol has resized already
        images = torch.from_numpy(np.array(evaluator.prepared.images[some])).to(evaluator.composer.device)
        answers = classify_shown(evaluator, images)
        found[some] = answers.probabilities[np.arange(len(some)), evaluator.foregrounds.labels[some]]
    return found


def _probabilities(evaluator: PairEvaluator, pairs: Pairs) -> Float[np.ndarray, " n"]:
    """Return the probability of each background's class on that background."""
    parts = []
    for start in range(0, len(pairs.rows), _BATCH):
        part = pairs.part(start, start + _BATCH)
        answers = classify_shown(evaluator, evaluator.composer.render(part))
        labels = evaluator.backgrounds.labels[part.columns]
        parts.append(answers.probabilities[np.arange(len(labels)), labels])
    return np.concatenate(parts)


def _capture(evaluator: PairEvaluator, row: int, column: int, own: float, reached: float) -> Capture:
    ids, labels, native = evaluator.foregrounds
    classes = evaluator.originals.classes
    label = classes[labels[row]]
    pair = Pairs(np.array([row]), np.array([column]))
    return Capture(
        scene=ids[row],
        object_name=class_names("imagenet")[native[row]] if native[row] != OUTSIDE else label,
        class_name=label,
        background=evaluator.backgrounds.ids[column],
        background_class=classes[evaluator.backgrounds.labels[column]],
        own_probability=own,
        probability=reached,
        own_image=encode(torch.from_numpy(np.array(evaluator.prepared.images[row]))),
        image=encode(evaluator.composer.render(pair)[0].cpu()),
    )


def encode(image: UInt8[Tensor, "3 h w"]) -> bytes:
    """Encode an RGB image as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def decode(content: bytes) -> UInt8[np.ndarray, "3 h w"]:
    """Decode a JPEG that `encode` made.

    Raises:
        BadInput: If it is no image, as in a card that was changed.
    """
    return read_image(content)
