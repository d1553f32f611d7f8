"""Classification: logits in batches that fit the device, and classes and probabilities from logits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bglab.errors import BadInput
from bglab.labels import in9_probabilities, softmax, to_in9
from bglab.models.classifier import Classifier
from bglab.models.cuda_streams import copied_back
from bglab.parallel import in_flight, prefetch

_LOG = logging.getLogger(__name__)


@dataclass
class Batching:
    """Batch size of a run, which shrinks when the device runs out of memory.

    Attributes:
        size: Images per forward pass.
        forwards: Number of images classified so far.
        most: Largest size that may still be chosen by the free memory of a GPU; 0 leaves the size as it is.

    Raises:
        BadInput: If the size is below 1.
    """

    size: int
    forwards: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise BadInput(f"expected a batch size of at least 1, got {self.size}")

    def halve(self, classifier: Classifier) -> None:
        """Halve the batch size after a device ran out of memory.

        Raises:
            BadInput: If a single image does not fit.
        """
        device = classifier.engine.device
        if self.size == 1:
            raise BadInput(
                f"expected {classifier.spec.id} to fit on {device}, but a single image runs out of its memory; "
                "use --device cpu"
            ) from None
        self.size //= 2
        _LOG.warning("out of memory on %s: going on with batches of %d", device, self.size)
        torch.cuda.empty_cache()


def classify_batches(
    classifier: Classifier,
    render: Callable[[slice], UInt8[Tensor, "n 3 h w"]],
    count: int,
    batching: Batching,
) -> Iterator[Float[Tensor, "n c"]]:
    """Classify ``count`` images, batch by batch; the next batch is rendered while the engine works on this one.

    The engine begins with the next batch before the logits of this one are yielded, so it never waits for the caller.

    A batch that does not fit on the device is classified again in halves.

    Args:
        classifier: From `load_classifier`.
        render: Renders the images at a slice of positions, RGB, 0-255, on the classifier's device.
        count: Number of images.
        batching: Images per forward pass; its size is halved when the device runs out of memory.

    Yields:
        The logits of one batch, on the CPU.

    Raises:
        BadInput: If a single image does not fit.
    """
    position = 0
    while position < count:
        try:
            with closing(prefetch(_rendered(render, position, count, batching.size), name="bglab-render")) as ready:
                begun = (copied_back(classifier.begin(images), classifier.engine.device) for images in ready)
                for waiting in in_flight(begun):
                    logits = finite_logits(classifier, waiting())
                    position += len(logits)
                    batching.forwards += len(logits)
                    yield logits
        except torch.cuda.OutOfMemoryError:
            batching.halve(classifier)


def finite_logits(classifier: Classifier, logits: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """Return logits, all of which stand for probabilities; a class may have none, whose logit is −∞.

    Args:
        classifier: Classifier that they are of, for the message.
        logits: One row per image.

    Raises:
        BadInput: If a row has NaN or +∞, or nothing but −∞.
    """
    # the largest of a row is NaN if one of them is; without torch, whose threads would wait for cores that are busy
    if bool(np.isfinite(logits.numpy().max(axis=1)).all()):
        return logits
    raise not_finite(classifier)


def not_finite(classifier: Classifier) -> BadInput:
    """Return the error for a classifier whose logits are not finite."""
    return BadInput(
        f"expected finite logits of {classifier.spec.id}, got NaN or infinity; its weights, its mean and "
        "standard deviation, or a precision too low for it are the usual reasons (--amp-dtype none)"
    )


def _rendered(
    render: Callable[[slice], UInt8[Tensor, "n 3 h w"]], start: int, count: int, size: int
) -> Iterator[UInt8[Tensor, "n 3 h w"]]:
    for first in range(start, count, size):
        yield render(slice(first, min(first + size, count)))


class Classification(NamedTuple):
    """Classes and probabilities of some images.

    Attributes:
        native: Class of highest logit among the classifier's own.
        predictions: Predicted label in the scenes' label space, OUTSIDE if the class belongs to none of them.
        probabilities: Softmax probability of each class of that space, in [0, 1]; the last column is the probability
            of all other classes, so that OUTSIDE = -1 is a valid index.
    """

    native: Int[np.ndarray, " n"]
    predictions: Int[np.ndarray, " n"]
    probabilities: Float[np.ndarray, "n k"]


def classify(classifier: Classifier, images: UInt8[Tensor, "n 3 h w"], space: str) -> Classification:
    """Classify images in the label space of their scenes.

    Args:
        classifier: From `load_classifier`.
        images: RGB, 0-255, on any device.
        space: Label space of the scenes: the classifier's own, or ``in9`` for an ImageNet classifier.
    """
    logits = finite_logits(classifier, classifier(images).cpu())
    return from_logits(logits.numpy().astype(np.float64), classifier.spec.space, space)


def from_logits(logits: Float[np.ndarray, "n c"], native_space: str, space: str) -> Classification:
    """Turn logits into classes and probabilities; ImageNet classes are mapped to ``in9`` after the arg-max.

    Args:
        logits: One row per image, in float64 so that probabilities sum to 1.
        native_space: Label space of the logits.
        space: Label space of the result: ``native_space``, or ``in9`` for ImageNet logits.
    """
    native = logits.argmax(axis=1)
    if native_space != space:
        return Classification(native, to_in9(native), in9_probabilities(logits))
    return Classification(native, native, np.pad(softmax(logits), ((0, 0), (0, 1))))


@dataclass(frozen=True, eq=False)
class ImageClassification:
    """Prediction for one image, in the nine classes of ImageNet-9.

    Attributes:
        image: The classified image, RGB, 0-255.
        probabilities: Softmax probabilities of the nine classes in [0, 1]; the tenth is that of all other classes.
        native: Name of the predicted class among the classifier's own classes.
        confidence: Softmax probability of that class, in [0, 1].
        prediction: The nine-class decision (arg-max, then mapped), or OUTSIDE.
    """

    image: UInt8[Tensor, "3 h w"]
    probabilities: Float[np.ndarray, "10"]
    native: str
    confidence: float
    prediction: int


def classify_image(classifier: Classifier, image: UInt8[Tensor, "3 h w"]) -> ImageClassification:
    """Classify one image in the nine classes of ImageNet-9.

    Args:
        classifier: From `load_classifier`; an ImageNet classifier or one with the nine classes.
        image: RGB, 0-255, on any device; resized and cropped if the classifier's protocol says so.
    """
    logits = finite_logits(classifier, classifier(classifier.see(image.unsqueeze(0))).cpu()).numpy().astype(np.float64)
    found = from_logits(logits, classifier.spec.space, "in9")
    best = int(found.native[0])
    confidence = float(softmax(logits[0])[best])
    prediction = int(found.predictions[0])
    return ImageClassification(image, found.probabilities[0], classifier.classes[best], confidence, prediction)
