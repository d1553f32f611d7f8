"""Prediction tables and their provenance, from logits; `bglab.results` stores them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int

from bglab.errors import BadInput
from bglab.labels import DecisionRule, decide_in9, softmax
from bglab.locations import Place
from bglab.models import Classifier, ClassifierLike, as_classifier, finite_logits, match_classes
from bglab.results import (
    PREDICTION_SCHEMA,
    Part,
    PartFiles,
    commit,
    encode_part,
    prediction_file,
    prediction_rows,
    read_predictions_file,
    reusable,
    versions,
    write_predictions,
)
from bglab.scenes import Rejection
from bglab.variants import Dataset

if TYPE_CHECKING:
    import pandas as pd


def seen_by(classifier: Classifier, dataset: Dataset) -> Dataset:
    """Return a data set as a classifier's protocol shows it: resized and cropped, or as prepared; once is enough.

    Args:
        classifier: From `load_classifier`.
        dataset: From `bglab.variants.compose` or `bglab.variants.open_published`.

    Raises:
        BadInput: If the protocol is ``reference``, which is defined for prepared images, and the images are made at
            full resolution.
    """
    spec = classifier.spec
    if dataset.full is None:
        transform = spec.prepared_transform
        return dataset if transform is None or transform == dataset.transform else dataset.seen_through(transform)
    if spec.protocol == "reference":
        raise BadInput(
            f"expected images at prepared resolution for the protocol reference, got {dataset.variant.name} at full "
            "resolution, where the weights' own resize and crop apply; choose the resolution prepared, or another "
            "protocol"
        )
    return dataset.seen_through(spec.transform)


class PredictionWriter:
    """Puts the parts of one data set's predictions together, and writes their table.

    Args:
        classifier: From `load_classifier`.
        dataset: Data set as the classifier's protocol shows it (`seen_by`).
        results: Results folder; None stores nothing.
        decision_rule: How ImageNet logits are mapped to nine classes.

    Raises:
        BadInput: If classifier and data set have no classes in common.
    """

    def __init__(
        self, classifier: Classifier, dataset: Dataset, results: Place | None, decision_rule: DecisionRule
    ) -> None:
        classifier = matched(classifier, dataset)
        self.classifier, self.dataset = classifier, dataset
        self.provenance = describe(classifier, dataset, decision_rule)
        self.rule: DecisionRule = decision_rule
        self.files: PartFiles | None = None
        self._path = None
        if results is not None:
            variant = dataset.variant.name
            self._path = prediction_file(results, self.provenance["dataset"], classifier.spec.id, variant)
            self.files = PartFiles(self._path, self.provenance, PREDICTION_SCHEMA)

    def stored(self) -> pd.DataFrame | None:
        """Return the stored table of an earlier run with the same weights and pixels, or None."""
        return None if self._path is None else reusable(self._path, self.provenance, read_predictions_file)

    def finish(self, parts: Sequence[Part], seconds: float, images_per_s: float) -> pd.DataFrame:
        """Store the whole table and return it, with its provenance in ``.attrs``.

        Args:
            parts: Parts of the table, in order.
            seconds: Duration of the run.
            images_per_s: Images per second, over all data sets classified together.

        Raises:
            BadInput: If no image was usable, or the folder cannot be written.
        """
        table = prediction_rows(pa.concat_tables(part.table for part in parts))
        rejected = [each for part in parts for each in part.rejected]
        if not len(table):
            first = rejected[0][-1] if rejected else "there were none"
            raise BadInput(f"expected usable images of {self.dataset.variant.name}, got none; the first: {first}")
        self.provenance |= {
            "rows": len(table),
            "rejected": [*map(list, self.dataset.rejected), *rejected],
            "seconds": round(seconds, 3),
            "images_per_s": round(images_per_s, 2),
        }
        table.attrs.update(self.provenance)
        if self._path is not None:
            write_predictions(self._path, table, self.provenance)
        if self.files is not None:
            self.files.remove()
        return table


def matched(classifier: ClassifierLike, *datasets: Dataset) -> Classifier:
    """Return a classifier whose predictions can be compared with the labels of data sets.

    Args:
        classifier: Classifier, URI, checkpoint or network, see `bglab.models.as_classifier`.
        datasets: Data sets whose classes it should predict.

    Raises:
        BadInput: If it predicts other classes, or the classes of the data sets are in different orders.
    """
    found = as_classifier(classifier)
    for i, dataset in enumerate(datasets):
        fitting = match_classes(found, dataset.space, dataset.classes, dataset.name)
        if i and fitting is not found:
            raise BadInput(
                f"expected data sets of one label space, got {datasets[0].space} and {dataset.space}; "
                "call once for each"
            )
        found = fitting
    return found


def check_space(model: str, space: str, classes: int, dataset: Dataset) -> None:
    """Check that predictions in a label space can be compared with the data set's labels.

    Args:
        model: Name of the model, for the message.
        space: Label space of its predictions.
        classes: Number of the space's classes.
        dataset: Data set that it classified.

    Raises:
        BadInput: If they cannot.
    """
    if (space, dataset.space) not in {("imagenet", "in9"), (space, space)}:
        raise BadInput(
            f"expected a classifier that predicts the classes of {dataset.name} ({dataset.space}, "
            f"{len(dataset.classes)} classes), but {model} predicts those of {space} ({classes}); choose other scenes "
            "or another model"
        )


def tabulate(
    classifier: Classifier, dataset: Dataset, logits: Float[np.ndarray, "n c"], decision_rule: DecisionRule = "argmax"
) -> pd.DataFrame:
    """Make a prediction table of logits, with the columns of `bglab.results.PREDICTION_SCHEMA`.

    Raises:
        BadInput: If the logits are not finite.
    """
    finite_logits(classifier, torch.from_numpy(logits))
    native = logits.argmax(axis=1)
    to_nine = classifier.spec.space == "imagenet" and dataset.space == "in9"
    top5 = _highest(logits, 5)
    predicted = Predicted(
        native=native,
        prediction=decide_in9(logits, decision_rule) if to_nine else native,
        top5=list(top5),
        confidence=softmax(logits).max(axis=1).astype(np.float32),
    )
    return prediction_table(
        dataset,
        predicted,
        model=classifier.spec.id,
        key=run_key(classifier, dataset, decision_rule),
        native_space=classifier.spec.space,
    )


def encode_predictions(tables: Sequence[pd.DataFrame], rejected: Sequence[Rejection] = ()) -> bytes:
    """Encode a part of a prediction table, for `PredictionWriter`.

    Args:
        tables: From `tabulate`, in order.
        rejected: Scenes that were skipped as unusable.
    """
    import pandas as pd

    none = prediction_rows(PREDICTION_SCHEMA.empty_table())
    return encode_part(pd.concat(tables, ignore_index=True) if tables else none, PREDICTION_SCHEMA, rejected)


def _highest(logits: Float[np.ndarray, "n c"], count: int) -> Int[np.ndarray, "n k"]:
    """Return the classes of highest logit, best first; of equal ones the first, so that every machine agrees.

    The first of a stable sort of all classes, in a fraction of its time.
    """
    count = min(count, logits.shape[1])
    found = np.sort(np.argpartition(-logits, count - 1, axis=1)[:, :count], axis=1)
    values = np.take_along_axis(logits, found, axis=1)
    found = np.take_along_axis(found, np.argsort(-values, axis=1, kind="stable"), axis=1)
    tied = (logits >= values.min(axis=1, keepdims=True)).sum(axis=1) > count
    found[tied] = np.argsort(-logits[tied], axis=1, kind="stable")[:, :count]
    return found


class Predicted(NamedTuple):
    """Predictions for the images of a data set, in their order.

    Attributes:
        native: Predicted class among the model's own.
        prediction: Predicted class in the set's own label space, or OUTSIDE.
        top5: The five classes of highest logit among the model's own, best first; empty if unknown.
        confidence: Probability of ``native``, in [0, 1]; NaN if unknown.
    """

    native: Int[np.ndarray, " n"]
    prediction: Int[np.ndarray, " n"]
    top5: Sequence[Sequence[int] | Int[np.ndarray, " k"]]
    confidence: Float[np.ndarray, " n"]


def prediction_table(
    dataset: Dataset, predicted: Predicted, *, model: str, key: str, native_space: str
) -> pd.DataFrame:
    """Put predictions and what the data set knows together, with the columns of `bglab.results.PREDICTION_SCHEMA`.

    Args:
        dataset: Data set that was classified.
        predicted: Predictions for its rows.
        model: URI of the exact weights.
        key: Name of the run's folder, `run_key`.
        native_space: Label space of the model's own classes.
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "model": model,
            "dataset": key,
            "variant": dataset.variant.name,
            "scene": [row.scene for row in dataset.rows],
            "donor": [row.donor for row in dataset.rows],
            "label": np.array([row.label for row in dataset.rows], dtype=np.int64),
            "native_label": np.array([row.native_label for row in dataset.rows], dtype=np.int64),
            "prediction": predicted.prediction,
            "native": predicted.native,
            "top5": predicted.top5,
            "confidence": predicted.confidence,
            "space": dataset.space,
            "native_space": native_space,
        }
    ).reindex(columns=PREDICTION_SCHEMA.names)


def run_key(classifier: Classifier, dataset: Dataset, decision_rule: DecisionRule = "argmax") -> str:
    """Return the folder name of a run: the data set's key, then what differs from the defaults."""
    parts = [dataset.key]
    # at full resolution there is one protocol, which the name already tells
    parts += [classifier.spec.protocol] if dataset.full is None and classifier.spec.protocol != "as-is" else []
    parts += [decision_rule] if decision_rule != "argmax" else []
    parts += [classifier.engine.precision] if classifier.engine.precision != "float32" else []
    return "-".join(parts)


def describe(classifier: Classifier, dataset: Dataset, decision_rule: DecisionRule = "argmax") -> dict[str, Any]:
    """Return the provenance of a prediction table: weights, preprocessing, pixels, decision rule, engine, versions."""
    spec = asdict(classifier.spec)
    resize = spec["input_size"] if spec["fixed_input_size"] else "none: images are fed as they are"
    protocol = classifier.spec.protocol
    if dataset.transform is not None:
        resize = f"prepared, then {dataset.transform.key}"
    if dataset.full is not None:
        resize, protocol = f"at full resolution, then {classifier.spec.transform.key}", "model"
    described = {
        "model": classifier.spec.id,
        "tag": spec["tag"],
        "weights_sha256": spec["sha256"],
        "file_sha256": spec["file_sha256"],
        "preprocessing": {
            "protocol": protocol,
            "mean": list(spec["mean"]),
            "std": list(spec["std"]),
            "resize": resize,
        },
        "decision_rule": decision_rule,
        "engine": classifier.engine.name,
        "precision": classifier.engine.precision,
        "device": _device_name(classifier.engine.device),
        "dataset": run_key(classifier, dataset, decision_rule),
        **describe_dataset(dataset),
        **{name: spec[name] for name in ("code_sha256", "outputs_sha256") if spec[name]},
        **({"deterministic": True} if classifier.engine.deterministic else {}),
    }
    return described | (_describe_streaming(classifier, dataset) if dataset.full else {"rows": len(dataset)})


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return the part of the provenance that does not depend on the classifier: scenes, variant, pixels, versions."""
    return {
        "scenes": dataset.name,
        "scenes_uri": dataset.uri,
        "classes": list(dataset.classes),
        "variant": dataset.variant.name,
        "rule": repr(dataset.variant),
        "resolution": dataset.resolution,
        "published": dataset.published,
        "seed": dataset.seed,
        "size": dataset.prepared_size or dataset.size,
        "rejected": [list(r) for r in dataset.rejected],
        "fingerprint": dataset.fingerprint,
        "pixels": dataset.digest,
        "versions": versions(),
        "commit": commit(),
    }


def _describe_streaming(classifier: Classifier, dataset: Dataset) -> dict[str, Any]:
    """Return the provenance specific to full resolution; the number of rows is not known in advance."""
    full = dataset.full
    assert full is not None, "only full-resolution data sets have it"
    transform = asdict(classifier.spec.transform)
    return {
        "transform": transform | {"mean": list(transform["mean"])},
        "streaming": asdict(full.settings) | {"textures": full.textures.source, "backdrops": full.backdrops.source},
        "area": full.census.text,
    }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine() if device.type == "cpu" else str(device)
