"""Saliency of whole data sets: a table with the prediction and measures of the map of each image and variant."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from tqdm.auto import tqdm

from bglab.analysis import QUANTILE, TOLERANCE_PX, localise, map_drift
from bglab.errors import BadInput, UnknownName
from bglab.evaluation import describe, matched, seen_by, tabulate
from bglab.models import Batching, Classifier, ClassifierLike
from bglab.parallel import prefetch
from bglab.results import SALIENCY_SCHEMA, read_saliency_file, reusable, saliency_file, write_saliency
from bglab.saliency.batches import ImageBatch, prepared_batches, seen_masks, streamed_batches, with_masks
from bglab.saliency.methods import SMOOTH_SAMPLES
from bglab.saliency.questions import Question, Target, ask, at_full_size, classes_to_explain, explain_batch
from bglab.scenes import PreparedScenes, Rejection, SceneSet, ScenesLike, as_prepared, as_scenes
from bglab.variants import (
    Dataset,
    DatasetRow,
    FullScenes,
    Resolution,
    Variant,
    compose,
    compose_all,
    full_dataset,
)

#: Side in pixels of the images for which the pointing game's tolerance is defined.
_USUAL_SIZE = 224


class Explained(NamedTuple):
    """Images of one variant with their saliency maps, masks and predictions.

    Attributes:
        images: RGB images in [0, 255], as classified.
        maps: Raw saliency maps, resized to the images.
        masks: True on the object, or where the variant has removed it.
        answers: Name of the predicted class of each image.
        rows: One row per image, as in `saliency_table`.
    """

    images: UInt8[np.ndarray, "n 3 h w"]
    maps: Float[np.ndarray, "n h w"]
    masks: Bool[np.ndarray, "n h w"]
    answers: tuple[str, ...]
    rows: pd.DataFrame

    @property
    def captions(self) -> list[str]:
        """Caption of each map: the predicted class, and the percentage of the saliency on the object."""
        shares = [f"{100 * s:.0f} % on the object" if s == s else "no saliency" for s in self.rows["share_on_object"]]
        return [f"{answer}, {share}" for answer, share in zip(self.answers, shares, strict=True)]


def saliency_table(
    classifier: ClassifierLike,
    scenes: ScenesLike | FullScenes,
    variants: Sequence[str | Variant | Dataset] = ("original",),
    *,
    method: str = "grad_cam",
    target: Target = "predicted",
    seed: int = 0,
    resolution: Resolution | None = None,
    results: Path | str | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> pd.DataFrame:
    """Explain every image of some variants and measure each map against the object's mask.

    Maps are resized to the images (bilinear) before they are measured. Drift compares the map of a variant with the map
    of the *same class* on the original image of the scene, which differs in the background only; Original has no drift.
    The tolerance of the pointing game, 15 pixels, is scaled with the size of the images.

    Args:
        classifier: Classifier, or what stands for one: a URI, the path of a checkpoint, a torch module.
        scenes: Scene set, prepared scenes (for images of a size other than 224 pixels), full-resolution scenes, or a
            URI for `open_scenes`.
        variants: Variants to explain; data sets of the same scenes, e.g. from `open_published`, are used directly.
        method: Name of a method in `bglab.saliency.methods.METHODS`.
        target: Class to explain: ``predicted``, ``true``, ``background`` (the donor's), an index among the classifier's
            own classes, or a pair of these, the first explained against the second.
        seed: Seed of donors, textures and noise.
        resolution: Resolution at which variants given by name are made, see `bglab.compose`. At full resolution, a map
            is compared with the region that the variant is cut by (boxes or mask), cropped like the image.
        results: Folder to store the rows in; finished variants are read instead of computed.
        batch_size: Images per forward pass; halved when a device runs out of memory.
        progress: Show a bar.

    Returns:
        One row per image and variant with the columns of `bglab.results.SALIENCY_SCHEMA`; the measures of a map that is
        0 everywhere are NaN. ``.attrs["rejected"]`` lists the skipped scenes with reasons.

    Raises:
        BadInput: If classifier and scenes have no classes in common, no layer of the classifier can be explained, or
            the target is ``background`` and a variant has no donors.
        UnknownName: If a method or variant is unknown.
    """
    if not isinstance(scenes, (PreparedScenes, FullScenes)):
        scenes = as_scenes(scenes)
    datasets = _in_order(scenes, variants, seed=seed, resolution=resolution, progress=progress)
    classifier = matched(classifier, *datasets)
    question = ask(classifier, method, target, seed)
    folder = None if results is None else Path(results)
    tables = []
    for dataset in datasets:
        if dataset.full is None:
            if isinstance(scenes, FullScenes):
                raise _needs_prepared(dataset)
            prepared = as_prepared(scenes, progress=progress)
            seen = seen_by(classifier, with_masks(dataset, prepared))
            original = seen_by(classifier, compose(prepared, "original", seed=seed))
            batches = functools.partial(prepared_batches, seen, original, prepared)
        else:
            transform = classifier.spec.transform
            seen, prepared = seen_by(classifier, dataset), None
            batches = functools.partial(streamed_batches, seen, transform)
        tables.append(_explained(question, seen, batches, prepared, folder, batch_size, progress=progress))
    table = pd.concat(tables, ignore_index=True)
    skipped = dict.fromkeys(tuple(rejection) for rows in tables for rejection in rows.attrs["rejected"])
    table.attrs["rejected"] = [list(rejection) for rejection in skipped]
    return table


def _in_order(
    scenes: SceneSet | PreparedScenes | FullScenes,
    variants: Sequence[str | Variant | Dataset],
    *,
    seed: int,
    resolution: Resolution | None,
    progress: bool,
) -> list[Dataset]:
    """Compose the variants given by name, and return all data sets in the order of the variants."""
    named = [variant for variant in variants if not isinstance(variant, Dataset)]
    composed: dict[str, list[Dataset]] = {}
    made = compose_all(scenes, named, seed=seed, resolution=resolution, masked_only=True, progress=progress)
    for dataset in made:
        composed.setdefault(dataset.variant.name, []).append(dataset)
    datasets: list[Dataset] = []
    for variant in variants:
        if isinstance(variant, Dataset):
            datasets.append(variant)
        else:
            datasets += composed.pop(variant if isinstance(variant, str) else variant.name, [])
    return datasets


def _needs_prepared(dataset: Dataset) -> BadInput:
    return BadInput(
        f"expected prepared scenes for {dataset.name}, {dataset.variant.name}, whose images are prepared and whose "
        "masks are read from there, got scenes of another form; give bglab.scenes.prepare(scenes)"
    )


def _explained(
    question: Question,
    dataset: Dataset,
    batches: Callable[[torch.device, int], Iterator[ImageBatch]],
    prepared: PreparedScenes | None,
    results: Path | None,
    batch_size: int,
    *,
    progress: bool,
) -> pd.DataFrame:
    """Explain one data set, or read the stored rows of an earlier run."""
    classifier = question.classifier
    provenance = _describe(question, dataset)
    path = None
    if results is not None:
        path = saliency_file(results, provenance["dataset"], classifier.spec.id, dataset.variant.name, question.name)
        stored = reusable(path, provenance, read_saliency_file)
        if stored is not None:
            stored.attrs = {"rejected": stored.attrs.get("rejected", [])}
            return stored
    (question.cam or classifier.engine).get_ready(dataset.size, dataset.size, len(dataset))
    started = time.perf_counter()
    with closing(prefetch(batches(classifier.engine.device, batch_size))) as ready:
        rows, rejected = _explain_all(question, dataset, ready, prepared, Batching(batch_size), progress=progress)
    elapsed_s = time.perf_counter() - started
    rows.attrs["rejected"] = [list(r) for r in (*dataset.rejected, *rejected)]
    if path is not None:
        write_saliency(
            path,
            rows,
            provenance
            | {
                "rows": len(rows),
                "rejected": rows.attrs["rejected"],
                "seconds": round(elapsed_s, 3),
                "images_per_s": round(len(rows) / elapsed_s, 2),
            },
        )
    return rows


def explain_scenes(
    classifier: ClassifierLike,
    scenes: ScenesLike | FullScenes,
    ids: Sequence[str],
    variant: str | Variant | Dataset = "original",
    *,
    method: str = "grad_cam",
    target: Target = "predicted",
    seed: int = 0,
) -> Explained:
    """Explain a few scenes, and return images and maps for `bglab.figures.plot_saliency`.

    Args:
        classifier: Classifier, or what stands for one: a URI, the path of a checkpoint, a torch module.
        scenes: Prepared or full-resolution scenes, or a set, its URI or a folder, which are prepared at 224 pixels.
        ids: Ids of the scenes to explain, in order.
        variant: Variant to make of them, or a data set of it.
        method: Name of a method in `bglab.saliency.methods.METHODS`.
        target: Class to explain, as in `saliency_table`.
        seed: Seed of donors, textures and noise.

    Raises:
        BadInput: As in `saliency_table`, or if a scene is unusable.
        UnknownName: If the variant has no image of a scene.
    """
    if not isinstance(scenes, (PreparedScenes, FullScenes)):
        scenes = as_prepared(scenes)
    made = variant if isinstance(variant, Dataset) else compose(scenes, variant, seed=seed)
    classifier = matched(classifier, made)
    dataset = seen_by(classifier, made)
    where = {row.scene: i for i, row in enumerate(dataset.rows)}
    absent = [scene for scene in ids if scene not in where]
    if absent:
        raise UnknownName(f"no scene '{absent[0]}' in {dataset.name}, {dataset.variant.name}; see dataset.rows")
    question = ask(classifier, method, target, seed)
    part = _some_images(classifier, dataset, scenes, ids)
    known = scenes if isinstance(scenes, PreparedScenes) else None
    classes = classes_to_explain(question, dataset, part.rows, known)
    batch = explain_batch(question, part.images, classes, Batching(max(1, len(ids))))
    maps = at_full_size(batch, part.masks.shape[-1])
    chosen = replace(dataset, rows=part.rows)
    table = _tabulate(question, chosen, batch.logits, batch.targets, _measure(maps, part.masks))
    answers = tuple((*dataset.classes, "outside")[label] for label in table["prediction"])  # -1 selects the last
    return Explained(part.images.cpu().numpy(), maps, part.masks, answers, table)


def _some_images(
    classifier: Classifier, dataset: Dataset, scenes: PreparedScenes | FullScenes, ids: Sequence[str]
) -> ImageBatch:
    """Render some scenes of a data set as the classifier sees it, in the order of their ids."""
    device, transform = classifier.engine.device, classifier.spec.transform
    if dataset.full is None:
        if not isinstance(scenes, PreparedScenes):
            raise _needs_prepared(dataset)
        places = {row.scene: i for i, row in enumerate(dataset.rows)}
        positions = [places[scene] for scene in ids]
        rows = tuple(dataset.rows[i] for i in positions)
        masks = np.asarray(scenes.masks[[scenes.scenes.positions[row.scene] for row in rows]])
        return ImageBatch(rows, dataset.images(positions, device), None, seen_masks(masks, dataset.transform))
    some = full_dataset(dataset.full.select(ids), dataset.variant, transform)
    (batch,) = streamed_batches(some, transform, device, len(ids))
    for rejection in batch.rejected:
        raise BadInput(rejection.reason)
    order = [[row.scene for row in batch.rows].index(scene) for scene in ids]
    return ImageBatch(tuple(batch.rows[i] for i in order), batch.images[order], None, batch.masks[order])


def _explain_all(
    question: Question,
    dataset: Dataset,
    batches: Iterator[ImageBatch],
    prepared: PreparedScenes | None,
    batching: Batching,
    *,
    progress: bool,
) -> tuple[pd.DataFrame, list[Rejection]]:
    """Explain a data set batch by batch, and the same classes on the original images for the drift."""
    rows: list[DatasetRow] = []
    rejected: list[Rejection] = []
    logits, targets, measures = [], [], []
    title = f"{question.classifier.spec.name} · {dataset.variant.name} · {question.method}"
    with tqdm(total=len(dataset), desc=title, unit="image", disable=not progress) as bar:
        for part in batches:
            bar.update(len(part.rows) + len(part.rejected))
            rejected += part.rejected
            if not part.rows:
                continue
            classes = classes_to_explain(question, dataset, part.rows, prepared)
            batch = explain_batch(question, part.images, classes, batching)
            maps = at_full_size(batch, dataset.size)
            measured = _measure(maps, part.masks)
            if part.photographs is not None:
                same = classes._replace(targets=batch.targets)
                reference = explain_batch(question, part.photographs, same, batching)
                drift = map_drift(maps, at_full_size(reference, dataset.size), part.masks)
                measured = measured.assign(drift_inside=drift.inside, drift_outside=drift.outside)
            rows += part.rows
            logits.append(batch.logits.cpu())
            targets.append(batch.targets.cpu())
            measures.append(measured)
    if not rows:
        first = rejected[0].reason if rejected else "there were none"
        raise BadInput(f"expected usable images of {dataset.variant.name}, got none; the first: {first}")
    whole = replace(dataset, rows=tuple(rows))
    table = pd.concat(measures, ignore_index=True)
    return _tabulate(question, whole, torch.cat(logits), torch.cat(targets), table), rejected


def _tolerance(size: int) -> float:
    return TOLERANCE_PX * size / _USUAL_SIZE


def _measure(maps: Float[np.ndarray, "n s s"], masks: Bool[np.ndarray, "n s s"]) -> pd.DataFrame:
    return localise(maps, masks, tolerance_px=_tolerance(masks.shape[-1]), quantile=QUANTILE)


def _tabulate(
    question: Question,
    dataset: Dataset,
    logits: Float[Tensor, "n c"],
    targets: Int[Tensor, " n"],
    measures: pd.DataFrame,
) -> pd.DataFrame:
    """Join predictions and measures; measures are rounded to the file's precision, so that a reread table is equal."""
    rows = tabulate(question.classifier, dataset, logits.cpu().numpy())
    rows = rows.assign(method=question.method, target_rule=question.rule, target=targets.cpu().numpy().astype(np.int64))
    rounded = measures.astype(np.float32).astype(np.float64)
    return pd.concat([rows, rounded], axis=1).reindex(columns=SALIENCY_SCHEMA.names)


def _describe(question: Question, dataset: Dataset) -> dict[str, Any]:
    described = describe(question.classifier, dataset) | {
        "method": question.method,
        "target_rule": question.rule,
        "layer": question.layer,
        "upsampling": "bilinear",
        "tolerance_px": _tolerance(dataset.size),
        "quantile": QUANTILE,
    }
    return described | ({"samples": SMOOTH_SAMPLES} if question.method == "smooth_grad" else {})
