"""Images of the variants: what each does to a scene, and what a classifier makes of it."""

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
from bglab.models import Classifier, ask
from bglab.scenes import PreparedScenes
from bglab.variants import IN9_VARIANTS, VARIANTS, Dataset, compose

#: What is shown where the answer is none of the nine classes.
OUTSIDE_NAME = "outside"
_OUTLINE = (230, 159, 0)


def plot_versions(
    classifier: Classifier,
    sets: Sequence[PreparedScenes],
    class_name: str,
    variants: Sequence[str] = IN9_VARIANTS,
    *,
    scene: str = "",
    columns: int = 4,
    ax: Axes | None = None,
) -> Axes:
    """Show one image in several variants with the classifier's answer (Noise or Signal, Figures 1 and 14-21).

    Args:
        classifier: Whose answers stand below the images.
        sets: Where to look for the image; the first set that has one is used.
        class_name: Class of the image.
        variants: Which versions to show, in order.
        scene: Id of the image; "" takes the first of the class that can show all versions.
        columns: Images a row.
        ax: Where to draw; None makes a figure.

    Raises:
        UnknownName: If no set has such an image.
    """
    datasets, shown = _find(sets, class_name, variants, scene)
    names = (*datasets[0].classes, OUTSIDE_NAME)
    images = [dataset[shown] for dataset in datasets]
    answers = [names[ask(classifier, image).prediction] for image in images]
    with _own_theme(ax):
        return plot_images(
            [image.numpy() for image in images],
            [VARIANTS[name].title for name in variants],
            labels=[class_name] * len(answers),
            predictions=answers,
            columns=columns,
            ax=ax,
        )


def plot_tiling(prepared: PreparedScenes, scene: str, *, ax: Axes | None = None) -> Axes:
    """Show how Only-BG-T is made: box, chosen strip, strip tiled, copied into the box (Noise or Signal, Figure 9).

    Args:
        prepared: The set the scene is in.
        scene: Its id.
        ax: Where to draw; None makes a figure.

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
    titles = ["The object's box", "Largest strip beside it", "The strip, tiled", "Tiles copied into the box"]
    with _own_theme(ax):
        return plot_images([step.numpy() for step in steps], titles, columns=4, ax=ax)


def plot_masks(prepared: PreparedScenes, *, columns: int = 6, ax: Axes | None = None) -> Axes:
    """Show every scene with its surroundings greyed out and its object in colour.

    Args:
        prepared: The scenes.
        columns: Images a row.
        ax: Where to draw; None makes a figure.
    """
    images = torch.from_numpy(np.asarray(prepared.images))
    masks = torch.from_numpy(np.asarray(prepared.masks))
    grey = images.float().mean(dim=1, keepdim=True).mul(0.35).add(165).to(torch.uint8).expand_as(images)
    shown = composite(images, grey, masks)
    titles = [record.id for record in prepared.scenes.records]
    with _own_theme(ax):
        return plot_images(list(shown.numpy()), titles, columns=columns, ax=ax)


def _own_theme(ax: Axes | None) -> AbstractContextManager[None]:
    """Draw new figures in the notebook's theme, and leave axes that came from outside to theirs."""
    return theme() if ax is None else nullcontext()


def _outlined(image: UInt8[Tensor, "3 h w"], box: tuple[int, int, int, int]) -> UInt8[Tensor, "3 h w"]:
    """Draw the outline of a box into an image, as wide as a hundredth of it."""
    height, width = image.shape[-2:]
    line = max(1, round(max(height, width) / 100))
    x0, y0, x1, y1 = box
    inner = (x0 + line, y0 + line, max(x0 + line, x1 - line), max(y0 + line, y1 - line))
    outline = box_mask(torch.tensor(box), height, width) & ~box_mask(torch.tensor(inner), height, width)
    return composite(plain(_OUTLINE, image), image, outline)


def _find(
    sets: Sequence[PreparedScenes], class_name: str, variants: Sequence[str], scene: str
) -> tuple[list[Dataset], str]:
    """Find an image of the class that every variant can show, and give the variants' data sets."""
    for prepared in sets:
        datasets = [compose(prepared, variant) for variant in variants]
        able = set.intersection(*({row.scene for row in dataset.rows} for dataset in datasets))
        for record in prepared.scenes.records:
            named = record.label != OUTSIDE and prepared.scenes.classes[record.label] == class_name
            if named and record.id in able and scene in {"", record.id}:
                return datasets, record.id
    wanted = f"scene '{scene}'" if scene else "image"
    where = ", ".join(prepared.scenes.name for prepared in sets)
    raise UnknownName(f"no {wanted} of class '{class_name}' that can show {', '.join(variants)} in {where}")
