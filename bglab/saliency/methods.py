"""Saliency maps: which parts of an image a classifier's score depends on.

Maps are raw: non-negative, not normalised, at the resolution of the method. `resolve_targets` chooses the class that a
map explains, `bglab.saliency.table` measures how much of a map lies on the object, and `bglab.figures` draws maps.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from bglab.catalogue import Catalogue
from bglab.errors import BadInput
from bglab.models import (
    Classifier,
    ClassifierLike,
    Engine,
    Pace,
    as_classifier,
    as_differentiable,
    float32_arithmetic,
    upload,
)
from bglab.saliency.activation_maps import GradCam, grad_cam_map, grad_cam_plus_plus_map
from bglab.saliency.target_layers import CamLayer, Combine
from bglab.saliency.targets import ClassChoice, mark_classes
from bglab.seeding import keyed_generator

__all__ = [
    "METHODS",
    "SmoothGradResult",
    "saliency_maps",
    "smooth_grad",
    "upsample",
]

_LOG = logging.getLogger(__name__)

# SmoothGrad, Smilkov et al. 2017, section 4: noise of 10 to 20 % of the range
SMOOTH_NOISE = 0.15 * 255
#: Largest relative sampling error of a SmoothGrad map that `SMOOTH_SAMPLES` are meant to leave, see `SmoothGradResult`.
SMOOTH_ERROR = 0.5
#: Default number of samples. EfficientNet-Lite0 and 1 have relative errors of 0.42 to 0.48 with it on photographs. The
#: paper's few dozen leave 0.65 to 0.7: two such maps of one image, with other noise, correlate by less than 0.6.
SMOOTH_SAMPLES = 100
# the window's side is an eighth of the image's, its stride half a window
OCCLUSION_PARTS = 8
GREY = 128.0


class SmoothGradResult(NamedTuple):
    """SmoothGrad maps with their sampling error.

    Attributes:
        maps: Absolute mean gradient over the samples, the largest of the three channels.
        errors: Monte Carlo standard error of each pixel of ``maps``: the standard deviation of the gradient over the
            samples in that channel, divided by the square root of their number.
        relative_errors: Euclidean norm of each image's errors, divided by that of its map. It falls as the number of
            samples grows; a map of nothing but noise has 0.7 to 1. NaN for a map that is 0 everywhere.
    """

    maps: Float[Tensor, "n h w"]
    errors: Float[Tensor, "n h w"]
    relative_errors: Float[Tensor, " n"]


def saliency_maps(
    classifier: ClassifierLike,
    images: UInt8[Tensor, "n 3 h w"],
    targets: ClassChoice | None = None,
    *,
    against: ClassChoice | None = None,
    method: str = "grad_cam",
    layer: str | CamLayer | None = None,
    seed: int = 0,
) -> Float[Tensor, "n mh mw"]:
    """Compute raw saliency maps; to explain many batches with Grad-CAM, set up a `GradCam` once instead.

    Args:
        classifier: Classifier whose predictions are explained, or what stands for one.
        images: RGB images in [0, 255].
        targets: Class to explain in each image; None explains the predicted one.
        against: Class whose logit is subtracted.
        method: Name of a method in `METHODS`.
        layer: Target layer of the class activation maps; None stands for `find_layer`. Other methods ignore it.
        seed: Seed of the noise of ``smooth_grad``.

    Returns:
        Non-negative maps: class activation maps at the layer's resolution, all others at that of the images.

    Raises:
        UnknownName: If there is no such method or layer.
        BadInput: If a class activation map is requested and no layer has a usable spatial output, or gradients of a
            function.
    """
    explain = METHODS[method]
    return explain(_Question(as_classifier(classifier), images, targets, against, layer, seed))


def upsample(maps: Float[Tensor, "n mh mw"], height: int, width: int) -> Float[Tensor, "n h w"]:
    """Resize maps bilinearly to a size in pixels, without rescaling their values.

    Example:
        >>> upsample(torch.tensor([[[0.0, 4.0]]]), 1, 4).tolist()
        [[[0.0, 1.0, 3.0, 4.0]]]
    """
    return torch.nn.functional.interpolate(maps[:, None], (height, width), mode="bilinear", align_corners=False)[:, 0]


@dataclass(frozen=True, eq=False)
class _Question:
    """One call of `saliency_maps`."""

    classifier: Classifier
    images: UInt8[Tensor, "n 3 h w"]
    targets: ClassChoice | None
    against: ClassChoice | None
    layer: str | CamLayer | None
    seed: int

    def levels(self) -> Float[Tensor, "n 3 h w"]:
        """Return the images as floats in [0, 255] on the engine's device, so that gradients are per grey level."""
        return upload(self.images, self.classifier.engine.device).float()

    def score_of(self) -> Callable[[Float[Tensor, "n c"]], Float[Tensor, " n"]]:
        """Fix the classes by the unperturbed images, and return the function that computes their score from logits."""
        logits = self.classifier(self.images)
        count, classes = logits.shape
        wanted = upload(mark_classes(self.targets, count, classes, missing=True), logits.device)
        chosen = logits.masked_fill(~wanted, -math.inf).argmax(1, keepdim=True)
        if self.against is None:
            return lambda perturbed: perturbed.gather(1, chosen)[:, 0]
        unwanted = upload(mark_classes(self.against, count, classes, missing=False), logits.device)
        other = logits.masked_fill(~unwanted, -math.inf).argmax(1, keepdim=True)
        return lambda perturbed: (perturbed.gather(1, chosen) - perturbed.gather(1, other))[:, 0]


def _grad_cam(question: _Question) -> Float[Tensor, "n mh mw"]:
    return _activation_maps(question, grad_cam_map)


def _grad_cam_plus_plus(question: _Question) -> Float[Tensor, "n mh mw"]:
    return _activation_maps(question, grad_cam_plus_plus_map)


def _activation_maps(question: _Question, combine: Combine) -> Float[Tensor, "n mh mw"]:
    explainer = GradCam(question.classifier, question.layer, combine=combine)
    return explainer.cam(question.images, question.targets, against=question.against).maps


def _input_gradient(question: _Question) -> Float[Tensor, "n h w"]:
    """Take the largest of the three channels' absolute gradients (Simonyan et al. 2014, section 3.1)."""
    from captum.attr import Saliency

    network, score = as_differentiable(question.classifier).network, question.score_of()
    explainer = Saliency(lambda levels: score(network(levels)))
    with torch.inference_mode(mode=False), torch.enable_grad(), _gradients(question.classifier.engine):
        return explainer.attribute(question.levels().requires_grad_()).amax(1)


def smooth_grad(
    classifier: ClassifierLike,
    images: UInt8[Tensor, "n 3 h w"],
    targets: ClassChoice | None = None,
    *,
    against: ClassChoice | None = None,
    samples: int = SMOOTH_SAMPLES,
    seed: int = 0,
) -> SmoothGradResult:
    """Average the gradients at noisy copies, then take the largest absolute one of the channels (Smilkov et al. 2017).

    Each image has its own noise, keyed by its pixels. captum draws one stream of noise for the whole batch, so its maps
    depend on the other images of the batch.

    Args:
        classifier: Classifier whose predictions are explained, or what stands for one.
        images: RGB images in [0, 255].
        targets: Class to explain in each image; None explains the predicted one.
        against: Class whose logit is subtracted.
        samples: Number of noisy copies, at least 2, each of which costs a forward and a backward pass.
        seed: Seed of the noise.

    Returns:
        Maps at the resolution of the images, with their sampling errors.

    Raises:
        BadInput: If there are fewer than two samples, or the classifier calls a function.
    """
    if samples < 2:
        raise BadInput(f"expected at least 2 samples, whose spread gives the sampling error, got {samples}")
    classifier = as_differentiable(classifier)
    question = _Question(classifier, images, targets, against, None, seed)
    score = question.score_of()
    digests = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images.cpu()]
    generators = [keyed_generator(seed, "smooth_grad", digest) for digest in digests]
    levels = question.levels()
    mean, squares = torch.zeros_like(levels), torch.zeros_like(levels)
    pace = Pace(levels.device)
    with torch.inference_mode(mode=False), torch.enable_grad(), _gradients(classifier.engine):
        for count in range(1, samples + 1):
            pace.step()  # the noise is drawn while the GPU works on the copy before
            drawn = [torch.from_numpy(g.standard_normal(levels.shape[1:], dtype="float32")) for g in generators]
            noisy = (levels + SMOOTH_NOISE * upload(torch.stack(drawn), levels.device)).requires_grad_()
            (gradient,) = torch.autograd.grad(score(classifier.network(noisy)).sum(), noisy)
            # Welford's update, since the difference of sums loses the digits of small variances
            change = gradient - mean
            mean += change / count
            squares += change * (gradient - mean)
    maps, channels = mean.abs().max(1, keepdim=True)
    errors = (squares / (samples - 1) / samples).sqrt().gather(1, channels)[:, 0]
    maps = maps[:, 0]
    return SmoothGradResult(maps, errors, errors.flatten(1).norm(dim=1) / maps.flatten(1).norm(dim=1))


def _smooth_grad(question: _Question) -> Float[Tensor, "n h w"]:
    """Compute SmoothGrad with the default number of samples, and warn of maps that are noisier than stated."""
    classifier, images, targets = question.classifier, question.images, question.targets
    result = smooth_grad(
        classifier, images, targets, against=question.against, samples=SMOOTH_SAMPLES, seed=question.seed
    )
    worst = float(result.relative_errors.nan_to_num(0.0).max())
    if worst > SMOOTH_ERROR:
        _LOG.warning(
            "SmoothGrad maps of %s have a sampling error of up to %.0f %% (at most %.0f %% is expected of %d samples); "
            "take more with bglab.saliency.smooth_grad(…, samples=…)",
            classifier.spec.name, 100 * worst, 100 * SMOOTH_ERROR, SMOOTH_SAMPLES,
        )  # fmt: skip
    return result.maps


def _occlusion(question: _Question) -> Float[Tensor, "n h w"]:
    """Average the drop of the score over all positions of a grey window that cover a pixel, clipped at 0.

    Zeiler and Fergus 2014, section 4.2.
    """
    from captum.attr import Occlusion

    score = question.score_of()
    explainer = Occlusion(lambda levels: score(question.classifier(levels.to(torch.uint8))))
    height, width = (max(2, side // OCCLUSION_PARTS) for side in question.images.shape[-2:])
    falls = explainer.attribute(
        question.levels(),
        sliding_window_shapes=(3, height, width),
        strides=(3, height // 2, width // 2),
        baselines=GREY,
    )
    return falls.mean(1).relu()


#: All saliency methods by name.
METHODS: Catalogue[Callable[[_Question], Tensor]] = Catalogue(
    "saliency method",
    {
        "grad_cam": _grad_cam,
        "grad_cam_plus_plus": _grad_cam_plus_plus,
        "input_gradient": _input_gradient,
        "smooth_grad": _smooth_grad,
        "occlusion": _occlusion,
    },
)


def _gradients(engine: Engine) -> AbstractContextManager[object]:
    """Return the context for gradients at the image, which are computed in float32 whatever the mixed precision."""
    return float32_arithmetic(engine.device, engine.precision, deterministic=engine.deterministic)
