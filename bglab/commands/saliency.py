"""`bglab saliency`: compute saliency maps of variants and compare them with the foreground masks."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bglab.commands._options import (
    add_engine_options,
    add_protocol_option,
    add_results_option,
    add_variant_options,
    add_worker_options,
    check_outputs,
    command,
    composed,
    load,
    positive,
    report_failures,
    report_notices,
    report_rejections,
    watched,
)
from bglab.errors import BadInput

if TYPE_CHECKING:
    from bglab.saliency import TargetRule

_RULES = ("predicted", "true", "background")


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `saliency`."""
    saliency = command(verbs, "saliency", run_saliency)
    saliency.add_argument("--scenes", required=True, help="for example sample, synthetic9?rho=1, in9:PATH")
    saliency.add_argument("-m", "--model", required=True, help="for example lite:efficientnet_lite0")
    add_results_option(saliency, "folder for result files; finished ones are reused")
    saliency.add_argument(
        "--variants",
        nargs="+",
        default=["original", "mixed_same", "mixed_rand"],
        help="variants to explain (default: original mixed_same mixed_rand)",
    )
    saliency.add_argument(
        "--method", default="grad_cam", help="for example input_gradient, occlusion (default: %(default)s)"
    )
    saliency.add_argument(
        "--target",
        default="predicted",
        help=f"class to explain: {', '.join(_RULES)}, or an index among the model's classes (default: %(default)s)",
    )
    saliency.add_argument("--csv", help="also write one row per image to this file")
    saliency.add_argument(
        "-b", "--batch-size", type=positive, default=32, help="images per forward pass (default: %(default)s)"
    )
    add_engine_options(saliency)
    add_worker_options(saliency)
    add_protocol_option(saliency)
    add_variant_options(saliency)


def run_saliency(options: argparse.Namespace) -> int:
    """Compute saliency maps of variants and measure how much of them lies on the object."""
    from bglab.analysis import localisation_summary, to_markdown
    from bglab.files import writable_folder
    from bglab.results import write_table
    from bglab.saliency import saliency_table
    from bglab.scenes import Rejection, open_scenes, prepare

    target = read_target(options.target)
    writable_folder(options.results)
    check_outputs(options.csv)
    scenes = open_scenes(options.scenes)
    report_notices(scenes)
    classifier = load(options.model, options)
    skipped: list[str] = []
    datasets = composed(scenes, options.variants, options, skipped, masked_only=True)
    prepared = None
    if any(dataset.full is None for dataset in datasets):
        prepared = prepare(scenes, options.size, progress=watched())
    rows = saliency_table(
        classifier,
        prepared or scenes,
        datasets,
        method=options.method,
        target=target,
        seed=options.seed,
        results=options.results,
        batch_size=options.batch_size,
        progress=watched(),
    )
    report_rejections([Rejection(*entry) for entry in rows.attrs["rejected"]])
    # a variant that is made at both resolutions has two data sets, which are never pooled
    pooled = len({*zip(rows["dataset"], rows["variant"], strict=True)}) == len(set(rows["variant"]))
    summary = localisation_summary(rows, by=["variant"] if pooled else ["dataset", "variant"])
    print(f"{classifier.spec.id} on {scenes.name}: {options.method} of the class '{options.target}', in %,")
    print("with 95 % intervals over scenes; chance is the expected value of an uninformative map (auc: 50),")
    print("drift is the rank correlation × 100 with the map of the same class on Original")
    left_out = [name for name in summary.columns if name.startswith("iou")]  # the csv has it
    print(to_markdown(summary.drop(columns=[*left_out, "auc_chance"])))
    if options.csv:
        write_table(rows, options.csv)
        print(options.csv)
    return report_failures(skipped, len(options.variants), "variants")


def read_target(text: str) -> TargetRule:
    """Parse ``--target``: a rule, or the index of a class.

    Raises:
        BadInput: If the text is neither.
    """
    for rule in _RULES:
        if text == rule:
            return rule
    if not text.isdecimal():
        raise BadInput(f"expected --target {', '.join(_RULES)} or the index of a class, got '{text}'")
    return int(text)
