"""`bglab predict`: classify variants with models."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bglab.commands._options import (
    MODELS_HELP,
    add_engine_options,
    add_protocol_option,
    add_results_option,
    add_variant_options,
    add_worker_options,
    command,
    composed,
    importing,
    load,
    positive,
    print_error,
    report_failures,
    report_notices,
    report_rejections,
    watched,
)
from bglab.errors import failure_reason, is_machine_failure

if TYPE_CHECKING:
    import pandas as pd

    from bglab.models import Classifier
    from bglab.variants import Dataset


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `predict`."""
    predict = command(verbs, "predict", run_predict)
    predict.add_argument("--scenes", required=True, help="for example sample, synthetic9?rho=1, in9:PATH")
    predict.add_argument("-m", "--models", required=True, nargs="+", help=MODELS_HELP)
    predict.add_argument("--variants", required=True, nargs="+", help="for example original mixed_same mixed_rand")
    add_results_option(predict, "folder for result files; finished ones are reused")
    predict.add_argument(
        "-b", "--batch-size", type=positive, default=64, help="images per forward pass (default: %(default)s)"
    )
    add_engine_options(predict)
    add_worker_options(predict)
    add_protocol_option(predict)
    predict.add_argument(
        "--decision-rule",
        default="argmax",
        choices=("argmax", "restricted", "summed"),
        help="how a thousand logits become one of nine classes (default: %(default)s)",
    )
    add_variant_options(predict)


def run_predict(options: argparse.Namespace) -> int:
    """Classify variants with models; each result is a file, and a model that fails is named and skipped."""
    with importing():
        from bglab.evaluation import predict_all
        from bglab.files import writable_folder
        from bglab.models import expand
        from bglab.scenes import open_scenes

    writable_folder(options.results)
    scenes = open_scenes(options.scenes)
    report_notices(scenes)
    # read the scenes once for all models
    skipped: list[str] = []
    datasets = composed(scenes, options.variants, options, skipped)
    models = expand(options.models)
    failures: list[str] = []
    for model in models:
        try:
            classifier = load(model, options)
            tables = predict_all(
                classifier,
                datasets,
                results=options.results,
                batch_size=options.batch_size,
                decision_rule=options.decision_rule,
                progress=watched(),
            )
        except Exception as problem:  # noqa: BLE001 - whatever one model raises, the others must still run
            if options.debug or len(models) == 1 or is_machine_failure(problem):
                raise
            print_error(f"skipping {model}: {failure_reason(problem)}")
            failures.append(model)
            continue
        for dataset, table in zip(datasets, tables, strict=True):
            _report(classifier, dataset, table)
    statuses = (
        report_failures(skipped, len(options.variants), "variants"),
        report_failures(failures, len(models), "models"),
    )
    return max(statuses)


def _report(classifier: Classifier, dataset: Dataset, table: pd.DataFrame) -> None:
    """Print accuracy and speed of one variant, and what was skipped."""
    from bglab.scenes import Rejection

    correct = (table["label"].to_numpy() == table["prediction"].to_numpy()).mean()
    where = " at full resolution" if dataset.full else ""
    speed = table.attrs["images_per_s"]
    print(
        f"{classifier.spec.id} {dataset.variant.name}{where}: {len(table)} images, {100 * correct:.1f} % correct, "
        f"{speed:.0f} images/s"
    )
    report_rejections([Rejection(*entry) for entry in table.attrs["rejected"]])
