"""Saliency of whole data sets: a table with the prediction and measures of the map of each image and variant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float, UInt8

from bglab.analysis import QUANTILE, TOLERANCE_PX, localise, map_drift
from bglab.errors import BadInput, UnknownName
from bglab.evaluation import compute_tables, describe, matched, seen_by, tabulate
from bglab.locations import Place, place_of
from bglab.models import Batching, Classifier, ClassifierLike
from bglab.parallel import in_flight, prefetch
from bglab.results import (
    SALIENCY_SCHEMA,
    PartFiles,
    encode_part,
    read_saliency_file,
    reusable,
    saliency_file,
    saliency_rows,
    table_blocks,
    write_saliency,
)
from bglab.saliency.batches import ImageBatch, prepared_batches, seen_masks, streamed_batches, with_masks
from bglab.saliency.methods import SMOOTH_SAMPLES
from bglab.saliency.questions import Answer, Question, Target, ask, begin_batch, classes_to_explain
from bglab.scenes import PreparedScenes, SceneSet, ScenesLike, as_prepared, as_scenes
from bglab.variants import (
    Dataset,
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
        results: Folder to store the rows in, or its URL; finished variants are read instead of computed.
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
    folder = None if results is None else place_of(results)
    tables = []
    for dataset in datasets:
        if dataset.full is None:
            if isinstance(scenes, FullScenes):
                raise _needs_prepared(dataset)
            prepared = as_prepared(scenes, progress=progress)
            seen = seen_by(classifier, with_masks(dataset, prepared))
            original = seen_by(classifier, compose(prepared, "original", seed=seed))
        else:
            seen, prepared, original = seen_by(classifier, dataset), None, None
        job = _SaliencyJob(question, seen, original, prepared, batch_size)
        tables.append(_explained(job, folder, progress=progress))
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


def _explained(job: _SaliencyJob, results: Place | None, *, progress: bool) -> pd.DataFrame:
    """Explain one data set, or read the stored rows of an earlier run."""
    question, dataset = job.question, job.dataset
    provenance = _describe(question, dataset)
    path, files = None, None
    if results is not None:
        model, variant = question.classifier.spec.id, dataset.variant.name
        path = saliency_file(results, provenance["dataset"], model, variant, question.name)
        files = PartFiles(path, provenance, SALIENCY_SCHEMA)
        stored = reusable(path, provenance, read_saliency_file)
        if stored is not None:
            stored.attrs = {"rejected": stored.attrs.get("rejected", [])}
            return stored
    blocks = table_blocks(len(dataset), job.batch_size, least=job.batch_size)
    title = f"{question.classifier.spec.name} · {dataset.variant.name} · {question.method}"
    made = compute_tables(job, blocks, [files], SALIENCY_SCHEMA, title=title, total=len(dataset), progress=progress)
    (parts,) = made.tables
    rows = saliency_rows(pa.concat_tables(part.table for part in parts))
    rejected = [each for part in parts for each in part.rejected]
    if not len(rows):
        first = rejected[0][-1] if rejected else "there were none"
        raise BadInput(f"expected usable images of {dataset.variant.name}, got none; the first: {first}")
    rows.attrs["rejected"] = [*map(list, dataset.rejected), *rejected]
    if path is not None and files is not None:
        run = {"seconds": round(made.seconds, 3), "images_per_s": round(made.images_per_s, 2)}
        told = {"rows": len(rows), "rejected": rows.attrs["rejected"]}
        write_saliency(path, rows, provenance | told | run)
        files.remove()
    return rows


@dataclass(frozen=True, eq=False)
class _SaliencyJob:
    """Explains blocks of a data set, and the same classes on the original images for the drift.

    Attributes:
        question: Classifier, method and target.
        dataset: Images to explain, as the classifier's protocol shows them.
        original: The original images of the same scenes; None at full resolution, where they are made with the others.
        prepared: Prepared scenes with the masks; None at full resolution.
        batch_size: Images per forward pass.
    """

    question: Question
    dataset: Dataset
    original: Dataset | None
    prepared: PreparedScenes | None
    batch_size: int

    def get_ready(self) -> None:
        """Initialise the engine for this number of images."""
        engine = self.question.cam or self.question.classifier.engine
        engine.get_ready(self.dataset.size, self.dataset.size, len(self.dataset))

    def run(self, blocks: Sequence[range], done: Callable[[int], object]) -> Iterator[tuple[bytes, ...]]:
        """Encode the rows of each block; a batch is measured while those after it are made and explained."""
        batching, tables, rejected = Batching(self.batch_size), [], []
        with closing(prefetch(self._batches(blocks))) as ready:
            begun = in_flight((batch, is_last, self._begin(batch, batching)) for batch, is_last in ready)
            for batch, is_last, measured in in_flight((batch, last, explained()) for batch, last, explained in begun):
                done(len(batch.rows) + len(batch.rejected))
                rejected += batch.rejected
                if batch.rows:
                    tables.append(measured())
                if is_last:
                    table = pd.concat(tables, ignore_index=True) if tables else _no_rows()
                    yield (encode_part(table, SALIENCY_SCHEMA, rejected),)
                    tables, rejected = [], []

    def name(self, block: range) -> str:
        """Name the images of a block."""
        return f"images {block.start} to {block.stop - 1} of {self.dataset.variant.name}"

    def _batches(self, blocks: Sequence[range]) -> Iterator[tuple[ImageBatch, bool]]:
        """Make the images of some blocks, and say of each batch whether it is the last one of its block."""
        device, transform = self.question.classifier.engine.device, self.question.classifier.spec.transform
        for block in blocks:
            if self.dataset.full is None:
                assert self.original is not None, "only full-resolution data sets have none"
                assert self.prepared is not None, "only full-resolution data sets have none"
                part = self.dataset.part(block.start, block.stop)
                made = prepared_batches(part, self.original, self.prepared, device, self.batch_size)
            else:
                ids = [row.scene for row in self.dataset.rows[block.start : block.stop]]
                some = full_dataset(self.dataset.full.select(ids), self.dataset.variant, transform)
                made = streamed_batches(some, transform, device, self.batch_size)
            latest = next(made)
            for batch in made:
                yield latest, False
                latest = batch
            yield latest, True

    def _begin(self, batch: ImageBatch, batching: Batching) -> Callable[[], Callable[[], pd.DataFrame]]:
        """Begin to explain a batch.

        Returns:
            A function that waits for the maps and begins with those of the photographs. It returns one that waits for
            these too, and measures both.
        """
        if not batch.rows:
            return lambda: _no_rows
        question = self.question
        classes = classes_to_explain(question, self.dataset, batch.rows, self.prepared)
        waiting = begin_batch(question, batch.images, classes, batching)

        def explained() -> Callable[[], pd.DataFrame]:
            answer = waiting()
            if batch.photographs is None:
                return lambda: self._measured(batch, answer, None)
            same = classes._replace(targets=answer.targets)
            reference = begin_batch(question, batch.photographs, same, batching)
            return lambda: self._measured(batch, answer, reference())

        return explained

    def _measured(self, batch: ImageBatch, answer: Answer, reference: Answer | None) -> pd.DataFrame:
        """Measure the maps of a batch, and their drift from those of the photographs."""
        maps = answer.maps.numpy()
        measured = _measure(maps, batch.masks)
        if reference is not None:
            drift = map_drift(maps, reference.maps.numpy(), batch.masks)
            measured = measured.assign(drift_inside=drift.inside, drift_outside=drift.outside)
        return _tabulate(self.question, replace(self.dataset, rows=batch.rows), answer, measured)


def _no_rows() -> pd.DataFrame:
    return saliency_rows(SALIENCY_SCHEMA.empty_table())


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
    answer = begin_batch(question, part.images, classes, Batching(max(1, len(ids))))()
    maps = answer.maps.numpy()
    table = _tabulate(question, replace(dataset, rows=part.rows), answer, _measure(maps, part.masks))
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


def _tolerance(size: int) -> float:
    return TOLERANCE_PX * size / _USUAL_SIZE


def _measure(maps: Float[np.ndarray, "n s s"], masks: Bool[np.ndarray, "n s s"]) -> pd.DataFrame:
    return localise(maps, masks, tolerance_px=_tolerance(masks.shape[-1]), quantile=QUANTILE)


def _tabulate(question: Question, dataset: Dataset, answer: Answer, measures: pd.DataFrame) -> pd.DataFrame:
    """Join predictions and measures; measures are rounded to the file's precision, so that a reread table is equal."""
    rows = tabulate(question.classifier, dataset, answer.logits.numpy())
    targets = answer.targets.numpy().astype(np.int64)
    rows = rows.assign(method=question.method, target_rule=question.rule, target=targets)
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
