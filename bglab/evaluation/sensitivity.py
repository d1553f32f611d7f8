"""Predictions with noise on the object or the background, and with the object removed.

The rows are prediction tables, stored and resumed like all others. `bglab.analysis` computes from them relative
foreground sensitivity (RFS), core and spurious accuracy, and the accuracy drop without the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np
from jaxtyping import Bool, UInt8
from torch import Tensor

from bglab.errors import BadInput
from bglab.evaluation.predict import predict
from bglab.images import add_noise
from bglab.models import ClassifierLike
from bglab.scenes import ScenesLike, as_prepared
from bglab.variants import (
    VARIANTS,
    Background,
    Draw,
    Foreground,
    Keep,
    Own,
    Patch,
    SceneBatch,
    Variant,
    at_strength,
    compose,
)

if TYPE_CHECKING:
    import pandas as pd

Norm = Literal["linf", "l2"]

_LEVELS = 255.0
_GREY = (128, 128, 128)
_PLACE = "RFS, Moayeri et al. 2022"


@dataclass(frozen=True)
class NoiseGrid:
    """Strengths of the noise and number of draws.

    Attributes:
        norm: ``linf`` adds Gaussian noise of a given standard deviation to each pixel of the region; ``l2`` scales the
            noise of the whole region to a given Euclidean norm, whatever the size of the object.
        strengths: Standard deviations or norms, for images in [0, 1].
        draws: Number of draws per strength.

    Raises:
        BadInput: If a strength is not above 0, or there is no strength or no draw.
    """

    norm: Norm
    strengths: tuple[float, ...]
    draws: int = 3

    def __post_init__(self) -> None:
        if self.draws < 1 or not self.strengths or min(self.strengths) <= 0:
            raise BadInput(
                f"expected strengths above 0 and at least one draw, got {self.strengths} and {self.draws}; "
                "see sensitivity.LINF for an example"
            )


#: The grids of Moayeri et al. (CVPR 2022), as in their evaluation of Hard ImageNet.
LINF = NoiseGrid("linf", (0.125, 0.25, 0.375, 0.5, 0.625, 0.75))
L2 = NoiseGrid("l2", (30.0, 60.0, 90.0, 120.0, 150.0, 180.0))

#: Three ways to remove the object (Hard ImageNet, 2022): mask filled with grey, box filled with grey, and box covered
#: by tiled background.
ABLATIONS: tuple[Variant, ...] = (
    Variant("grey_fg_mask", Patch(_GREY, "mask"), Own(), place="Hard ImageNet, Moayeri et al. 2022"),
    Variant("grey_fg", Patch(_GREY, "box"), Own(), place="Hard ImageNet, Moayeri et al. 2022"),
    VARIANTS["only_bg_t"],
)


@final
@dataclass(frozen=True)
class NormedForeground(Foreground):
    """The object with Gaussian noise of Euclidean norm ``norm`` inside the mask, for images in [0, 1]."""

    wording: ClassVar[str] = "the object with noise of norm {norm:g}"

    norm: float

    def draw(self, scenes: SceneBatch, key: Draw) -> tuple[UInt8[Tensor, "n 3 h w"], Bool[Tensor, "n h w"]]:
        """Return the noisy photographs and the masks."""
        return _noise_of_norm(scenes, scenes.masks, key, self.norm), scenes.masks


@final
@dataclass(frozen=True)
class NormedBackground(Background):
    """The photograph with Gaussian noise of Euclidean norm ``norm`` outside the mask, for images in [0, 1]."""

    wording: ClassVar[str] = "as photographed, with noise of norm {norm:g}"

    norm: float

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "n 3 h w"]:
        """Return the noisy photographs."""
        return _noise_of_norm(scenes, ~scenes.masks, key, self.norm)


def noise_variants(norm: Norm, strength: float) -> dict[str, Variant]:
    """Return the two variants of one strength: noise on the object, and noise on the background.

    Args:
        norm: ``linf`` or ``l2``, as for `NoiseGrid`.
        strength: Standard deviation or norm, for images in [0, 1].

    Example:
        >>> {region: variant.name for region, variant in noise_variants("l2", 60).items()}
        {'foreground': 'core_noise_l2_60', 'background': 'spurious_noise_l2_60'}
    """
    if norm == "linf":
        levels = _LEVELS * strength
        return {
            "foreground": at_strength(VARIANTS["core_noise"], levels),
            "background": at_strength(VARIANTS["spurious_noise"], levels),
        }
    return {
        "foreground": Variant(f"core_noise_l2_{strength:g}", NormedForeground(strength), Own(), place=_PLACE),
        "background": Variant(f"spurious_noise_l2_{strength:g}", Keep(), NormedBackground(strength), place=_PLACE),
    }


def noise_predictions(
    classifier: ClassifierLike,
    scenes: ScenesLike,
    grid: NoiseGrid = LINF,
    *,
    seed: int = 0,
    size: int = 224,
    results: Path | str | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> pd.DataFrame:
    """Classify images with noise on the object and on the background, over a grid of strengths (Moayeri et al. 2022).

    Args:
        classifier: Classifier, or what stands for one: a URI, the path of a checkpoint, a torch module.
        scenes: A set, its prepared form, or a URI.
        grid: Strengths and number of draws.
        seed: Seed of the noise; every draw uses another seed derived from it.
        size: Side of the images in pixels; ignored for prepared scenes.
        results: Results folder for the prediction tables, or its URL; stored ones are read. None stores nothing.
        batch_size: Images per forward pass.
        progress: Whether to show progress bars.

    Returns:
        One row per image, strength, region and draw, with the columns of a prediction table, ``region`` of the noise
        (``foreground`` or ``background``), ``norm``, ``strength`` and ``draw``. ``dataset`` is the key of the first
        draw in all rows.

    Raises:
        BadInput: If classifier and scenes have no classes in common.
    """
    import pandas as pd

    prepared = as_prepared(scenes, size, progress=progress)
    parts = []
    for strength in grid.strengths:
        for region, variant in noise_variants(grid.norm, strength).items():
            for draw in range(grid.draws):
                dataset = compose(prepared, variant, seed=seed * grid.draws + draw)
                table = predict(classifier, dataset, results=results, batch_size=batch_size, progress=progress)
                parts.append(table.assign(region=region, norm=grid.norm, strength=float(strength), draw=draw))
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(dataset=parts[0]["dataset"].iloc[0])


def ablation_predictions(
    classifier: ClassifierLike,
    scenes: ScenesLike,
    ablations: Sequence[Variant] = ABLATIONS,
    *,
    size: int = 224,
    results: Path | str | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> pd.DataFrame:
    """Classify images with and without their object (Hard ImageNet, Moayeri et al. 2022).

    Args:
        classifier: Classifier, or what stands for one: a URI, the path of a checkpoint, a torch module.
        scenes: A set, its prepared form, or a URI.
        ablations: Variants without the object.
        size: Side of the images in pixels; ignored for prepared scenes.
        results: Results folder for the prediction tables, or its URL; stored ones are read. None stores nothing.
        batch_size: Images per forward pass.
        progress: Whether to show progress bars.

    Returns:
        One prediction table with the rows of ``original`` and of every ablation.

    Raises:
        BadInput: If classifier and scenes have no classes in common.
    """
    import pandas as pd

    prepared = as_prepared(scenes, size, progress=progress)
    parts = []
    for variant in (VARIANTS["original"], *ablations):
        dataset = compose(prepared, variant)
        parts.append(predict(classifier, dataset, results=results, batch_size=batch_size, progress=progress))
    return pd.concat(parts, ignore_index=True)


def _noise_of_norm(
    scenes: SceneBatch, regions: Bool[Tensor, "n h w"], key: Draw, norm: float
) -> UInt8[Tensor, "n 3 h w"]:
    """Add Gaussian noise inside each region, scaled to a norm (before clipping) and seeded per scene."""
    shape = scenes.images.shape[1:]
    noise = key.for_each(scenes, lambda rng: rng.standard_normal(shape, dtype=np.float32)) * regions.unsqueeze(1)
    length = noise.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
    return add_noise(scenes.images, noise * (_LEVELS * norm / length))
