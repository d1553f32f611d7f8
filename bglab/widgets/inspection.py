"""What classifiers predict for an explorer's state, and where they look: probabilities, correctness, Grad-CAM."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from bglab.analysis import share_on_object
from bglab.errors import BadInput
from bglab.labels import OUTSIDE, softmax
from bglab.models import Batching, Classification, Classifier, classify, differentiable, from_logits
from bglab.saliency import GradCam, resolve_targets, upsample
from bglab.widgets.collection import ImageCollection
from bglab.widgets.display_space import DisplaySpace
from bglab.widgets.rendering import Rendered, StateRenderer
from bglab.widgets.stages import one_thread
from bglab.widgets.state import State

_TOP = 5
#: Images per forward pass, where a device has the memory.
_BATCH = 32
#: Inspections of photographs that are cached; a long session must not grow without bound.
_CACHED_ORIGINALS = 256
#: Side in pixels of a map that is placed where the protocol's crop lies in the image.
_UNCROPPED = 56
#: Why a classifier that calls a function has no Grad-CAM.
_NO_GRADIENTS = "a function has no gradients; bglab.saliency_maps(…, method='occlusion') needs none"


@dataclass(frozen=True, eq=False)
class Prediction:
    """A classifier's prediction for one image.

    Attributes:
        probabilities: Softmax over the native classes.
        top: The five most probable native classes as (index, name, probability), most probable first.
        native: Index of the most probable native class.
        space: Label space in which it is compared with the labels, see `bglab.widgets.display_space`.
        by_class: Probabilities of the classes of that space, and last of everything outside them; None if the native
            classes do not map to them.
        prediction: Predicted class among them, or OUTSIDE.
        name: Its name; that of the native class if the native classes do not map to them.
        true_label: True class among them, or OUTSIDE.
        donor_label: Class of another scene that lends the background, or OUTSIDE.
    """

    probabilities: Float[np.ndarray, " c"]
    top: tuple[tuple[int, str, float], ...]
    native: int
    space: str
    by_class: Float[np.ndarray, " k"] | None
    prediction: int
    name: str
    true_label: int
    donor_label: int

    @property
    def nine(self) -> Float[np.ndarray, "10"] | None:
        """Probabilities of the nine classes and of everything outside them; None if other classes are shown."""
        return self.by_class if self.space == "in9" else None

    @property
    def correct(self) -> bool | None:
        """Whether the prediction is the true class; None if that is unknown, or the classifier predicts others."""
        return None if self.true_label == OUTSIDE or self.by_class is None else self.prediction == self.true_label

    @property
    def captured(self) -> bool:
        """Whether the prediction is the background's class instead of the true one."""
        return self.donor_label not in {OUTSIDE, self.true_label} and self.prediction == self.donor_label

    def probability_of(self, label: int) -> float:
        """Return the probability in [0, 1] of a class; NaN for OUTSIDE, or if the classifier predicts others."""
        return float("nan") if label == OUTSIDE or self.by_class is None else float(self.by_class[label])


class Saliency(NamedTuple):
    """Where a classifier looks in one image.

    Attributes:
        values: Raw Grad-CAM at the layer's resolution; None if the classifier has no map.
        share: Share of the map's sum on the object, in [0, 1]; NaN without a map or an object.
        why_missing: Why there is no map, or "".
    """

    values: Float[np.ndarray, "mh mw"] | None
    share: float
    why_missing: str


class Inspection(NamedTuple):
    """One classifier's prediction and saliency for one image.

    Attributes:
        model: Id of the weights.
        prediction: Probabilities, predicted class and its correctness.
        saliency: Map that explains the target class, and its share on the object.
    """

    model: str
    prediction: Prediction
    saliency: Saliency


class Inspector:
    """Classifies states and caches what does not change: Grad-CAM per classifier, results for the photographs.

    Args:
        images: Scenes and uploads that a state may name.
        renderer: Composes the states.
        classifiers: Classifiers to inspect.

    Attributes:
        forwards: Number of forward passes that `inspect` has made so far.
    """

    def __init__(self, images: ImageCollection, renderer: StateRenderer, classifiers: Sequence[Classifier]) -> None:
        self.classifiers: tuple[Classifier, ...] = tuple(classifiers)
        self.forwards = 0
        self._images = images
        self._renderer = renderer
        self._cams: dict[int, GradCam | str] = {}
        self._originals: dict[str, tuple[Inspection, ...]] = {}
        self._correctness: list[str] = []
        # a notebook cell and the widget's own thread may classify at the same time
        self._lock = threading.RLock()

    def inspect(self, state: State) -> tuple[Inspection, ...]:
        """Classify and explain what the state shows, once per classifier.

        Raises:
            BadInput: If the widget was replaced by another run of its cell.
        """
        return self.inspect_mixes(state, [state.mix])[0]

    def inspect_mixes(self, state: State, mixes: Sequence[float]) -> list[tuple[Inspection, ...]]:
        """Classify and explain a state at several mixes, as `inspect` does at its own, in batches.

        Args:
            state: All settings but the mix.
            mixes: Shares of the change that is shown, in [0, 1].

        Returns:
            For each mix, one inspection per classifier.

        Raises:
            BadInput: If the widget was replaced by another run of its cell.
        """
        if not self.classifiers:
            raise BadInput(
                "expected the widget that is shown below its cell, got one from an earlier run of the cell; "
                "use what the cell returns now"
            )
        rendered = [self._renderer.render(state.but({"mix": mix})) for mix in mixes]
        truth = self._images.label(state.scene)
        with self._lock:
            found = [self._inspect(i, rendered, state.target, truth) for i in range(len(self.classifiers))]
        return list(zip(*found, strict=True))

    def inspect_image(self, rendered: Rendered, scene: str, position: int) -> Inspection:
        """Classify and explain an image of a scene that was composed elsewhere, by the classifier at this position.

        Args:
            rendered: The image.
            scene: Id of the scene of its foreground.
            position: Position of the classifier.
        """
        with self._lock:
            return self._inspect(position, [rendered], "predicted", self._images.label(scene))[0]

    def inspect_original(self, scene: str) -> tuple[Inspection, ...]:
        """Classify and explain a photograph as it was taken, cached per scene."""
        if scene not in self._originals:
            if len(self._originals) > _CACHED_ORIGINALS:
                self._originals.clear()
            self._originals[scene] = self.inspect(State(scene))
        return self._originals[scene]

    def classify(self, images: UInt8[Tensor, "n 3 h w"], position: int) -> Classification:
        """Classify images in the classes of the display with the classifier at this position, without saliency."""
        classifier = self.classifiers[position]
        with self._lock:
            return classify(classifier, classifier.see(images), self._images.display.space)

    def is_comparable(self, position: int) -> bool:
        """Return whether the classifier at this position predicts the classes of the display."""
        return self._images.display.is_predicted_by(self.classifiers[position])

    def classify_next(self, count: int = 8) -> tuple[int, list[str]]:
        """Classify the next photographs of the set with the first classifier.

        Args:
            count: Number of photographs.

        Returns:
            How many are classified so far, and for each scene ``correct``, ``incorrect``, or ``""`` while that is
            unknown.
        """
        scenes, done = self._images.scenes, len(self._correctness)
        photographs = self._images.photographs(done, done + count)
        if len(photographs):
            predictions = self.classify(photographs, 0).predictions
            truths = [self._images.label(scene) for scene in scenes.ids[done : done + count]]
            self._correctness += [
                "" if truth == OUTSIDE else "correct" if prediction == truth else "incorrect"
                for prediction, truth in zip(predictions, truths, strict=True)
            ]
        return len(self._correctness), self._correctness + [""] * (len(scenes) - len(self._correctness))

    def forget(self, scene: str) -> None:
        """Drop what is cached of an image that has changed."""
        self._originals.pop(scene, None)

    def release(self) -> None:
        """Drop the classifiers and everything cached: they take most of the lab's memory."""
        with self._lock:
            self.classifiers = ()
            self._cams.clear()
            self._originals.clear()

    def _inspect(self, position: int, rendered: Sequence[Rendered], target: str, truth: int) -> list[Inspection]:
        """Classify one scene on one background at several mixes with one classifier, and explain the target class."""
        found: list[Inspection] = []
        batching = Batching(_BATCH)
        while len(found) < len(rendered):
            part = rendered[len(found) : len(found) + batching.size]
            try:
                found += self._inspect_batch(position, part, target, truth)
            except torch.cuda.OutOfMemoryError:
                batching.halve(self.classifiers[position])
        self.forwards += len(found)
        return found

    def _inspect_batch(self, position: int, rendered: Sequence[Rendered], target: str, truth: int) -> list[Inspection]:
        classifier, cam = self.classifiers[position], self._cam(position)
        display, donor_label = self._images.display, rendered[0].donor_label
        images, transform = torch.cat([each.image for each in rendered]), classifier.spec.prepared_transform
        images = classifier.see(images)
        if isinstance(cam, GradCam):
            labels = {"true": truth, "background": donor_label}
            maps, logits = _explain(classifier, cam, images, display, labels, target)
            if transform is not None:  # the map belongs to the crop, the canvas shows the whole image
                maps = transform.uncrop(maps.float(), _UNCROPPED)
            maps = maps.float().cpu()
            shares = self._shares(maps, rendered[0].region)  # the object is at one place whatever the mix
            saliency = [Saliency(*pair, "") for pair in zip(maps.numpy(), shares, strict=True)]
        else:
            logits = classifier(images)
            saliency = [Saliency(None, float("nan"), cam)] * len(rendered)
        scores = logits.double().cpu().numpy()
        return [
            Inspection(classifier.spec.id, _classify(classifier, row, display, truth, donor_label), explained)
            for row, explained in zip(scores, saliency, strict=True)
        ]

    def _shares(self, maps: Float[Tensor, "n mh mw"], region: Bool[Tensor, "1 h w"]) -> list[float]:
        """Compute the share of each map's sum on the object; NaN if the object is nowhere or everywhere."""
        if not bool(region.any()) or bool(region.all()):
            return [float("nan")] * len(maps)
        with one_thread():
            large = upsample(maps, self._images.size, self._images.size)
        return share_on_object(large.numpy(), region.expand(len(maps), -1, -1).numpy()).tolist()

    def _cam(self, position: int) -> GradCam | str:
        """Return a classifier's Grad-CAM, or the sentence that says why it has none."""
        if position not in self._cams:
            classifier = self.classifiers[position]
            try:
                self._cams[position] = GradCam(classifier) if differentiable(classifier.network) else _NO_GRADIENTS
            except BadInput as problem:
                self._cams[position] = str(problem)
        return self._cams[position]


def _explain(
    classifier: Classifier,
    cam: GradCam,
    images: UInt8[Tensor, "n 3 h w"],
    display: DisplaySpace,
    labels: Mapping[str, int],
    target: str,
) -> tuple[Float[Tensor, "n mh mw"], Float[Tensor, "n c"]]:
    """Compute maps and logits; a target class that is unknown is replaced by the predicted one."""
    targets = None
    if labels.get(target, OUTSIDE) != OUTSIDE and display.is_predicted_by(classifier):
        rule = cast(Literal["true", "background"], target)
        true, background = ([labels[name]] * len(images) for name in ("true", "background"))
        targets = resolve_targets(classifier, rule, labels=true, donor_labels=background, space=display.space).targets
    explained = cam.cam(images, targets)
    return explained.maps, explained.logits


def _classify(
    classifier: Classifier, logits: Float[np.ndarray, " c"], display: DisplaySpace, truth: int, donor_label: int
) -> Prediction:
    """Turn one image's logits into a prediction, with the true and the background's class to compare it with."""
    probabilities = softmax(logits)
    best = np.argsort(-probabilities, kind="stable")[:_TOP]
    native, by_class, prediction = int(logits.argmax()), None, OUTSIDE
    name = classifier.classes[best[0]]
    if display.is_predicted_by(classifier):
        found = from_logits(logits[None], classifier.spec.space, display.space)
        by_class, prediction = found.probabilities[0], int(found.predictions[0])
        name = display.predicted_name(prediction)
    return Prediction(
        probabilities=probabilities,
        top=tuple((int(i), classifier.classes[i], float(probabilities[i])) for i in best),
        native=native,
        space=display.space,
        by_class=by_class,
        prediction=prediction,
        name=name,
        true_label=truth,
        donor_label=donor_label,
    )
