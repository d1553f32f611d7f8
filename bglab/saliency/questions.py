"""Questions to a classifier: which class of an image a saliency method explains, and the maps of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bglab.errors import BadInput
from bglab.labels import OUTSIDE
from bglab.models import Batching, Classifier, copied_back, upload
from bglab.saliency.activation_maps import CamResult, GradCam, grad_cam_map, grad_cam_plus_plus_map
from bglab.saliency.methods import METHODS, saliency_maps, upsample
from bglab.saliency.targets import TargetRule, Targets, mark_classes, resolve_targets
from bglab.scenes import PreparedScenes
from bglab.variants import Dataset, DatasetRow

#: Class activation maps, which are set up once for all batches.
_ACTIVATION_MAPS = {"grad_cam": grad_cam_map, "grad_cam_plus_plus": grad_cam_plus_plus_map}

Target = TargetRule | tuple[TargetRule, TargetRule]


class Answer(NamedTuple):
    """Saliency maps of a batch, resized to its images, with logits and explained classes, on the CPU."""

    maps: Float[Tensor, "n s s"]
    logits: Float[Tensor, "n c"]
    targets: Int[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class Question:
    """A classifier, a saliency method, and the rule for the class to explain; `ask` makes one."""

    classifier: Classifier
    method: str
    target: Target
    seed: int
    cam: GradCam | None

    def __reduce__(self) -> tuple[Callable[..., Question], tuple[Any, ...]]:
        """Pickle for a worker, which sets up the maps itself."""
        return ask, (self.classifier, self.method, self.target, self.seed)

    @property
    def rule(self) -> str:
        """The rule as text: ``predicted``, or ``true against background``."""
        return " against ".join(map(str, self.target)) if isinstance(self.target, tuple) else str(self.target)

    @property
    def name(self) -> str:
        """Name of method and rule in the names of files."""
        return f"{self.method}-{self.rule}"

    @property
    def layer(self) -> str:
        """Name of the layer of class activation maps; "" for other methods."""
        return "" if self.cam is None else self.cam.layer.name


def ask(classifier: Classifier, method: str, target: Target, seed: int) -> Question:
    """Set up a question.

    Args:
        classifier: From `load_classifier`.
        method: Name of a method in `METHODS`.
        target: Class to explain, as in `bglab.saliency.saliency_table`.
        seed: Seed of methods that add noise.

    Raises:
        UnknownName: If there is no such method.
        BadInput: If no layer of the classifier can be explained.
    """
    METHODS[method]  # raises on an unknown method before anything is computed
    return Question(classifier, method, target, seed, _cam(classifier, method))


@functools.lru_cache(maxsize=2)
def _cam(classifier: Classifier, method: str) -> GradCam | None:
    """Find the layer and set up its maps, which takes seconds; cached for the data sets that follow."""
    combine = _ACTIVATION_MAPS.get(method)
    return None if combine is None else GradCam(classifier, combine=combine)


def classes_to_explain(
    question: Question, dataset: Dataset, rows: Sequence[DatasetRow], prepared: PreparedScenes | None
) -> Targets:
    """Choose the class to explain in each image; at full resolution there are no donors.

    Raises:
        BadInput: If the target is the donor's class, and an image has no donor of known class.
    """
    labels = np.array([row.label for row in rows], dtype=np.int64)
    records, places = (prepared.scenes.records, prepared.scenes.positions) if prepared else ((), {})
    donors = [records[places[row.donor]].label if row.donor in places else OUTSIDE for row in rows]
    if "background" in (question.target if isinstance(question.target, tuple) else (question.target,)):
        unknown = [row.scene for row, donor in zip(rows, donors, strict=True) if donor == OUTSIDE]
        if unknown:
            raise BadInput(
                f"expected a donor of known class for every image of {dataset.variant.name} to explain the "
                f"background's class, but {unknown[0]} has none; choose a mixed variant or another target"
            )
    return resolve_targets(
        question.classifier,
        question.target,
        labels=labels,
        donor_labels=np.array(donors, dtype=np.int64),
        count=len(rows),
        space=dataset.space,
    )


def begin_batch(
    question: Question, images: UInt8[Tensor, "n 3 s s"], classes: Targets, batching: Batching
) -> Callable[[], Answer]:
    """Begin to explain a batch, part by part if it does not fit on the device, and return a function that waits for it.

    Class activation maps are computed meanwhile, if the next batch begins before this one is waited for; other methods
    need several passes, and are done at once.

    Args:
        question: From `ask`.
        images: RGB images in [0, 255].
        classes: From `classes_to_explain`.
        batching: Images per forward pass; its size is halved when the device runs out of memory.

    Raises:
        BadInput: If a single image does not fit.
    """
    begun: list[Callable[[], Answer]] = []
    position = 0
    while position < len(images):
        part = slice(position, position + batching.size)
        chosen = Targets(*(choice if choice is None else choice[part] for choice in classes))
        try:
            begun.append(_begin_part(question, images[part], chosen))
        except torch.cuda.OutOfMemoryError:
            batching.halve(question.classifier)
        else:
            position += len(images[part])
    return lambda: _joined([waiting() for waiting in begun])


def _joined(parts: Sequence[Answer]) -> Answer:
    return parts[0] if len(parts) == 1 else Answer(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _begin_part(question: Question, images: UInt8[Tensor, "n 3 s s"], classes: Targets) -> Callable[[], Answer]:
    if question.cam is not None:
        begun = question.cam.begin(images, classes.targets, against=classes.against)
    else:
        done = _explain(question, images, classes)
        begun = lambda: done  # noqa: E731 - stands for what another method begins
    size = images.shape[-1]

    @functools.cache
    def resized() -> Answer:
        maps, logits, targets = begun()
        return Answer(upsample(maps, size, size).float(), logits, targets)

    device = question.classifier.engine.device
    fields = [copied_back(lambda i=i: resized()[i], device) for i in range(len(Answer._fields))]
    return lambda: Answer(*(field() for field in fields))


def _explain(question: Question, images: UInt8[Tensor, "n 3 s s"], classes: Targets) -> CamResult:
    """Explain images by a method that needs the classes first."""
    logits = question.classifier(images)
    marked = upload(mark_classes(classes.targets, *logits.shape, missing=True), logits.device)
    targets = logits.masked_fill(~marked, -torch.inf).argmax(dim=1)
    maps = saliency_maps(
        question.classifier, images, targets, against=classes.against, method=question.method, seed=question.seed
    )
    return CamResult(maps, logits, targets)
