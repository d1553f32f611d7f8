"""Figures of example images: a scene in several variants, the tiling of Only-BG-T, foreground masks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from jaxtyping import UInt8
from matplotlib.axes import Axes
from torch import Tensor

from bglab.errors import UnknownName
from bglab.figures import plot_images, theme
from bglab.images import background_strip, box_mask, composite, plain, tile, tile_box
from bglab.labels import OUTSIDE
from bglab.models import Classifier, classify_image
from bglab.scenes import PreparedScenes
from bglab.variants import IN9_VARIANTS, VARIANTS, Dataset, compose

#: Name shown for predictions that belong to none of the nine classes.
OUTSIDE_NAME = "outside"
_OUTLINE = (230, 159, 0)


def plot_variants(
    classifier: Classifier,
    sets: Sequence[PreparedScenes],
    class_name: str,
    variants: Sequence[str] = IN9_VARIANTS,
    *,
    scene: str = "",
    columns: int = 4,
    ax: Axes | None = None,
) -> Axes:
    """Plot one scene in several variants with the classifier's predictions (Noise or Signal, Figures 1 and 14-21).

    Args:
        classifier: Classifier whose predictions are shown below the images.
        sets: Prepared scenes, searched in order for a suitable scene.
        class_name: Class of the scene.
        variants: Names of the variants, in plotting order.
        scene: Id of the scene; "" takes the first one of the class that exists in all variants.
        columns: Images per row.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        UnknownName: If no set has such a scene.
    """
    datasets, shown = _find(sets, class_name, variants, scene)
    names = (*datasets[0].classes, OUTSIDE_NAME)
    images = [dataset[shown] for dataset in datasets]
    predictions = [names[classify_image(classifier, image).prediction] for image in images]
    with _own_theme(ax):
        return plot_images(
            [image.numpy() for image in images],
            [VARIANTS[name].title for name in variants],
            labels=[class_name] * len(predictions),
            predictions=predictions,
            columns=columns,
            ax=ax,
        )


def plot_tiling(prepared: PreparedScenes, scene: str, *, ax: Axes | None = None) -> Axes:
    """Plot the four steps from an image to its Only-BG-T variant (Noise or Signal, Figure 9).

    The steps are the bounding box, the largest background strip next to it, the strip tiled over the image, and the
    tiles pasted into the box.

    Args:
        prepared: Prepared scenes.
        scene: Id of the scene.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        BadInput: If the scene's box leaves no background to tile.
    """
    images, titles = tiling_steps(prepared, scene)
    with _own_theme(ax):
        return plot_images(images, titles, columns=4, ax=ax)


def tiling_steps(prepared: PreparedScenes, scene: str) -> tuple[list[UInt8[np.ndarray, "3 h w"]], list[str]]:
    """Make the images and titles of `plot_tiling`.

    Args:
        prepared: Prepared scenes.
        scene: Id of the scene.

    Raises:
        BadInput: If the scene's box leaves no background to tile.
    """
    whole = prepared.scenes[scene]
    image = torch.from_numpy(whole.image)
    height, width = image.shape[-2:]
    x0, y0, x1, y1 = background_strip(whole.box, height, width)
    canvas = tile(image[:, y0:y1, x0:x1], height, width)
    steps = [
        _outlined(image, whole.box),
        _outlined(image, (x0, y0, x1, y1)),
        canvas,
        _outlined(tile_box(image, whole.box), whole.box),
    ]
    titles = ["Bounding box", "Largest strip outside it", "Strip, tiled", "Tiles pasted into the box"]
    return [step.numpy() for step in steps], titles


def plot_masks(prepared: PreparedScenes, *, columns: int = 6, ax: Axes | None = None) -> Axes:
    """Plot every scene with its background greyed out and its foreground in colour.

    Args:
        prepared: Prepared scenes.
        columns: Images per row.
        ax: Axes to draw on; None makes a new figure.
    """
    images = torch.from_numpy(np.asarray(prepared.images))
    masks = torch.from_numpy(np.asarray(prepared.masks))
    grey = images.float().mean(dim=1, keepdim=True).mul(0.35).add(165).to(torch.uint8).expand_as(images)
    shown = composite(images, grey, masks)
    titles = [record.id for record in prepared.scenes.records]
    with _own_theme(ax):
        return plot_images(list(shown.numpy()), titles, columns=columns, ax=ax)


def _own_theme(ax: Axes | None) -> AbstractContextManager[None]:
    """Return the theme for new figures, and no theme for axes that the caller made."""
    return theme() if ax is None else nullcontext()


def _outlined(image: UInt8[Tensor, "3 h w"], box: tuple[int, int, int, int]) -> UInt8[Tensor, "3 h w"]:
    """Draw the outline of a box into an image; the line is one hundredth of the image's longer side wide."""
    height, width = image.shape[-2:]
    line = max(1, round(max(height, width) / 100))
    x0, y0, x1, y1 = box
    inner = (x0 + line, y0 + line, max(x0 + line, x1 - line), max(y0 + line, y1 - line))
    outline = box_mask(torch.tensor(box), height, width) & ~box_mask(torch.tensor(inner), height, width)
    return composite(plain(_OUTLINE, image), image, outline)


def _find(
    sets: Sequence[PreparedScenes], class_name: str, variants: Sequence[str], scene: str
) -> tuple[list[Dataset], str]:
    """Find a scene of the class that exists in every variant; return the variants' data sets and the scene's id."""
    for prepared in sets:
        datasets = [compose(prepared, variant) for variant in variants]
        shared = set.intersection(*({row.scene for row in dataset.rows} for dataset in datasets))
        for record in prepared.scenes.records:
            matches = record.label != OUTSIDE and prepared.scenes.classes[record.label] == class_name
            if matches and record.id in shared and scene in {"", record.id}:
                return datasets, record.id
    wanted = f"scene '{scene}'" if scene else "scene"
    where = ", ".join(prepared.scenes.name for prepared in sets)
    raise UnknownName(f"no {wanted} of class '{class_name}' with all of {', '.join(variants)} in {where}")
