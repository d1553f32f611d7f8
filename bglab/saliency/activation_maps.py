"""Class activation maps: Grad-CAM and Grad-CAM++ on a classifier's engine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bglab.models import (
    MANY,
    ClassifierLike,
    Compiled,
    OpenVINOEngine,
    arithmetic,
    as_differentiable,
    float32_arithmetic,
    noise_images,
    upload,
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
from bglab.saliency.targets import ClassChoice, mark_classes

_LOG = logging.getLogger(__name__)

# part of the name under which an engine caches a conversion: increase it when the computation changes
_GRAPH_VERSION = 2


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
        self._compiled: dict[tuple[int, int], Compiled | None] = {}  # None where torch computes the maps

    def get_ready(self, height: int, width: int, count: int = 1) -> None:
        """Set up the computation for images of this size in pixels, so that one-time work is not timed.

        Args:
            height: Height of the images in pixels.
            width: Width of the images in pixels.
            count: Number of images to expect, as for `Engine.get_ready`.
        """
        compiled = self._graph(height, width)
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
        return self.begin(images, targets, against=against)()

    def begin(
        self,
        images: UInt8[Tensor, "n 3 h w"],
        targets: ClassChoice | None = None,
        *,
        against: ClassChoice | None = None,
    ) -> Callable[[], CamResult]:
        """Begin to explain a batch, and return a function that waits for the maps; otherwise as `cam`.

        The engine is busy all the time if the next batch begins before the maps of this one are waited for.

        Args:
            images: RGB images in [0, 255], which must not be changed before the maps are there.
            targets: Class to explain in each image.
            against: Class whose logit is subtracted.
        """
        count = len(images)
        wanted = mark_classes(targets, count, self._classes, missing=True)
        unwanted = mark_classes(against, count, self._classes, missing=False)
        compiled = self._graph(*images.shape[-2:])
        if compiled is None:
            logits, chosen, maps = self._by_torch(images, wanted, unwanted)
            result = CamResult(maps, logits, chosen)
            return lambda: result
        waiting = compiled.begin([tensor.cpu().numpy() for tensor in (images, wanted, unwanted)])

        def wait() -> CamResult:
            logits, chosen, maps = map(torch.from_numpy, waiting())
            return CamResult(maps, logits, chosen)

        return wait

    def _graph(self, height: int, width: int) -> Compiled | None:
        """Return the engine's graph for images of this size; None if torch computes the maps."""
        if (height, width) not in self._compiled:
            self._compiled[height, width] = self._start(height, width)
        return self._compiled[height, width]

    def _start(self, height: int, width: int) -> Compiled | None:
        if not isinstance(self._engine, OpenVINOEngine):
            return None
        marks = torch.ones(2, self._classes, dtype=torch.bool)
        examples = (torch.zeros(2, 3, height, width, dtype=torch.uint8), marks, marks)
        linear = self._tapped.weight is not None
        name = f"{_GRAPH_VERSION} {self._tapped.combine.__name__} {self.layer} {linear}"
        try:
            return self._engine.start_another(
                lambda: self._tapped if linear else write_out(self._tapped, examples), examples, name
            )
        except Exception as problem:  # noqa: BLE001 - tracers and converters raise many kinds
            reason = str(problem).strip().splitlines()[-1][:160]
            cause = "since OpenVINO cannot compute them"
            _LOG.warning("maps of %s are computed by torch, %s: %s", self.layer.name, cause, reason)
            return None

    def _by_torch(self, images: Tensor, wanted: Tensor, unwanted: Tensor) -> CamOutput:
        device = self._engine.device
        batch = upload(images, device).contiguous(memory_format=torch.channels_last)
        precisely = arithmetic(device, self._engine.precision, deterministic=self._engine.deterministic)
        with torch.inference_mode(mode=False), precisely:
            return self._tapped(batch, upload(wanted, device), upload(unwanted, device))
