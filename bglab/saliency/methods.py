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
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bglab.catalogue import Catalogue
from bglab.errors import BadInput
from bglab.models import (
    MANY,
    Classifier,
    ClassifierLike,
    Compiled,
    Engine,
    OpenVINOEngine,
    arithmetic,
    as_classifier,
    as_differentiable,
    float32_arithmetic,
    noise_images,
    write_out,
)
from bglab.saliency.target_layers import (
    CamLayer,
    CamOutput,
    Combine,
    TappedNetwork,
    find_layer,
    head_weight,
    locate_layer,
    signed_map,
)
from bglab.saliency.targets import ClassChoice, TargetRule, Targets, mark_classes, resolve_targets
from bglab.seeding import keyed_generator

__all__ = [
    "METHODS",
    "CamResult",
    "GradCam",
    "SmoothGradResult",
    "TargetRule",
    "Targets",
    "resolve_targets",
    "saliency_maps",
    "smooth_grad",
    "upsample",
]

_LOG = logging.getLogger(__name__)

# part of the name under which an engine caches a conversion: increase it when the computation changes
_GRAPH_VERSION = 2

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


class CamResult(NamedTuple):
    """Class activation maps with the logits of the same forward pass.

    Attributes:
        maps: Raw, non-negative maps at the layer's resolution.
        logits: Logits of all the model's classes.
        targets: Index of the class explained in each image.
    """

    maps: Float[Tensor, "n mh mw"]
    logits: Float[Tensor, "n c"]
    targets: Int[Tensor, " n"]


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


def grad_cam_map(features: Float[Tensor, "n k mh mw"], gradient: Float[Tensor, "n k #mh #mw"]) -> Tensor:
    """Compute Grad-CAM: the ReLU of the sum of channels, each weighted by its gradient averaged over positions.

    Selvaraju et al. 2017, equations 1 and 2.

    Args:
        features: Feature map of a layer.
        gradient: Gradient of the explained score with respect to it; broadcast over positions if constant there.

    Returns:
        Non-negative maps, n mh mw.

    Example:
        >>> features = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])
        >>> grad_cam_map(features, torch.tensor([[[[1.0, 3.0]], [[-1.0, -1.0]]]])).tolist()
        [[[0.0, 4.0]]]
    """
    return signed_map(features, gradient).relu()


def grad_cam_plus_plus_map(features: Float[Tensor, "n k mh mw"], gradient: Float[Tensor, "n k #mh #mw"]) -> Tensor:
    """Compute Grad-CAM++: as Grad-CAM, with channel weights that sum the positive gradients, weighted by position.

    Chattopadhay et al. 2018, equations 5 and 19. The paper's score is the exponential of the logit; the constant factor
    that the exponential contributes only scales the map and is omitted, as in the authors' code.

    Args:
        features: Feature map of a layer.
        gradient: Gradient of the explained score with respect to it; broadcast over positions if constant there.

    Returns:
        Non-negative maps, n mh mw.
    """
    gradient = gradient.expand_as(features)
    squares, cubes = gradient**2, gradient**3
    share = 2 * squares + features.sum((2, 3), keepdim=True) * cubes
    alpha = torch.where(gradient != 0, squares / torch.where(share != 0, share, torch.ones_like(share)), 0.0)
    return ((alpha * gradient.relu()).sum((2, 3), keepdim=True) * features).sum(1).relu()


class GradCam:
    """Class activation maps of a classifier, set up once for any number of batches.

    Logits and map come from one forward pass on the classifier's engine. If only average pooling and a linear layer
    follow the target layer, the gradient is given by the linear layer's weight. Otherwise the backward pass down to the
    target layer is part of the engine's graph (OpenVINO) or computed by autograd (torch).

    Args:
        classifier: Classifier whose network has a layer with a spatial output, or what stands for one.
        layer: Target layer, or its name as in ``network.named_modules()``; None stands for `find_layer`.
        combine: Function that turns feature map and gradient into a map.

    Raises:
        BadInput: If no layer has a usable spatial output; the message gives the reason.
        UnknownName: If there is no layer of that name.
    """

    def __init__(
        self, classifier: ClassifierLike, layer: str | CamLayer | None = None, *, combine: Combine = grad_cam_map
    ) -> None:
        classifier = as_differentiable(classifier)
        network, size = classifier.network.network, classifier.spec.input_size
        with float32_arithmetic(classifier.engine.device, "float32"):  # the head is recognised by equal logits
            if layer is None:
                layer = find_layer(network, size)
            self.layer = locate_layer(network, layer, size) if isinstance(layer, str) else layer
            weight = head_weight(network, self.layer, size)
        self._engine, self._classes = classifier.engine, len(classifier.classes)
        self._tapped = TappedNetwork(classifier.network, self.layer, combine, weight)
        self._started: dict[tuple[int, int], Callable[..., tuple[Tensor, ...]]] = {}
        self._compiled: dict[tuple[int, int], Compiled] = {}

    def get_ready(self, height: int, width: int, count: int = 1) -> None:
        """Set up the computation for images of this size in pixels, so that one-time work is not timed.

        Args:
            height: Height of the images in pixels.
            width: Width of the images in pixels.
            count: Number of images to expect, as for `Engine.get_ready`.
        """
        self._runner(height, width)
        compiled = self._compiled.get((height, width))
        if compiled is not None and count >= MANY:
            images = noise_images(height, width)
            wanted, unwanted = (mark_classes(None, len(images), self._classes, missing=m) for m in (True, False))
            compiled.choose_setting([tensor.numpy() for tensor in (images, wanted, unwanted)])

    def cam(
        self,
        images: UInt8[Tensor, "n 3 h w"],
        targets: ClassChoice | None = None,
        *,
        against: ClassChoice | None = None,
    ) -> CamResult:
        """Explain a batch.

        Args:
            images: RGB images in [0, 255].
            targets: Class to explain in each image; None explains the predicted one.
            against: Class whose logit is subtracted, to explain why the target rather than this class.
        """
        count = len(images)
        wanted = mark_classes(targets, count, self._classes, missing=True)
        unwanted = mark_classes(against, count, self._classes, missing=False)
        logits, chosen, maps = self._runner(*images.shape[-2:])(images, wanted, unwanted)
        return CamResult(maps, logits, chosen)

    def _runner(self, height: int, width: int) -> Callable[..., tuple[Tensor, ...]]:
        if (height, width) not in self._started:
            self._started[height, width] = self._start(height, width)
        return self._started[height, width]

    def _start(self, height: int, width: int) -> Callable[..., tuple[Tensor, ...]]:
        if not isinstance(self._engine, OpenVINOEngine):
            return self._by_torch
        marks = torch.ones(2, self._classes, dtype=torch.bool)
        examples = (torch.zeros(2, 3, height, width, dtype=torch.uint8), marks, marks)
        linear = self._tapped.weight is not None
        name = f"{_GRAPH_VERSION} {self._tapped.combine.__name__} {self.layer} {linear}"
        try:
            compiled = self._engine.start_another(
                lambda: self._tapped if linear else write_out(self._tapped, examples), examples, name
            )
        except Exception as problem:  # noqa: BLE001 - tracers and converters raise many kinds
            reason = str(problem).strip().splitlines()[-1][:160]
            cause = "since OpenVINO cannot compute them"
            _LOG.warning("maps of %s are computed by torch, %s: %s", self.layer.name, cause, reason)
            return self._by_torch
        self._compiled[height, width] = compiled
        return lambda *inputs: tuple(map(torch.from_numpy, compiled.begin([each.cpu().numpy() for each in inputs])()))

    def _by_torch(self, images: Tensor, wanted: Tensor, unwanted: Tensor) -> CamOutput:
        device = self._engine.device
        batch = images.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(mode=False), arithmetic(device, self._engine.precision):
            return self._tapped(batch, wanted.to(device), unwanted.to(device))


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
        return self.images.to(self.classifier.engine.device).float()

    def score_of(self) -> Callable[[Float[Tensor, "n c"]], Float[Tensor, " n"]]:
        """Fix the classes by the unperturbed images, and return the function that computes their score from logits."""
        logits = self.classifier(self.images)
        count, classes = logits.shape
        wanted = mark_classes(self.targets, count, classes, missing=True).to(logits.device)
        chosen = logits.masked_fill(~wanted, -math.inf).argmax(1, keepdim=True)
        if self.against is None:
            return lambda perturbed: perturbed.gather(1, chosen)[:, 0]
        unwanted = mark_classes(self.against, count, classes, missing=False).to(logits.device)
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
    digests = [hashlib.sha256(image.cpu().numpy().tobytes()).hexdigest() for image in images]
    generators = [keyed_generator(seed, "smooth_grad", digest) for digest in digests]
    levels = question.levels()
    mean, squares = torch.zeros_like(levels), torch.zeros_like(levels)
    with torch.inference_mode(mode=False), torch.enable_grad(), _gradients(classifier.engine):
        for count in range(1, samples + 1):
            drawn = [torch.from_numpy(g.standard_normal(levels.shape[1:], dtype="float32")) for g in generators]
            noisy = (levels + SMOOTH_NOISE * torch.stack(drawn).to(levels.device)).requires_grad_()
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
    return float32_arithmetic(engine.device, engine.precision)
