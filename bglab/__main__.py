"""The `bglab` command: arguments in, the library's verbs, sentences out."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bglab import __version__
from bglab.errors import BadInput, MissingData, UnknownName

if TYPE_CHECKING:
    import pandas as pd

    from bglab.classifiers import Classifier
    from bglab.prepared import PreparedScenes
    from bglab.scenes import Rejection, SceneSet

#: Packs that need no download beyond pip and apt.
PACKS = ("sample", "cutouts", "synthetic9")
#: Columns of `bglab accuracy`, which scripts rely on.
ACCURACY_COLUMNS = ("model", "dataset", "variant", "space", "n", "top1", "top1_low", "top1_high", "top5")
_LISTED_REJECTIONS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an error is one sentence on stderr and exit status 2.

    Args:
        arguments: Without the program's name; None takes the process's own.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="bglab: %(message)s")
    try:
        return options.run(options)
    except (BadInput, MissingData, UnknownName) as problem:
        if options.debug:
            raise
        _say_error(str(problem))
        return 2
    except KeyboardInterrupt:
        _say_error("stopped; what was finished is kept, and the same command goes on from there")
        return 130


def _watched() -> bool:
    """Say whether a person watches: a progress bar in a log file is only noise."""
    return sys.stderr.isatty()


def _say_error(sentence: str) -> None:
    print(f"bglab: {sentence}", file=sys.stderr)


def run_lab(options: argparse.Namespace) -> int:
    """Open JupyterLab on the notebooks."""
    from bglab.jupyter import run_lab as start

    return start(options.port, open_browser=not options.no_browser)


def run_doctor(options: argparse.Namespace) -> int:
    """Report on this machine; status 1 if the lab cannot run."""
    from bglab.doctor import examine

    findings = examine()
    width = max(len(f.what) for f in findings)
    for finding in findings:
        print(f"{finding.what:<{width}}  {finding.state}{f'  → {finding.remedy}' if finding.remedy else ''}")
    lacking = [f for f in findings if f.needed]
    for finding in lacking:
        _say_error(f"the lab cannot run without {finding.what}; {finding.remedy}")
    return 1 if lacking else 0


def run_data_list(options: argparse.Namespace) -> int:
    """List packs and archives, and whether they are here."""
    from bglab.archives import archives
    from bglab.sources import schemes

    print("Scenes open as", ", ".join(f"{scheme}:" for scheme in schemes()))
    print("\nPacks without a download (bglab data prepare):", ", ".join(PACKS))
    print("\nArchives (bglab data fetch NAME):")
    for archive in archives().values():
        state = f"here, {archive.path}" if archive.is_here else "not here"
        print(f"  {archive.name}: {archive.title}\n    {state}; licence: {archive.licence}")
    return 0


def run_data_fetch(options: argparse.Namespace) -> int:
    """Download one archive."""
    from bglab.archives import fetch

    print(fetch(options.name))
    return 0


def run_data_prepare(options: argparse.Namespace) -> int:
    """Fetch what a pack needs and decode it once; without names all packs, and none of them is a must."""
    from bglab.archives import fetch
    from bglab.prepared import prepare
    from bglab.sources import open_scenes

    for pack in options.packs or PACKS:
        try:
            if pack == "cutouts":
                fetch("cutouts")
            prepared = prepare(open_scenes(pack), options.size, progress=_watched())
        except (MissingData, BadInput) as problem:
            if options.packs:
                raise
            _say_error(f"going on without {pack}: {problem}")
            continue
        print(f"{pack}: {len(prepared)} scenes at {prepared.size} px")
        _report_rejections(prepared.rejected)
    return 0


def run_data_check(options: argparse.Namespace) -> int:
    """Read every scene of a set and report what was found."""
    from bglab.prepared import prepare
    from bglab.sources import open_scenes

    scenes = open_scenes(options.scenes)
    prepared = prepare(scenes, options.size, progress=_watched())
    _report_notices(scenes)
    counts = Counter(prepared.scenes.labels.tolist())
    print(f"{scenes.name}: {len(prepared)} usable scenes of {len(scenes) + len(scenes.rejected)}")
    for label, count in sorted(counts.items()):
        print(f"  {scenes.classes[label] if label >= 0 else '(outside)'}: {count}")
    print(f"  without background to tile: {int((~prepared.has_plate).sum())}")
    print(f"  foreground: {100 * prepared.masks.mean():.1f} % of the pixels on average")
    _report_rejections(prepared.rejected, at_most=None)
    return 0


def run_predict(options: argparse.Namespace) -> int:
    """Classify variants with models; every finished pair is a file, and one bad model does not stop the others."""
    from bglab.archives import writable_folder
    from bglab.prepared import prepare
    from bglab.sources import open_scenes
    from bglab.variants import find_variant

    variants = [find_variant(name).name for name in options.variants]
    writable_folder(Path(options.results))
    scenes = open_scenes(options.scenes)
    _report_notices(scenes)
    # composed variants of every model share one reading of the set; a release's own pictures need none
    source = scenes if options.published else prepare(scenes, options.size, progress=_watched())
    failures = 0
    for model in options.models:
        try:
            classifier = _load(model, options)
        except (BadInput, MissingData, UnknownName) as problem:
            if options.debug or len(options.models) == 1:
                raise
            _say_error(f"going on without {model}: {problem}")
            failures += 1
            continue
        for variant in variants:
            _predict_one(classifier, source, variant, options)
    return 2 if failures else 0


def _load(model: str, options: argparse.Namespace) -> Classifier:
    from bglab.classifiers import load_classifier

    return load_classifier(
        model,
        engine=options.engine,
        device=options.device,
        amp_dtype=options.amp_dtype,
        torchcompile=options.torchcompile,
    )


def _predict_one(
    classifier: Classifier, scenes: SceneSet | PreparedScenes, variant: str, options: argparse.Namespace
) -> None:
    from bglab.datasets import compose, open_published
    from bglab.inference import predict
    from bglab.scenes import SceneSet

    if isinstance(scenes, SceneSet):
        dataset = open_published(scenes, variant, size=options.size, progress=_watched())
    else:
        dataset = compose(scenes, variant, seed=options.seed)
    table = predict(
        classifier,
        dataset,
        results=options.results,
        batch_size=options.batch_size,
        decision_rule=options.decision_rule,
        progress=_watched(),
    )
    right = (table["label"].to_numpy() == table["prediction"].to_numpy()).mean()
    speed = table.attrs["images_per_s"]
    print(f"{classifier.spec.id} {variant}: {len(table)} pictures, {100 * right:.1f} % right, {speed:.0f} pictures/s")
    _report_rejections(dataset.rejected)


def run_accuracy(options: argparse.Namespace) -> int:
    """Print the accuracy of everything in a results folder, or write it as csv."""
    from bglab import tables
    from bglab.metrics import accuracy
    from bglab.results import read_predictions

    by = [name.strip() for name in options.by.split(",") if name.strip()]
    table = accuracy(read_predictions(options.results), by=by, space=options.space)
    if options.csv:
        _contract_columns(table, by).to_csv(options.csv, index=False)
        print(options.csv)
    else:
        print(tables.to_markdown(table))
    return 0


def _contract_columns(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Bring an accuracy table into the promised columns; one that was pooled over says so."""
    filled = table.copy()
    for name in ACCURACY_COLUMNS:
        if name not in filled:
            filled[name] = "(all)"
    return filled.reindex(columns=[*ACCURACY_COLUMNS, *(name for name in by if name not in ACCURACY_COLUMNS)])


def _report_notices(scenes: SceneSet) -> None:
    for notice in scenes.notices:
        _say_error(f"notice: {notice}")


def _report_rejections(rejected: Sequence[Rejection], at_most: int | None = _LISTED_REJECTIONS) -> None:
    """Name and count what takes no part."""
    if not rejected:
        return
    _say_error(f"notice: {len(rejected)} scenes take no part:")
    for rejection in rejected[:at_most]:
        named = rejection.file or rejection.scene
        reason = rejection.reason if named in rejection.reason else f"{named}: {rejection.reason}"
        print(f"  {reason}", file=sys.stderr)
    if at_most is not None and len(rejected) > at_most:
        print(f"  … and {len(rejected) - at_most} more; bglab data check lists all", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Words a wrong command line as one sentence."""

    def error(self, message: str) -> NoReturn:
        """Say what was wrong and where the help is."""
        self.exit(2, f"bglab: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = _Parser(prog="bglab", description="How much does an image classifier lean on the background?")
    parser.add_argument("--version", action="version", version=f"bglab {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    lab = _command(verbs, "lab", run_lab)
    lab.add_argument("--port", type=int, help="default: the first free one from 8888 on")
    lab.add_argument("--no-browser", action="store_true", help="only print the address")

    _command(verbs, "doctor", run_doctor)
    _data_commands(verbs)
    _predict_command(verbs)

    accuracy = _command(verbs, "accuracy", run_accuracy)
    accuracy.add_argument("--results", required=True, help="folder given to bglab predict")
    accuracy.add_argument("--by", default="model,dataset,variant", help="columns to group by (default: %(default)s)")
    accuracy.add_argument("--space", choices=("in9", "native"), help="default: the scenes' own")
    accuracy.add_argument("--csv", help="write here instead of printing")
    return parser


def _command(verbs: argparse._SubParsersAction, name: str, run: Callable) -> argparse.ArgumentParser:
    """Add one command, described by the first line of its function."""
    summary = (run.__doc__ or "").split("\n", maxsplit=1)[0]
    command = verbs.add_parser(name, help=summary, description=summary)
    command.add_argument("--debug", action="store_true", help="show a traceback with an error")
    command.set_defaults(run=run)
    return command


def _data_commands(verbs: argparse._SubParsersAction) -> None:
    data = verbs.add_parser("data", help="List, fetch, prepare and check data.")
    kinds = data.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _command(kinds, "list", run_data_list)
    prepare = _command(kinds, "prepare", run_data_prepare)
    prepare.add_argument("packs", nargs="*", metavar="PACK", help=f"of {', '.join(PACKS)}; default: all")
    prepare.add_argument("--size", type=int, default=224, help="side in pixels (default: %(default)s)")
    fetch = _command(kinds, "fetch", run_data_fetch)
    fetch.add_argument("name", metavar="NAME", help="see bglab data list")
    check = _command(kinds, "check", run_data_check)
    check.add_argument("scenes", metavar="SCENES", help="for example in9:PATH")
    check.add_argument("--size", type=int, default=224, help="side in pixels (default: %(default)s)")


def _predict_command(verbs: argparse._SubParsersAction) -> None:
    predict = _command(verbs, "predict", run_predict)
    predict.add_argument("--scenes", required=True, help="for example sample, synthetic9?rho=1, in9:PATH")
    predict.add_argument("-m", "--models", required=True, nargs="+", help="for example lite:efficientnet_lite0")
    predict.add_argument("--variants", required=True, nargs="+", help="for example original mixed_same mixed_rand")
    predict.add_argument("--results", required=True, help="folder for result files; finished ones are kept")
    predict.add_argument("--published", action="store_true", help="use the release's own pixels")
    predict.add_argument("-b", "--batch-size", type=_positive, default=64)
    predict.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    predict.add_argument("--engine", default="auto", choices=("auto", "torch", "openvino"))
    predict.add_argument("--amp-dtype", default="none", choices=("none", "bfloat16", "float16"))
    predict.add_argument("--torchcompile", action="store_true")
    predict.add_argument("--decision-rule", default="argmax", choices=("argmax", "restricted", "summed"))
    predict.add_argument("--seed", type=int, default=0, help="of donors, textures and noise")
    predict.add_argument("--size", type=_positive, default=224, help="side of the pictures in pixels")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
