"""A classifier with the foregrounds and backgrounds whose pairs all searches classify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from bglab.errors import BadInput
from bglab.evaluation import all_logits, describe, matched, run_key, seen_by
from bglab.models import Classifier, ClassifierLike
from bglab.progress import Bar
from bglab.results import NOT_EVALUATED, PairPredictions, Protocol, Side, protocol_provenance
from bglab.scenes import PreparedScenes, ScenesLike, as_prepared
from bglab.search.pair_images import PairImages
from bglab.variants import Dataset, compose, scene_tensors

#: Original images classified at a time, so that not all of them are in memory at once.
_ORIGINALS_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class PairEvaluator:
    """A classifier with the foregrounds and backgrounds whose pairs it classifies.

    Attributes:
        classifier: Classifier of the pairs.
        composer: Source of the pairs' images.
        originals: The unmodified images of the foregrounds, in the order of the rows, as the classifier sees them.
        protocol: Rules for which pairs are tried.
        foregrounds: Ids and labels of the matrix's rows: every scene.
        backgrounds: Ids and labels of its columns: every scene of the pool that has a background plate.
    """

    classifier: Classifier
    composer: PairImages
    originals: Dataset
    protocol: Protocol
    foregrounds: Side
    backgrounds: Side

    @property
    def prepared(self) -> PreparedScenes:
        """Scenes that provide the pixels."""
        return self.composer.prepared

    @property
    def shape(self) -> tuple[int, int]:
        """Number of foregrounds and number of backgrounds."""
        return len(self.foregrounds.ids), len(self.backgrounds.ids)

    @property
    def key(self) -> str:
        """Name of the result folder: data set, precision, and any deviation from the default protocol."""
        return "-".join(part for part in (run_key(self.classifier, self.originals), self.protocol.key) if part)

    def head(self, *, progress: bool = True) -> PairPredictions:
        """Classify the original images, and return the matrix without the predictions of any pair.

        Args:
            progress: Show a bar.
        """
        return PairPredictions(
            foregrounds=self.foregrounds,
            backgrounds=self.backgrounds,
            original=self._classify_originals(progress=progress),
            native=np.full(self.shape, NOT_EVALUATED, dtype=np.int16),
            space=self.originals.space,
            native_space=self.classifier.spec.space,
            classes=self.originals.classes,
            protocol=self.protocol,
            provenance=self.provenance,
        )

    def _classify_originals(self, *, progress: bool) -> Int[np.ndarray, " f"]:
        """Return the predicted class of every original image among the classifier's own classes."""
        native = np.empty(len(self.originals), dtype=np.int16)
        with Bar(total=len(native), desc="originals", unit="image", disable=not progress) as bar:
            for start in range(0, len(native), _ORIGINALS_AT_ONCE):
                part = self.originals.part(start, start + _ORIGINALS_AT_ONCE)
                native[start : start + len(part)] = all_logits(self.classifier, part, progress=False).argmax(dim=1)
                self.composer.release()
                bar.update(len(part))
        return native

    def get_ready(self, count: int = 1) -> None:
        """Initialise the engine for images of this size, so that one-time work is not timed.

        Args:
            count: Number of pairs to expect, as for `bglab.models.Engine.get_ready`.
        """
        self.classifier.engine.get_ready(self.originals.size, self.originals.size, count)

    @property
    def provenance(self) -> dict[str, Any]:
        """Provenance of the matrix, without statistics of the run."""
        described = describe(self.classifier, self.originals)
        return described | {
            "dataset": self.key,
            "variant": "pairs",
            "rule": "the object, cut out by its mask, on the background tiled over its box",
            "space": self.originals.space,
            "native_space": self.classifier.spec.space,
            "protocol": protocol_provenance(self.protocol),
            "foregrounds": self.foregrounds.digest,
            "backgrounds": self.backgrounds.digest,
        }


def open_evaluator(
    classifier: ClassifierLike,
    scenes: ScenesLike,
    protocol: Protocol | None = None,
    *,
    size: int = 224,
    progress: bool = True,
) -> PairEvaluator:
    """Combine a classifier with foregrounds and backgrounds.

    Args:
        classifier: Classifier, or what stands for one: a URI, the path of a checkpoint, a torch module.
        scenes: Scene set, prepared scenes, or a URI for `open_scenes`.
        protocol: Rules for which pairs are tried; None stands for ``Protocol()``, all pairs.
        size: Side of the images in pixels; ignored for prepared scenes.
        progress: Show a bar while scenes are prepared for the first time.

    Raises:
        BadInput: If classifier and scenes have no classes in common, or no scene has a background for the protocol.
    """
    chosen = protocol or Protocol()
    prepared = as_prepared(scenes, size, progress=progress)
    made = compose(prepared, "original")
    classifier = matched(classifier, made)
    originals = seen_by(classifier, made)
    records = prepared.scenes.records
    lends = np.flatnonzero(prepared.has_plate)
    every = _side([records[i] for i in lends])
    kept = chosen.in_pool(every.ids, every.labels)
    if not kept.any():
        raise BadInput(
            f"expected backgrounds to search in {prepared.scenes.name}, but none of its {len(records)} scenes lends "
            "one under this protocol; add scenes or widen the pool"
        )
    return PairEvaluator(
        classifier=classifier,
        composer=PairImages(prepared, lends[kept], classifier.engine.device, scene_tensors(prepared)),
        originals=originals,
        protocol=chosen,
        foregrounds=_side(records),
        backgrounds=_side([records[i] for i in lends[kept]]),
    )


def _side(records: Sequence[Any]) -> Side:
    return Side(
        ids=tuple(record.id for record in records),
        labels=np.array([record.label for record in records], dtype=np.int64),
        native_labels=np.array([record.native_label for record in records], dtype=np.int64),
    )
