"""`bglab reproduce`: make the papers' tables and figures, and a report that compares them with the published ones."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bglab.commands._options import (
    MODELS_HELP,
    add_engine_options,
    add_protocol_option,
    add_results_option,
    add_worker_options,
    command,
    engine_choice,
    positive,
    print_error,
    report_notices,
    watched,
)
from bglab.errors import BadInput

if TYPE_CHECKING:
    from bglab.papers import Artefact, Outcome, Reproduction


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `reproduce`."""
    reproduce = command(verbs, "reproduce", run_reproduce)
    reproduce.add_argument("ids", nargs="*", metavar="ID", help="for example nos-table-2 nos-figure-3; see --list")
    reproduce.add_argument("--paper", choices=("nos", "tbc"), help="all tables and figures of one paper")
    reproduce.add_argument(
        "--list", action="store_true", help="list ids and titles, and with --scenes whether each can be made"
    )
    reproduce.add_argument("--scenes", help="test scenes, for example synthetic9, in9:PATH")
    reproduce.add_argument(
        "-m", "--models", nargs="+", help=MODELS_HELP + "; default: the three networks installed with pip"
    )
    reproduce.add_argument("--out", help="folder for the report; predictions are stored in its folder results")
    add_results_option(reproduce, "other folder for predictions and pair matrices", required=False)
    reproduce.add_argument(
        "--imagenet", default="", metavar="URI", help="ImageNet's validation set, for the columns ImageNet and IN-9L"
    )
    reproduce.add_argument(
        "--pairs-per-class", type=int, metavar="N",
        help="scenes per class in the background search, 0 = all (default: 0 on a GPU, else 10)",
    )  # fmt: skip
    reproduce.add_argument("-b", "--batch-size", type=positive, default=64, help="images per forward pass")
    add_engine_options(reproduce)
    add_worker_options(reproduce)
    add_protocol_option(reproduce)
    reproduce.add_argument("--seed", type=int, default=0, help="seed for donors and example images")
    reproduce.add_argument("--size", type=positive, default=224, help="side of the images in pixels")
    reproduce.add_argument(
        "--seed-sd", type=float, default=0.5, metavar="POINTS",
        help="assumed standard deviation of accuracies over training seeds, for the verdicts on retrained networks "
        "(default: %(default)s points)",
    )  # fmt: skip
    reproduce.add_argument(
        "--venue", default="", metavar="NAME",
        help="make figures and tables for a venue's page and fonts: cvpr, eccv, iclr, icml, neurips, tmlr",
    )  # fmt: skip
    reproduce.add_argument(
        "--width", default="column", choices=("column", "full"),
        help="whether they are as wide as a column or as the text of two-column pages (default: %(default)s)",
    )  # fmt: skip
    _add_training_options(reproduce.add_argument_group("trained networks"))


def _add_training_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--trained", type=Path, metavar="DIR", help="folder with trained networks, for example original.pt"
    )
    group.add_argument(
        "--train", default="auto", choices=("auto", "none", "toy", "paper"),
        help="preset for training missing networks; auto: toy if there are training scenes, else none",
    )  # fmt: skip
    group.add_argument(
        "--train-scenes", default="", metavar="URI", help="training scenes (default: generated for synthetic9)"
    )
    group.add_argument("--large-scenes", default="", metavar="URI", help="training scenes that stand in for IN-9L")
    group.add_argument(
        "--train-minutes", type=float, default=20, metavar="N", help="training time limit in minutes (default: 20)"
    )


def run_reproduce(options: argparse.Namespace) -> int:
    """Make tables and figures of the papers, and a report that compares them with the published ones."""
    from bglab.papers import catalogue

    known = catalogue([options.paper] if options.paper else ())
    chosen = [known[name] for name in options.ids] or list(known.values())
    if options.list:
        return _list(chosen, options)
    if not (options.ids or options.paper):
        raise BadInput("expected what to reproduce, got nothing; name an ID or --paper nos; --list shows all")
    for name in ("scenes", "out"):
        if getattr(options, name) is None:
            raise BadInput(f"expected --{name}, got none; write for example --scenes synthetic9 --out report")
    return _reproduce(chosen, options)


def _list(chosen: Sequence[Artefact], options: argparse.Namespace) -> int:
    """Print ids, titles and requirements or, with scenes, whether each artefact can be made."""
    from bglab.papers import first_missing

    reproduction = _open_reproduction(options) if options.scenes else None
    width = max(len(artefact.id) for artefact in chosen)
    for artefact in chosen:
        needed = "; ".join(need.text for need in artefact.needs) or "nothing"
        state, remedy = f"needs {needed}", ""
        if reproduction is not None:
            missing = first_missing(artefact, reproduction)
            state = f"{missing.state}: {missing.reason}" if missing else "ready"
            remedy = f"\n{'':<{width}}    → {missing.command}" if missing and missing.command else ""
        print(f"{artefact.id:<{width}}  {artefact.title}\n{'':<{width}}    {state}{remedy}")
    return 0


def _reproduce(chosen: Sequence[Artefact], options: argparse.Namespace) -> int:
    """Make the artefacts; exit status 1 if some failed, 2 if all did."""
    from bglab.figures import find_venue
    from bglab.files import writable_folder
    from bglab.papers import run, write_report

    if options.seed_sd < 0:
        raise BadInput(f"expected --seed-sd of at least 0 points, got {options.seed_sd:g}; leave it out for 0.5")
    find_venue(options.venue)
    writable_folder(Path(options.out))
    if options.results is not None:
        writable_folder(options.results)
    reproduction = _open_reproduction(options)
    report_notices(reproduction.scenes)
    width = max(len(artefact.id) for artefact in chosen)

    def print_outcome(outcome: Outcome) -> None:
        why = f": {outcome.reason}" if outcome.status in _EXPLAINED else ""
        print(f"{outcome.artefact.id:<{width}}  {outcome.status}{why}", flush=True)

    outcomes = run(chosen, reproduction, callback=print_outcome)
    page, _ = write_report(outcomes, reproduction)
    print(page)
    failed = [outcome.artefact.id for outcome in outcomes if outcome.status == "failed"]
    if failed:
        print_error(f"{len(failed)} of {len(outcomes)} failed: {', '.join(failed)}; see their sections in {page}")
    return (2 if len(failed) == len(outcomes) else 1) if failed else 0


_EXPLAINED = {"reproduced", "differs", "other models", "unverified data", "not run", "failed"}


def _open_reproduction(options: argparse.Namespace) -> Reproduction:
    from bglab.models import expand, pick_device
    from bglab.papers import DEFAULT_MODELS, Reproduction, Settings

    per_class = options.pairs_per_class
    if per_class is None:
        per_class = 0 if pick_device(options.device).type == "cuda" else 10
    return Reproduction(
        Settings(
            scenes=options.scenes,
            out=Path(options.out or "."),
            models=expand(options.models or DEFAULT_MODELS),
            trained=options.trained,
            train=options.train,
            train_scenes=options.train_scenes,
            large_scenes=options.large_scenes,
            imagenet=options.imagenet,
            train_minutes=options.train_minutes,
            pairs_per_class=per_class,
            size=options.size,
            seed=options.seed,
            batch_size=options.batch_size,
            engine=engine_choice(options),
            protocol=options.protocol,
            progress=watched(),
            seed_sd=options.seed_sd / 100,
            results=options.results,
            venue=options.venue,
            width=options.width,
        )
    )
