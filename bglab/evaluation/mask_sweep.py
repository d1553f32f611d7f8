"""Predictions with other masks: how much of the background gap is made by the way in which objects are cut out.

The rows are prediction tables, stored and resumed like all others; `bglab.analysis.gap_by_mask` summarises them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool

from bglab.catalogue import Catalogue, unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.evaluation.predict import predict
from bglab.images import ellipse_mask, grab_cut, grow
from bglab.models import ClassifierLike
from bglab.scenes import PreparedScenes, Scene, SceneRecord, SceneSet, as_scenes, prepare
from bglab.seeding import digest
from bglab.variants import VARIANTS, Adjustment, adjusted, compose

if TYPE_CHECKING:
    import pandas as pd

#: Name of the masks that the set itself has.
STORED = "stored"

#: Variants of which the gap and its control consist.
SWEPT = ("mixed_same", "mixed_rand", "on_own_tiled")

# incremented whenever a source of masks gives other pixels
_VERSION = 1


def _grab_cut(scene: Scene, seed: int) -> Bool[np.ndarray, "h w"]:
    return grab_cut(scene.image, scene.box, seed=seed)


def _ellipse(scene: Scene, seed: int) -> Bool[np.ndarray, "h w"]:
    return ellipse_mask(scene.box, *scene.mask.shape)


def _box(scene: Scene, seed: int) -> Bool[np.ndarray, "h w"]:
    mask = np.zeros_like(scene.mask)
    x0, y0, x1, y1 = scene.box
    mask[y0:y1, x0:x1] = True
    return mask


#: Sources of masks: GrabCut from the box (Noise or Signal, Appendix A), the ellipse in the box, and the box itself.
MASK_SOURCES: Catalogue[Callable[[Scene, int], np.ndarray]] = Catalogue(
    "source of masks", {"grabcut": _grab_cut, "ellipse": _ellipse, "box": _box}
)


def replace_masks(scenes: SceneSet, source: str, *, seed: int = 0) -> SceneSet:
    """Return the same scenes with masks of another source, made at the resolution of the images.

    Boxes stay the same, and with them the tiled backgrounds, so that nothing but the foreground's outline changes.

    Args:
        scenes: Scenes with boxes.
        source: ``stored`` for the set's own masks, or a name out of `MASK_SOURCES`.
        seed: Seed of GrabCut.

    Returns:
        A set with its own name and fingerprint, so that its prepared scenes and results are stored separately. A scene
        whose mask cannot be made raises `BadInput` when it is read.

    Raises:
        UnknownName: If there is no such source.

    Example:
        >>> from bglab.scenes import open_scenes
        >>> replace_masks(open_scenes("synthetic9?n=9"), "box").name
        'synthetic9:n=9 box masks'
    """
    if source == STORED:
        return scenes
    if source not in MASK_SOURCES:
        raise UnknownName(unknown_name(MASK_SOURCES.kind, source, [STORED, *MASK_SOURCES]))
    make = MASK_SOURCES[source]

    def read(record: SceneRecord) -> Scene:
        scene = scenes.read(record)
        return scene.with_mask(make(scene, seed))

    parts = [scenes.fingerprint, source, str(_VERSION), *([str(seed)] if source == "grabcut" else [])]
    return replace(scenes, name=f"{scenes.name} {source} masks", read=read, fingerprint=digest(parts), published=None)


def mask_predictions(
    classifier: ClassifierLike,
    scenes: SceneSet | str | Path,
    *,
    sources: Sequence[str] = (STORED, *MASK_SOURCES),
    radii: Sequence[int] = (-8, -4, -2, 0, 2, 4, 8),
    feathers: Sequence[float] = (0.0,),
    seed: int = 0,
    size: int = 224,
    results: Path | str | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> pd.DataFrame:
    """Classify Mixed-Same, Mixed-Rand and their control with every mask, over all radii and feathers.

    The control is On-Own-Tiled: the object pasted on the tiled background of its own image. It is cut and pasted like
    the mixed variants but keeps its background, so its accuracy shows what the cutting itself costs. All masks are
    compared on the scenes that every source can cut, with the same donors.

    Args:
        classifier: Classifier, or what stands for one: a URI, the path of a checkpoint, a torch module.
        scenes: A set, or a URI.
        sources: ``stored`` for the set's own masks, and names out of `MASK_SOURCES`.
        radii: Radii in pixels of the prepared image by which masks are dilated, or eroded if negative.
        feathers: Standard deviations in pixels of the Gaussian that softens the edge.
        seed: Seed of the donors and of GrabCut.
        size: Side of the images in pixels.
        results: Results folder for the prediction tables, or its URL; stored ones are read. None stores nothing.
        batch_size: Images per forward pass.
        progress: Whether to show progress bars.

    Returns:
        One row per image, source, radius and feather, with the columns of a prediction table and ``mask`` (the source),
        ``radius``, ``feather``, ``kept`` (pixels of the mask after erosion or dilation, divided by those before; 0 if
        nothing is left) and ``mask_area`` (the fraction of the image that they cover). ``variant`` is that of `SWEPT`,
        or ``original``, which needs no mask and is repeated for each one; ``dataset`` is the key of Original.

    Raises:
        BadInput: If there is no source, radius or feather, a feather is negative, no scene can be cut by every source,
            or classifier and scenes have no classes in common.
        UnknownName: If there is no such source.
    """
    import pandas as pd

    if not sources or not radii or not feathers or min(feathers) < 0:
        raise BadInput(
            "expected at least one source of masks, radius and feather, and feathers of 0 or more, got "
            f"{tuple(sources)}, {tuple(radii)} and {tuple(feathers)}"
        )
    opened = as_scenes(scenes)
    prepared = _with_common_scenes(
        {source: prepare(replace_masks(opened, source, seed=seed), size, progress=progress) for source in sources}
    )

    def classify(source: str, variant: str, adjustment: Adjustment) -> pd.DataFrame:
        dataset = compose(prepared[source], adjusted(VARIANTS[variant], adjustment), seed=seed)
        return predict(classifier, dataset, results=results, batch_size=batch_size, progress=progress)

    original = classify(next(iter(prepared)), "original", Adjustment())
    parts = []
    for source, cut in prepared.items():
        for radius in radii:
            sizes = _mask_sizes(cut, radius)
            for feather in feathers:
                adjustment = Adjustment(grow=radius, feather=feather)
                tables = [classify(source, name, adjustment).assign(variant=name) for name in SWEPT]
                cell = pd.concat([original, *tables], ignore_index=True)
                cell = cell.assign(mask=source, radius=radius, feather=float(feather))
                parts.append(cell.merge(sizes, on="scene", how="left"))
    return pd.concat(parts, ignore_index=True).assign(dataset=original["dataset"].iloc[0])


def _with_common_scenes(prepared: dict[str, PreparedScenes]) -> dict[str, PreparedScenes]:
    """Keep the scenes that every source can cut, so that all have the same scenes and donors."""
    common = set.intersection(*(set(cut.scenes.ids) for cut in prepared.values()))
    if not common:
        raise BadInput(f"expected scenes that all of {', '.join(prepared)} can cut, got none; leave out a source")
    return {source: _select(cut, common) for source, cut in prepared.items()}


def _select(prepared: PreparedScenes, ids: set[str]) -> PreparedScenes:
    """Select prepared scenes by their ids."""
    rows = np.flatnonzero([scene in ids for scene in prepared.scenes.ids])
    if len(rows) == len(prepared):
        return prepared
    scenes = prepared.scenes.select(ids=ids)
    names = ("images", "masks", "plates", "boxes", "has_plate")
    arrays = {name: np.asarray(getattr(prepared, name))[rows] for name in names}
    return replace(prepared, scenes=scenes, digest=digest([prepared.digest, *scenes.ids]), **arrays)


def _mask_sizes(prepared: PreparedScenes, radius: int) -> pd.DataFrame:
    """Measure each mask after erosion or dilation: ``[scene, kept, mask_area]``."""
    import pandas as pd

    masks = torch.from_numpy(np.asarray(prepared.masks))
    before = masks.sum((1, 2)).numpy()
    after = np.concatenate([grow(block, radius).sum((1, 2)).numpy() for block in masks.split(256)])
    return pd.DataFrame({"scene": prepared.scenes.ids, "kept": after / before, "mask_area": after / prepared.size**2})
