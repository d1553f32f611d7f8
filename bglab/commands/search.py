"""`bglab search`: find the foregrounds for which some background fools the classifier."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from bglab.commands._options import (
    add_engine_options,
    add_protocol_option,
    add_results_option,
    add_worker_options,
    check_outputs,
    command,
    load,
    positive,
    report_notices,
    report_rejections,
    watched,
)

if TYPE_CHECKING:
    from bglab.models import Classifier
    from bglab.results import Protocol
    from bglab.scenes import PreparedScenes


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `search`."""
    search = command(verbs, "search", run_search)
    search.add_argument("--scenes", required=True, help="for example sample, synthetic9?rho=1, in9:PATH")
    search.add_argument("-m", "--model", required=True, help="for example lite:efficientnet_lite0")
    add_results_option(search, "folder for result files; finished rows are reused")
    search.add_argument(
        "--mode",
        default="matrix",
        choices=("matrix", "first-hit"),
        help="try every pair, or for each foreground stop at the first background that fools the classifier "
        "(default: %(default)s)",
    )
    search.add_argument("--json", help="write the numbers to this file instead of printing them")
    search.add_argument(
        "-b", "--batch-size", type=positive, help="images per forward pass (default: depends on the device)"
    )
    search.add_argument(
        "--foregrounds-per-class",
        type=positive,
        default=0,
        help="number of foregrounds of each class to search (default: all)",
    )
    search.add_argument(
        "--backgrounds-per-class",
        type=positive,
        default=0,
        help="number of backgrounds of each class to try (default: all)",
    )
    search.add_argument("--no-own-class", action="store_true", help="skip backgrounds of the foreground's class")
    search.add_argument("--no-own-image", action="store_true", help="skip the foreground's own background")
    search.add_argument("--only-right", action="store_true", help="skip foregrounds that are misclassified on Original")
    search.add_argument("--size", type=positive, default=224, help="side of the images in pixels")
    add_engine_options(search)
    add_worker_options(search)
    add_protocol_option(search)


def run_search(options: argparse.Namespace) -> int:
    """Search adversarial backgrounds: classify foregrounds on the tiled backgrounds of all scenes."""
    from bglab.files import writable_folder, write_text
    from bglab.scenes import open_scenes, prepare

    writable_folder(options.results)
    check_outputs(options.json)
    scenes = open_scenes(options.scenes)
    report_notices(scenes)
    prepared = prepare(scenes, options.size, progress=watched())
    report_rejections(prepared.rejected)
    run = {"matrix": _matrix, "first-hit": _first_hit}[options.mode]
    numbers = run(load(options.model, options), prepared, options)
    text = json.dumps(numbers, indent=2)
    if options.json:
        write_text(options.json, text + "\n", what="the numbers")
        print(options.json)
    else:
        print(text)
    return 0


def _matrix(classifier: Classifier, prepared: PreparedScenes, options: argparse.Namespace) -> dict[str, Any]:
    from bglab.analysis import file_order_forwards, summarise
    from bglab.search import search_matrix

    pairs = search_matrix(
        classifier,
        prepared,
        results=options.results,
        protocol=_protocol(options),
        batch_size=options.batch_size or "auto",
        progress=watched(),
    )
    run = {"forwards": pairs.evaluated, **{name: pairs.run.get(name) for name in ("seconds", "images_per_s")}}
    return {"mode": "matrix", **summarise(pairs), **run, "forwards_in_file_order": file_order_forwards(pairs)}


def _first_hit(classifier: Classifier, prepared: PreparedScenes, options: argparse.Namespace) -> dict[str, Any]:
    """Search under both criteria; the second search reuses the predictions of the first."""
    from bglab.search import first_hit, summarise_hits

    options_of_both = {
        "results": options.results,
        "protocol": _protocol(options),
        "batch_size": options.batch_size or "auto",
        "progress": watched(),
    }
    any_error = first_hit(classifier, prepared, criterion="any", **options_of_both)
    targeted = first_hit(classifier, prepared, criterion="targeted", known=any_error.pairs, **options_of_both)
    return {"mode": "first-hit", **summarise_hits(any_error, targeted)}


def _protocol(options: argparse.Namespace) -> Protocol:
    from bglab.results import Protocol

    return Protocol(
        own_image=not options.no_own_image,
        own_class=not options.no_own_class,
        pool_per_class=options.backgrounds_per_class,
        foregrounds_per_class=options.foregrounds_per_class,
        only_right=options.only_right,
    )
