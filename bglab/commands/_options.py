"""Functions that the commands share: adding a command, its engine options, and reporting notices."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from bglab.errors import printable

if TYPE_CHECKING:
    from bglab.models import Classifier, EngineChoice
    from bglab.scenes import Rejection, SceneSet
    from bglab.variants import Dataset

#: Help for options that take several models.
MODELS_HELP = "for example lite:efficientnet_lite0; thirty-two, table-1 and today are lists of bglab.models.model_lists"
_LISTED_REJECTIONS = 10


def command(verbs: argparse._SubParsersAction, name: str, run: Callable) -> argparse.ArgumentParser:
    """Add a command, described by the first line of its function's docstring."""
    summary = (run.__doc__ or "").split("\n", maxsplit=1)[0]
    # argparse reads % in a help text as a format, and in a description as itself
    parser = verbs.add_parser(name, help=summary.replace("%", "%%"), description=summary)
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    parser.set_defaults(run=run)
    return parser


@contextmanager
def importing() -> Iterator[None]:
    """Import modules without garbage collection: there is nothing to free, and looking takes a sixth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def add_results_option(parser: argparse.ArgumentParser, what: str, *, required: bool = True) -> None:
    """Add the folder of results, which `bglab.locations.place_of` reads.

    Args:
        parser: The command's.
        what: What the folder is, for the help.
        required: Whether the command needs one.
    """
    parser.add_argument(
        "--results",
        required=required,
        metavar="FOLDER",
        help=f"{what}; a path, or the URL of a store that fsspec knows, such as s3://bucket/lab",
    )


def add_variant_options(parser: argparse.ArgumentParser) -> None:
    """Add what `composed` reads: whose pixels, and how variants are made."""
    parser.add_argument("--published", action="store_true", help="use the release's own pixels")
    parser.add_argument(
        "--resolution",
        choices=("prepared", "full"),
        help="make variants on images of --size pixels, or on the photograph before the model's own resize and crop "
        "(default: full for the variants of Time for a Background Check! on imagenet:, voc:, caltech101: and coco:)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of donors, textures and noise")
    parser.add_argument("--size", type=positive, default=224, help="side of prepared images in pixels")


def composed(
    scenes: SceneSet,
    variants: Sequence[str],
    options: argparse.Namespace,
    failures: list[str],
    *,
    masked_only: bool = False,
) -> tuple[Dataset, ...]:
    """Compose variants, or open a release's own images of them, as the variant options say.

    Args:
        scenes: The scenes.
        variants: Names of the variants.
        options: Options of `add_variant_options`.
        failures: Takes the names of variants that these scenes do not have, which are skipped.
        masked_only: Whether only scenes with a mask are used.

    Raises:
        UnknownName: If there is no such variant.
        BadInput: If none of the variants can be made.
        MissingData: If none of them is on this machine.
    """
    from bglab.errors import BadInput, MissingData

    try:
        # all at once, since variants at full resolution share one pass
        return _composed(scenes, variants, options, masked_only=masked_only)
    except (BadInput, MissingData):
        if len(variants) == 1:
            raise
        datasets: list[Dataset] = []
        reasons: dict[str, str] = {}
        for name in variants:
            try:
                datasets += _composed(scenes, [name], options, masked_only=masked_only)
            except (BadInput, MissingData) as problem:
                reasons[name] = str(problem)
        if not datasets:
            raise
    for name, reason in reasons.items():
        print_error(f"skipping {name}: {reason}")
    failures += reasons
    return tuple(datasets)


def _composed(
    scenes: SceneSet, variants: Sequence[str], options: argparse.Namespace, *, masked_only: bool
) -> tuple[Dataset, ...]:
    from bglab.errors import BadInput
    from bglab.variants import compose_all, find_variant, open_published

    if not options.published:
        datasets = compose_all(
            scenes,
            variants,
            seed=options.seed,
            size=options.size,
            resolution=options.resolution,
            masked_only=masked_only,
            progress=watched(),
        )
        for full in {id(d.full): d.full for d in datasets if d.full is not None}.values():
            print_error(f"notice: at full resolution, {full.census.text}")
        return datasets
    if options.resolution == "full":
        raise BadInput("expected --published or --resolution full, got both; a release's own images have one size")
    names = [find_variant(name).name for name in variants]
    return tuple(open_published(scenes, name, size=options.size, progress=watched()) for name in names)


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `load` reads, named as in timm."""
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, or several for one process each: cuda:0,cuda:1"
    )
    parser.add_argument("--engine", default="auto", choices=("auto", "torch", "openvino"))
    parser.add_argument(
        "--amp-dtype",
        default="none",
        choices=("none", "tf32", "bfloat16", "float16"),
        help="precision: none is IEEE float32, tf32 rounds the inputs of products to 10 bits (NVIDIA GPUs only)",
    )
    parser.add_argument("--torchcompile", action="store_true")
    add_deterministic_option(parser)
    parser.set_defaults(protocol="as-is")


def add_deterministic_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of algorithms, for predictions and for training."""
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="use only algorithms that return the same bits each time; slower on GPUs, and CPUs always do",
    )


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add who computes, which `workers` reads: this process, one process per device, or a Ray cluster."""
    parser.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="compute on a Ray cluster: HOST:PORT, auto for the one that this machine belongs to (the default), or "
        "local to start one here",
    )
    parser.add_argument("--worker-cpus", type=positive, metavar="N", help="cores of a worker of --ray")
    parser.add_argument("--worker-gpus", type=float, metavar="N", help="GPUs of a worker of --ray, such as 1 or 0.5")


@contextmanager
def workers(options: argparse.Namespace) -> Iterator[None]:
    """Start the workers that the options ask for, and end them with the command.

    Raises:
        BadInput: If options of Ray are given without it, or there is no such cluster or device.
        MissingData: If Ray is not installed.
    """
    if not hasattr(options, "ray"):
        yield
        return
    address, devices = options.ray, str(getattr(options, "device", "")).split(",")
    from bglab.errors import BadInput

    given = [f"--worker-{kind}" for kind in ("cpus", "gpus") if getattr(options, f"worker_{kind}") is not None]
    if address is None and given:
        raise BadInput(f"expected --ray with {given[0]}, got none; add --ray, or leave {given[0]} out")
    if address is not None and len(devices) > 1:
        raise BadInput("expected one --device with --ray, whose workers have one each; leave one of them out")
    if address is None and len(devices) == 1:
        yield
        return
    from bglab.executors import connect

    if address is None:
        from bglab.models import pick_device

        for device in devices:
            pick_device(device)
        options.device = devices[0]
        with connect(devices=devices):
            yield
    else:
        with connect(address, worker_cpus=options.worker_cpus, worker_gpus=options.worker_gpus):
            yield


def add_protocol_option(parser: argparse.ArgumentParser) -> None:
    """Add how prepared images reach the network, which `load` reads, too."""
    parser.add_argument(
        "--protocol",
        choices=("as-is", "reference", "model"),
        help="how prepared images reach the network: as-is does not resize and uses the weights' own mean and standard "
        "deviation; reference does not resize and uses one mean and standard deviation for all, as the released code "
        "of Noise or Signal; model resizes, crops and normalises as the weights were evaluated (default: %(default)s)",
    )


def engine_choice(options: argparse.Namespace) -> EngineChoice:
    """Return the engine options of a command as one value."""
    from bglab.models import EngineChoice

    return EngineChoice(
        options.engine,
        options.device,
        options.amp_dtype,
        torchcompile=options.torchcompile,
        deterministic=options.deterministic,
    )


def load(model: str, options: argparse.Namespace) -> Classifier:
    """Load a classifier with the engine options of the command line, and report what was read or assumed for it."""
    from bglab.models import load_classifier

    classifier = load_classifier(model, **asdict(engine_choice(options)), protocol=options.protocol)
    for note in classifier.notes:
        print_error(f"notice: {classifier.spec.id}: {note}")
    return classifier


def check_outputs(*files: str | None) -> None:
    """Check before the work begins that the files of its result can be written; their folders are created.

    Args:
        *files: Files named by options; None for an option that was not given.

    Raises:
        BadInput: If one cannot be written.
    """
    from bglab.files import writable_file

    for file in files:
        if file is not None:
            writable_file(file)


def report_failures(failures: Sequence[str], count: int, what: str) -> int:
    """Name what failed at the end of a command that did the rest, and return its exit status.

    Args:
        failures: Names of what failed.
        count: How many were asked for.
        what: What they are, such as ``models``.

    Returns:
        0 if none failed, 1 if some did, 2 if all did.
    """
    if not failures:
        return 0
    print_error(f"{len(failures)} of {count} {what} failed: {', '.join(failures)}; the reasons are above")
    return 2 if len(failures) == count else 1


def report_damaged(damaged: Sequence[str]) -> int:
    """Name the files of results that were passed over at the end of a command, and return its exit status.

    Args:
        damaged: What is wrong with each.
    """
    for reason in damaged:
        print_error(f"left out: {reason}")
    if damaged:
        print_error(f"{len(damaged)} files of results could not be read; the numbers above are without them")
    return 1 if damaged else 0


def positive(text: str) -> int:
    """Parse an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return number


def watched() -> bool:
    """Check whether stderr is a terminal, since progress bars do not belong in log files."""
    return sys.stderr.isatty()


@contextmanager
def progress_lines() -> Iterator[None]:
    """Write progress to stderr every half minute if it is no terminal, where there are no bars."""
    if watched():
        yield
        return
    from bglab.progress import Lines, watching

    with watching(Lines(cast(Any, sys.stderr))):
        yield


def print_error(sentence: str) -> None:
    """Write one sentence to stderr."""
    print(f"bglab: {printable(sentence)}", file=sys.stderr)


def report_notices(scenes: SceneSet) -> None:
    """Write the notices of a source to stderr, such as files it skipped while it was opened."""
    for notice in scenes.notices:
        print_error(f"notice: {notice}")


def report_rejections(rejected: Sequence[Rejection], at_most: int | None = _LISTED_REJECTIONS) -> None:
    """Write to stderr how many scenes were skipped, with the first reasons.

    Args:
        rejected: Scenes that were skipped.
        at_most: Largest number of reasons; None writes all.
    """
    if not rejected:
        return
    print_error(f"notice: {len(rejected)} scenes skipped:")
    for rejection in rejected[:at_most]:
        named = rejection.file or rejection.scene
        reason = rejection.reason if named in rejection.reason else f"{named}: {rejection.reason}"
        print(f"  {printable(reason)}", file=sys.stderr)
    if at_most is not None and len(rejected) > at_most:
        print(f"  … and {len(rejected) - at_most} more; list all with bglab data check", file=sys.stderr)
