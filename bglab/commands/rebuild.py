"""`bglab data build` and `bglab data repair`: rebuild unpublished sets, and find the true donors of mixed images."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from bglab.commands._options import (
    add_worker_options,
    check_outputs,
    command,
    positive,
    print_error,
    report_notices,
    report_rejections,
    watched,
)


def add(kinds: argparse._SubParsersAction) -> None:
    """Add `build` and `repair` to the kinds of `bglab data`."""
    build = command(kinds, "build", run_build)
    build.add_argument("set", choices=("in9", "in9l", "in9lb"), help="in9 needs box annotations; the others do not")
    build.add_argument("--imagenet", required=True, help="folder in the layout of torchvision or Kaggle")
    build.add_argument("--out", required=True, help="folder for the set; run again to continue an interrupted build")
    build.add_argument("--split", choices=("train", "val"), default="val", help="default: %(default)s, the test set")
    build.add_argument(
        "--per-class", type=positive, help="images per class; default: as many as the smallest class has"
    )
    build.add_argument(
        "--seed", type=int, default=0, help="seed for GrabCut, selection and donors (default: %(default)s)"
    )
    build.add_argument(
        "-j", "--workers", type=positive, default=os.cpu_count() or 1, help="processes; default: %(default)s"
    )
    build.add_argument("--what", choices=("variants", "masks"), default="variants", help="masks take little space")
    build.add_argument(
        "--fidelity", choices=("paper", "clean"), default="clean", help="paper: exactly as the authors' generator"
    )
    build.add_argument("--test-release", default="", help="in9:PATH, or a text file of names: images to exclude")
    add_worker_options(build)
    repair = command(kinds, "repair", run_repair)
    repair.add_argument("scenes", metavar="SCENES", help="a release, as in9:PATH")
    repair.add_argument("--out", required=True, metavar="CSV", help="variant,file,fg,bg,bg_class,distance,margin")


def run_build(options: argparse.Namespace) -> int:
    """Rebuild an unpublished set of ImageNet-9 from ImageNet."""
    from bglab.rebuild import Construction, build

    construction = Construction(
        options.set,
        split=options.split,
        per_class=options.per_class,
        seed=options.seed,
        what=options.what,
        fidelity=options.fidelity,
        test_release=options.test_release,
    )
    start = time.perf_counter()
    built = build(options.imagenet, options.out, construction, workers=options.workers, progress=watched())
    for notice in built.notices:
        print_error(f"notice: {notice}")
    print(f"{options.set} {options.split}: {built.accepted} images, {built.per_class} per class, {built.files} files")
    for code, count in built.rejected.items():
        print(f"  rejected, {code}: {count}")
    print(f"recipe {built.recipe_sha256}\noutputs {built.outputs_sha256}")
    print(f"{built.folder}, {time.perf_counter() - start:.1f} s")
    return 0


def run_repair(options: argparse.Namespace) -> int:
    """Find the donor of every mixed image of a release."""
    from bglab.rebuild import repair, write_repair
    from bglab.scenes import open_scenes

    check_outputs(options.out)
    start = time.perf_counter()
    scenes = open_scenes(options.scenes)
    report_notices(scenes)
    found = repair(scenes, progress=watched())
    for notice in found.notices:
        print_error(f"notice: {notice}")
    report_rejections(found.unmatched)
    for variant, (agreeing, matched) in found.agreement.items():
        print(f"{variant}: {matched} backgrounds found, {agreeing} of them as stated by the file name")
    print(f"{write_repair(found, Path(options.out))}, {time.perf_counter() - start:.1f} s")
    return 0
