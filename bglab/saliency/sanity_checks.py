"""Sanity checks of class activation maps: four properties that a map must have, tested on the classifier itself.

A map that does not change with the class, with the weights (Adebayo et al. 2018) or with the position of the object
does not explain the classifier's predictions.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from scipy.stats import rankdata
from torch import Tensor

from bglab.errors import BadInput
from bglab.models import Classifier, ClassifierLike, Normalised, as_differentiable
from bglab.saliency.target_layers import CamLayer, CamOutput, TappedNetwork, find_layer, locate_layer, signed_map
from bglab.saliency.targets import mark_classes
from bglab.seeding import keyed_generator, keyed_seed

# limits on rank correlations of maps over positions, averaged over images: 0 for unrelated maps, 1 for equal ones
_SAME = 0.99
_LEAST_SPREAD = 0.02
_MOST_AGREEMENT = 0.9
_LEAST_MOVE = 0.1
_REDRAWS = 3


class Check(NamedTuple):
    """Result of one check.

    Attributes:
        name: ``layer``, ``positions``, ``class``, ``weights`` or ``shift``.
        passed: Whether the map passed.
        sentence: The observation, with its number.
    """

    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class LayerReport:
    """Results of the sanity checks of a classifier's class activation maps.

    Attributes:
        model: Id of the classifier.
        layer: Target layer of the maps; None if the network has no suitable one.
        checks: Results in the order of the checks; after a failed first check there are no others.
    """

    model: str
    layer: CamLayer | None
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)

    def __str__(self) -> str:
        where = f"maps at {self.layer.name} ({self.layer.layout})" if self.layer else "no target layer"
        lines = [f"{self.model}, {where}: {'all checks passed' if self.passed else 'checks FAILED'}"]
        return "\n".join([*lines, *(f"  {'pass' if c.passed else 'FAIL'}  {c.sentence}" for c in self.checks)])


def examine_layer(
    classifier: ClassifierLike,
    layer: str | CamLayer | None = None,
    images: UInt8[Tensor, "n 3 h w"] | None = None,
    *,
    seed: int = 0,
) -> LayerReport:
    """Run the sanity checks on the Grad-CAM maps of a classifier.

    The maps are computed in torch and compared before their ReLU, so that classes without positive evidence count too.

    Args:
        classifier: Classifier to examine, or what stands for one.
        layer: Target layer, or its name; None stands for `find_layer`.
        images: RGB images in [0, 255] for the checks; None draws `textured_images`.
        seed: Seed of the test images and of the randomised weights.

    Returns:
        The results; a network without a suitable layer fails the check ``layer``.

    Raises:
        UnknownName: If the classifier has no layer of that name.
    """
    classifier = as_differentiable(classifier)
    network, size = classifier.network.network, classifier.spec.input_size
    try:
        if layer is None:
            layer = find_layer(network, size)
        elif isinstance(layer, str):
            layer = locate_layer(network, layer, size)
    except BadInput as problem:
        return LayerReport(classifier.spec.id, None, (Check("layer", passed=False, sentence=str(problem)),))
    if images is None:
        images = textured_images(4, size, seed)
    trial = _Trial(classifier, layer, images.to(classifier.engine.device), seed)
    checks = [trial.varies()]
    if checks[0].passed:
        checks += [trial.changes_with_class(), trial.changes_with_weights(), trial.moves()]
    return LayerReport(classifier.spec.id, layer, tuple(checks))


def textured_images(count: int, size: int, seed: int = 0) -> UInt8[Tensor, "count 3 {size} {size}"]:
    """Draw rectangles of coloured noise in the left half of grey images, so that their content can be shifted right.

    Args:
        count: Number of images.
        size: Side in pixels.
        seed: Seed of positions, colours and noise.

    Example:
        >>> textured_images(2, 32).shape
        torch.Size([2, 3, 32, 32])
    """
    images = np.full((count, 3, size, size), 128, dtype=np.uint8)
    for index, image in enumerate(images):
        rng = keyed_generator(seed, "textured_pictures", index)
        for _ in range(3):
            height, width = (int(side) for side in rng.integers(size // 5, 2 * size // 5, size=2))
            top, left = int(rng.integers(size - height)), int(rng.integers(size // 2 - width))
            colour = rng.integers(0, 256, size=(3, 1, 1))
            noise = rng.integers(-96, 97, size=(3, height, width))
            image[:, top : top + height, left : left + width] = np.clip(colour + noise, 0, 255)
    return torch.from_numpy(images)


class _Trial:
    """Maps of one layer, for the best and the worst class of each image."""

    def __init__(self, classifier: Classifier, layer: CamLayer, images: UInt8[Tensor, "n 3 h w"], seed: int) -> None:
        self._classifier, self._layer, self._images, self._seed = classifier, layer, images, seed
        self._tapped = self._tap(classifier.network)
        best = self._run(self._tapped, images)
        self._best, self._best_maps = best.targets, best.maps
        self._worst_maps = self._run(self._tapped, images, best.logits.argmin(1)).maps

    def _tap(self, network: Normalised) -> TappedNetwork:
        return TappedNetwork(network, self._layer, signed_map)

    def _run(
        self, tapped: TappedNetwork, images: UInt8[Tensor, "n 3 h w"], targets: Int[Tensor, " n"] | None = None
    ) -> CamOutput:
        size = (len(images), len(self._classifier.classes))
        wanted = mark_classes(targets, *size, missing=True).to(images.device)
        with torch.inference_mode(mode=False):
            return tapped(images, wanted, torch.zeros_like(wanted))

    def varies(self) -> Check:
        """Check that the maps are not constant over positions."""
        flat = torch.cat([self._best_maps, self._worst_maps]).flatten(1)
        strength = flat.square().mean(1).sqrt()
        spread = float(torch.where(strength > 0, flat.std(1) / strength.clamp(min=1e-30), 0.0).mean())
        seen = f"its values spread by {spread:.3f} of their size over {flat.shape[1]} positions"
        if spread > _LEAST_SPREAD:
            return Check("positions", passed=True, sentence=f"The map differs between positions: {seen}.")
        return Check(
            "positions",
            passed=False,
            sentence=f"The map is constant: {seen}, so it localises nothing; the classifier ignores positions.",
        )

    def changes_with_class(self) -> Check:
        """Check that the map depends on the class."""
        agreement = _agreement(self._best_maps, self._worst_maps)
        seen = f"the maps of the best and the worst class agree by {agreement:.3f} (1 is equal)"
        if agreement < _SAME:
            return Check("class", passed=True, sentence=f"The map changes with the class: {seen}.")
        return Check(
            "class",
            passed=False,
            sentence=f"The map does not change with the class: {seen}, so it does not explain the prediction.",
        )

    def changes_with_weights(self) -> Check:
        """Check that randomised weights change the map (Adebayo et al. 2018, section 3)."""
        redrawn = copy.deepcopy(self._classifier.network)
        agreements = []
        for turn in range(_REDRAWS):
            for name, weights in redrawn.named_parameters():
                _redraw(weights, keyed_seed(self._seed, "redrawn weights", turn, name))
            maps = self._run(self._tap(redrawn), self._images, self._best).maps
            agreements.append(_agreement(self._best_maps, maps))
        agreement = float(np.mean(agreements))
        seen = f"its ranks agree by {agreement:.3f} with those of weights drawn anew (1 is equal)"
        if agreement < _MOST_AGREEMENT:
            return Check("weights", passed=True, sentence=f"The map depends on what was learnt: {seen}.")
        return Check(
            "weights",
            passed=False,
            sentence=f"The map hardly depends on the weights: {seen}, so it shows edges rather than what was learnt.",
        )

    def moves(self) -> Check:
        """Check that the map shifts with the content of its image."""
        columns = self._best_maps.shape[2]
        cells = columns // 2
        pixels = round(cells * self._images.shape[3] / columns)
        # subtract the map of a plain grey image, which shows the effect of borders and position embeddings alone
        plain = self._run(self._tapped, torch.full_like(self._images, 128), self._best).maps
        before = self._best_maps - plain
        after = self._run(self._tapped, self._images.roll(pixels, 3), self._best).maps - plain
        following, staying = _agreement(before.roll(cells, 2), after), _agreement(before, after)
        seen = (
            f"after a shift by {pixels} pixels it agrees by {following:.3f} with the shifted map and by {staying:.3f} "
            "with the unshifted one"
        )
        if following - staying > _LEAST_MOVE:
            return Check("shift", passed=True, sentence=f"The map moves with the image: {seen}.")
        return Check(
            "shift",
            passed=False,
            sentence=f"The map does not move with the image: {seen}, so its positions mean nothing.",
        )


def _redraw(weights: torch.nn.Parameter, seed: int) -> None:
    """Replace weights by Gaussian noise of the same mean and standard deviation; constant weights stay constant."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    drawn = torch.randn(weights.shape, generator=generator).to(weights.device, weights.dtype)
    if weights.numel() > 1:
        weights.data = drawn * weights.data.std() + weights.data.mean()


def _agreement(one: Float[Tensor, "n h w"], other: Float[Tensor, "n h w"]) -> float:
    """Compute Spearman's rank correlation over positions, averaged over images; 0 if either map is constant."""
    first, second = (rankdata(m.flatten(1).cpu().numpy(), axis=1) for m in (one, other))
    first, second = first - first.mean(1, keepdims=True), second - second.mean(1, keepdims=True)
    scale = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    products = (first * second).sum(1)
    return float(np.mean(np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)))
