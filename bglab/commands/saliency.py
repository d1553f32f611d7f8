"""`bglab saliency`: explain variants and measure the maps against the objects' masks."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bglab.commands._options import (
    add_engine_options,
    command,
    load,
    positive,
    report_notices,
    report_rejections,
    watched,
)
from bglab.errors import BadInput

if TYPE_CHECKING:
    from bglab.saliency import TargetRule
    from bglab.variants import Dataset, Variant

_RULES = ("predicted", "true", "background")


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `saliency`."""
    saliency = command(verbs, "saliency", run_saliency)
    saliency.add_argument("--scenes", required=True, help="for example sample, synthetic9?rho=1, in9:PATH")
    saliency.add_argument("-m", "--model", required=True, help="for example lite:efficientnet_lite0")
    saliency.add_argument("--results", required=True, help="folder for result files; finished ones are kept")
    saliency.add_argument("--variants", nargs="+", default=["original", "mixed_same", "mixed_rand"])
    saliency.add_argument("--published", action="store_true", help="use the release's own pixels")
    saliency.add_argument("--method", default="grad_cam", help="for example grad_cam, input_gradient, occlusion")
    saliency.add_argument(
        "--target",
        default="predicted",
        help=f"the class explained: {', '.join(_RULES)}, or an index among the model's classes (default: %(default)s)",
    )
    saliency.add_argument("--csv", help="write one row per image here, too")
    saliency.add_argument("-b", "--batch-size", type=positive, default=32)
    add_engine_options(saliency)
    saliency.add_argument("--seed", type=int, default=0, help="of donors, textures and noise")
    saliency.add_argument("--size", type=positive, default=224, help="side of the images in pixels")


def run_saliency(options: argparse.Namespace) -> int:
    """Explain variants with a model and measure how much of what it looks at lies on the object."""
    from pathlib import Path

    from bglab.analysis import localisation_summary, to_markdown
    from bglab.files import writable_folder
    from bglab.saliency import saliency_table
    from bglab.scenes import open_scenes, prepare
    from bglab.variants import find_variant, open_published

    target = read_target(options.target)
    variants: list[str | Variant | Dataset] = [find_variant(name) for name in options.variants]
    writable_folder(Path(options.results))
    scenes = open_scenes(options.scenes)
    report_notices(scenes)
    classifier = load(options.model, options)
    prepared = prepare(scenes, options.size, progress=watched())
    if options.published:
        variants = [open_published(scenes, v, size=options.size, progress=watched()) for v in options.variants]
    rows = saliency_table(
        classifier,
        prepared,
        variants,
        method=options.method,
        target=target,
        seed=options.seed,
        results=options.results,
        batch_size=options.batch_size,
        progress=watched(),
    )
    report_rejections(prepared.rejected)
    summary = localisation_summary(rows, by=["variant"])
    print(f"{classifier.spec.id} on {prepared.scenes.name}: {options.method} of the class '{options.target}', in %,")
    print("with 95 % intervals over scenes; chance is what a map that knows nothing would score (auc: 50),")
    print("drift a rank correlation × 100 with the map of the same class on Original")
    left_out = [name for name in summary.columns if name.startswith("iou")]  # the csv has it
    print(to_markdown(summary.drop(columns=[*left_out, "auc_chance"])))
    if options.csv:
        rows.to_csv(options.csv, index=False)
        print(options.csv)
    return 0


def read_target(text: str) -> TargetRule:
    """Read the class to explain: a rule, or an index.

    Raises:
        BadInput: If it is neither.
    """
    for rule in _RULES:
        if text == rule:
            return rule
    if not text.isdecimal():
        raise BadInput(f"expected --target {', '.join(_RULES)} or the index of a class, got '{text}'")
    return int(text)
