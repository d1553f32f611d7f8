"""Answers of a classifier: logits in batches that fit, probabilities, and one image's answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from bglab.labels import in9_probabilities, to_in9
from bglab.models.classifier import Classifier


@dataclass(frozen=True, eq=False)
class Answer:
    """What a classifier says of one image.

    Attributes:
        image: The image as classified.
        probabilities: Of the nine classes, and of everything outside them as the tenth.
        native: Name of the best of the model's own classes.
        confidence: Its probability.
        prediction: The nine-class decision (arg-max, then mapped), or OUTSIDE.
    """

    image: UInt8[Tensor, "3 h w"]
    probabilities: Float[np.ndarray, "10"]
    native: str
    confidence: float
    prediction: int


def ask(classifier: Classifier, image: UInt8[Tensor, "3 h w"]) -> Answer:
    """Ask a classifier about one image."""
    logits = classifier(image.unsqueeze(0)).cpu().numpy().astype(np.float64)
    best = int(logits[0].argmax())
    shares = np.exp(logits[0] - logits[0].max())
    shares /= shares.sum()
    if classifier.spec.space == "in9":
        return Answer(image, np.append(shares, 0.0), classifier.classes[best], float(shares[best]), best)
    decided = int(to_in9(np.array([best]))[0])
    return Answer(image, in9_probabilities(logits)[0], classifier.classes[best], float(shares[best]), decided)
