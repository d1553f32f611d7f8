"""The classes in which a session shows predictions: the nine of ImageNet-9, or those of its scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bglab.errors import BadInput
from bglab.labels import IN9_NAMES, NAMED_SPACES, OUTSIDE, to_in9
from bglab.models import Classifier, match_classes
from bglab.scenes import SceneSet

#: Most classes that get a row each; of more, as many are shown, and a last row sums all others.
MOST_ROWS = 9


class ClassRow(NamedTuple):
    """Probability of one class, now and in the photograph.

    Attributes:
        label: Its label, or OUTSIDE for the row of all other classes.
        name: Its name.
        now: Probability in the image, in [0, 1].
        before: Probability in the photograph, in [0, 1].
    """

    label: int
    name: str
    now: float
    before: float


@dataclass(frozen=True)
class DisplaySpace:
    """Classes in which predictions are shown and compared with labels.

    Attributes:
        space: Label space.
        names: Class names in the order of the labels.
        title: The classes in words, for messages.
    """

    space: str
    names: tuple[str, ...]
    title: str

    @property
    def is_nine(self) -> bool:
        """Whether these are the nine classes of ImageNet-9, to which ImageNet's map."""
        return self.space == "in9"

    @property
    def rest(self) -> str:
        """Name of everything outside the classes that are shown."""
        return "outside" if self.is_nine else "other"

    def name(self, label: int) -> str:
        """Return the name of a class, or ``unknown class`` for OUTSIDE."""
        return "unknown class" if label == OUTSIDE else self.names[label]

    def predicted_name(self, prediction: int) -> str:
        """Return the name of a predicted class; OUTSIDE is the name of all others."""
        return self.rest if prediction == OUTSIDE else self.names[prediction]

    def match(self, classifier: Classifier) -> Classifier:
        """Return a classifier that predicts these classes in their order, or the classifier itself if it cannot."""
        try:
            return match_classes(classifier, self.space, self.names, self.title)
        except BadInput:
            return classifier

    def is_predicted_by(self, classifier: Classifier) -> bool:
        """Return whether a classifier that `match` returned predicts these classes, or ones that map to them."""
        own = classifier.spec.space
        if own in NAMED_SPACES:
            return own == self.space or self.is_nine
        return own == self.space and classifier.classes == self.names

    def labels(self, scenes: SceneSet) -> Int[np.ndarray, " n"]:
        """Return the label of every scene among these classes, or OUTSIDE if it is unknown or none of them."""
        if scenes.space == self.space:
            return scenes.labels
        if scenes.space == "imagenet" and self.is_nine:
            return to_in9(np.array([record.native_label for record in scenes.records])).astype(np.int64)
        return np.full(len(scenes), OUTSIDE, dtype=np.int64)

    def rows(
        self, now: Float[np.ndarray, " k"], before: Float[np.ndarray, " k"], truth: int, donor: int
    ) -> list[ClassRow]:
        """Choose the classes that get a row.

        Up to nine classes are shown in the order of their labels. Of more, the true class, the background's and the
        most probable ones in the photograph are shown, in the order of their probability there. Nothing of that
        changes while an object is moved, so that rows keep their places; what the classifier predicts instead is in
        the list of its most probable classes.

        Args:
            now: Probabilities in the image, in [0, 1]: one per class, and last that of all others.
            before: Probabilities in the photograph, likewise.
            truth: True label, or OUTSIDE.
            donor: Label of the scene that lends the background, or OUTSIDE.
        """
        count = len(self.names)
        labels = list(range(count))
        if count > MOST_ROWS:
            likely = np.argsort(-before[:count], kind="stable").tolist()
            first = [label for label in (truth, donor) if label != OUTSIDE]
            chosen = set(list(dict.fromkeys([*first, *likely]))[:MOST_ROWS])
            labels = [label for label in likely if label in chosen]
        rows = [ClassRow(label, self.names[label], float(now[label]), float(before[label])) for label in labels]
        if self.is_nine or len(labels) < count:
            others = (float(np.delete(values, labels).sum()) for values in (now, before))
            rows.append(ClassRow(OUTSIDE, self.rest, *others))
        return rows


#: The nine classes of ImageNet-9.
NINE = DisplaySpace("in9", IN9_NAMES, "the nine classes")


def choose_display(
    scenes: SceneSet, classifiers: Sequence[Classifier], *, mapped: bool = True
) -> tuple[DisplaySpace, tuple[Classifier, ...]]:
    """Choose the classes in which predictions for a set are shown.

    They are the nine of ImageNet-9 if the scenes' labels are of them or map to them. Otherwise they are the scenes' own
    if one of the classifiers predicts them; if none does, the nine again, in which no scene has a label.

    Args:
        scenes: Scenes to show.
        classifiers: Classifiers to show.
        mapped: Whether labels of ImageNet's classes are mapped to the nine.

    Returns:
        The classes, and the classifiers with their outputs in the order of these where they predict them.
    """
    if scenes.space != "in9" and not (scenes.space == "imagenet" and mapped):
        own = DisplaySpace(scenes.space, scenes.classes, f"the classes of {scenes.name}")
        matched = tuple(own.match(classifier) for classifier in classifiers)
        if any(own.is_predicted_by(classifier) for classifier in matched):
            return own, matched
    return NINE, tuple(NINE.match(classifier) for classifier in classifiers)
