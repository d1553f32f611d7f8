"""`bglab predict`: classify variants with models."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bglab.commands._options import (
    MODELS_HELP,
    add_engine_options,
    command,
    load,
    positive,
    report_notices,
    report_rejections,
    say_error,
    watched,
)
from bglab.errors import BadInput, MissingData, UnknownName

if TYPE_CHECKING:
    from bglab.models import Classifier
    from bglab.scenes import PreparedScenes, SceneSet


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `predict`."""
    predict = command(verbs, "predict", run_predict)
    predict.add_argument("--scenes", required=True, help="for example sample, synthetic9?rho=1, in9:PATH")
    predict.add_argument("-m", "--models", required=True, nargs="+", help=MODELS_HELP)
    predict.add_argument("--variants", required=True, nargs="+", help="for example original mixed_same mixed_rand")
    predict.add_argument("--results", required=True, help="folder for result files; finished ones are kept")
    predict.add_argument("--published", action="store_true", help="use the release's own pixels")
    predict.add_argument("-b", "--batch-size", type=positive, default=64)
    add_engine_options(predict)
    predict.add_argument("--decision-rule", default="argmax", choices=("argmax", "restricted", "summed"))
    predict.add_argument("--seed", type=int, default=0, help="of donors, textures and noise")
    predict.add_argument("--size", type=positive, default=224, help="side of the images in pixels")


def run_predict(options: argparse.Namespace) -> int:
    """Classify variants with models; every finished pair is a file, and one bad model does not stop the others."""
    from bglab.files import writable_folder
    from bglab.models import expand
    from bglab.scenes import open_scenes, prepare
    from bglab.variants import find_variant

    variants = [find_variant(name).name for name in options.variants]
    writable_folder(Path(options.results))
    scenes = open_scenes(options.scenes)
    report_notices(scenes)
    # composed variants of every model share one reading of the set; a release's own images need none
    source = scenes if options.published else prepare(scenes, options.size, progress=watched())
    models, failures = expand(options.models), 0
    for model in models:
        try:
            classifier = load(model, options)
        except (BadInput, MissingData, UnknownName) as problem:
            if options.debug or len(models) == 1:
                raise
            say_error(f"going on without {model}: {problem}")
            failures += 1
            continue
        for variant in variants:
            _predict_one(classifier, source, variant, options)
    return 2 if failures else 0


def _predict_one(
    classifier: Classifier, scenes: SceneSet | PreparedScenes, variant: str, options: argparse.Namespace
) -> None:
    from bglab.evaluation import predict
    from bglab.scenes import SceneSet
    from bglab.variants import compose, open_published

    if isinstance(scenes, SceneSet):
        dataset = open_published(scenes, variant, size=options.size, progress=watched())
    else:
        dataset = compose(scenes, variant, seed=options.seed)
    table = predict(
        classifier,
        dataset,
        results=options.results,
        batch_size=options.batch_size,
        decision_rule=options.decision_rule,
        progress=watched(),
    )
    right = (table["label"].to_numpy() == table["prediction"].to_numpy()).mean()
    speed = table.attrs["images_per_s"]
    print(f"{classifier.spec.id} {variant}: {len(table)} images, {100 * right:.1f} % right, {speed:.0f} images/s")
    report_rejections(dataset.rejected)
