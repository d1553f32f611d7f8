"""`bglab import`: read predictions of a model that bglab did not run."""

from __future__ import annotations

import argparse

from bglab.commands._options import (
    add_results_option,
    add_variant_options,
    command,
    print_error,
    report_notices,
    watched,
)


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `import`."""
    reader = command(verbs, "import", run_import)
    reader.add_argument(
        "--csv",
        required=True,
        metavar="FILE",
        help="table with the columns file_name, predicted_class and optionally predicted_probability, model, variant "
        "(or bglab's own): CSV, parquet or JSON lines",
    )
    reader.add_argument("--scenes", required=True, help="the images that were classified, for example in9:PATH")
    reader.add_argument(
        "--model", default="", help="name of the model, stored as imported:NAME (default: the column model)"
    )
    reader.add_argument(
        "--variant", default="", help="variant that the images show, for example original (default: the column variant)"
    )
    add_results_option(reader, "folder for result files, as of bglab predict")
    reader.add_argument(
        "--classes",
        choices=("imagenet", "in9", "scenes"),
        help="whose classes the table means: ImageNet's, the nine of ImageNet-9, or those of the scenes (default: "
        "names, WordNet ids and indices beyond the scenes' classes decide)",
    )
    add_variant_options(reader)


def run_import(options: argparse.Namespace) -> int:
    """Read predictions that another program made, and store them as bglab predict does."""
    from bglab.evaluation import import_notices, import_predictions
    from bglab.files import writable_folder
    from bglab.scenes import open_scenes

    writable_folder(options.results)
    scenes = open_scenes(options.scenes)
    report_notices(scenes)
    tables = import_predictions(
        options.csv,
        scenes=scenes,
        model=options.model,
        variant=options.variant,
        classes=options.classes,
        published=options.published,
        resolution=options.resolution,
        size=options.size,
        seed=options.seed,
        results=options.results,
        progress=watched(),
    )
    for notice in import_notices(tables):
        print_error(f"notice: {notice}")
    for table in tables:
        made = table.attrs
        correct = (table["label"].to_numpy() == table["prediction"].to_numpy()).mean()
        where = " at full resolution" if made["resolution"] == "full" else ""
        print(f"{made['model']} {made['variant']}{where}: {len(table)} images, {100 * correct:.1f} % correct")
    return 0
