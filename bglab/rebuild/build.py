"""Rebuild the unpublished sets IN-9, IN-9L and IN-9LB of Noise or Signal from ImageNet, with a manifest and a recipe.

The same images and options give identical files with any number of processes, and also after interruptions: every
random draw is keyed by the image, and filter results and finished scenes are cached in ``.work`` in the output folder.
The set is moved to its place when it is complete.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from bglab.errors import BadInput
from bglab.executors import current
from bglab.images import LEAST_BOX_SHARE, LEAST_CONNECTED_SHARE, LEAST_KEPT_SHARE, MOST_CROP_SHARE
from bglab.labels import IN9, imagenet_synsets, synset_index
from bglab.parallel import WorkerPool
from bglab.rebuild.candidates import GRANULARITIES, Kind, Listing, Selection, labels_at, list_candidates, select
from bglab.rebuild.filters import (
    ATTEMPTS,
    CODES,
    CROP_FRACTION,
    SIZE,
    Candidate,
    Fidelity,
    FilterResult,
    FilterSettings,
    filter_cached,
    write_atomically,
)
from bglab.rebuild.render import MIXED, QUALITY, SUBSAMPLING, BuildPaths, RenderTask, output_names, render_cached
from bglab.rebuild.spreading import in_order
from bglab.results import versions
from bglab.scenes import choose
from bglab.scratch import locked
from bglab.variants import VARIANTS, pair_donors

What = Literal["variants", "masks"]

#: Columns of the manifest after those of `FilterResult`: file names relative to the folder of variant and split.
_OUTPUTS = ("output", *MIXED)


@dataclass(frozen=True)
class Construction:
    """Options of a build.

    Attributes:
        kind: ``in9``; ``in9l``, with all images of the 370 classes as originals only; or ``in9lb``, with 16 subclasses
            per class (Noise or Signal, Appendix B.1).
        split: Split of ImageNet: ``val`` for the test set, ``train`` for the training set.
        per_class: Number of images per class; None for the number in the smallest class.
        seed: Seed for GrabCut, the selection of images, and the donors; at least 0.
        what: ``variants`` writes all variants as images, ``masks`` only the masks at full resolution.
        fidelity: ``paper`` reproduces the authors' generator exactly; ``clean`` corrects its known defects (see
            `bglab.rebuild.render`).
        test_release: A release whose images are excluded: ``in9:PATH``, or a text file with one name per line; ""
            for none.

    Raises:
        UnknownName: If an option has an unknown value.
        BadInput: If the options contradict each other, or a number is too small.
    """

    kind: Kind
    split: str = "val"
    per_class: int | None = None
    seed: int = 0
    what: What = "variants"
    fidelity: Fidelity = "clean"
    test_release: str = ""

    def __post_init__(self) -> None:
        choose("set", self.kind, ("in9", "in9l", "in9lb"))
        choose("split", self.split, ("train", "val"))
        choose("what", self.what, ("variants", "masks"))
        choose("fidelity", self.fidelity, ("paper", "clean"))
        if self.what == "masks" and self.kind != "in9":
            raise BadInput(f"expected variants of {self.kind}, which has no masks; leave out --what, or build in9")
        if self.seed < 0 or (self.per_class is not None and self.per_class < 1):
            raise BadInput(
                f"expected a seed of at least 0 and at least 1 per class, got {self.seed} and {self.per_class}"
            )

    @property
    def cleans_masks(self) -> bool:
        """Whether masks are cleaned; the authors cleaned only the test set (Appendix A)."""
        return self.kind == "in9" and (self.split == "val" or self.fidelity == "clean")


class Built(NamedTuple):
    """Summary of a built set.

    Attributes:
        folder: Output folder.
        per_class: Number of images per class.
        accepted: Number of images in the set.
        rejected: Number of rejected images by code (see `bglab.rebuild.filters.CODES`).
        files: Number of files in the set.
        recipe_sha256: SHA-256 of options and inputs; equal recipes give equal outputs.
        outputs_sha256: SHA-256 of the digests of all files (see `outputs_sha256`).
        notices: Anything unusual about the set, one sentence each.
    """

    folder: Path
    per_class: int
    accepted: int
    rejected: dict[str, int]
    files: int
    recipe_sha256: str
    outputs_sha256: str
    notices: tuple[str, ...]


def build(
    imagenet: str | Path, out: str | Path, construction: Construction, *, workers: int = 1, progress: bool = True
) -> Built:
    """Build a set from ImageNet, or continue an interrupted build.

    Args:
        imagenet: Root folder of ImageNet, in the layout of torchvision or of Kaggle.
        out: Output folder for images or masks, ``manifest.csv`` with one row per image of the split, and
            ``recipe.json``.
        construction: Options of the build.
        workers: Number of processes; the output does not depend on it. The workers of `bglab.connect` are used in their
            place; they need the folders of ImageNet and of the set on a disk that all nodes share.
        progress: Whether to show progress bars.

    Raises:
        MissingData: If the images or annotations of ImageNet are not there.
        BadInput: If the output folder contains another set, or no image is accepted.
    """
    folder = _open_folder(Path(out))
    listing = list_candidates(
        imagenet, construction.kind, construction.split, seed=construction.seed, test_release=construction.test_release
    )
    recipe = _describe(construction, listing)
    _check_recipe(folder, recipe)
    boxes = construction.kind == "in9"
    settings = FilterSettings(
        str(listing.root), boxes, construction.fidelity, construction.cleans_masks, construction.seed
    )
    # the name of this folder is part of unfinished builds on disk: another name would repeat their filtering
    filtered = folder / ".work" / f"judged-{settings.key}"
    filtering = functools.partial(filter_cached, settings=settings, folder=filtered)
    with WorkerPool(workers, progress=progress) as pool:
        spread = functools.partial(in_order, progress=progress) if current().is_remote else pool.in_order
        selection = select(
            listing,
            lambda items: spread(filtering, items, "filtering images"),
            per_class=construction.per_class,
            seed=construction.seed,
        )
        tasks = _pair(selection.chosen, construction)
        selection.notices.extend(_donor_notices(tasks, construction))
        recipe_sha256 = _recipe_sha256(recipe, listing, selection)
        staging = folder / ".work" / recipe_sha256[:16]
        paths = BuildPaths(
            filtered, staging / "set", staging / "done", construction.split, construction.what == "masks"
        )
        with locked(folder / ".work"):  # of two runs of one build, the second waits, and finds the set of the first
            if not (paths.out / "recipe.json").is_file() and not (folder / "recipe.json").is_file():
                rendering = functools.partial(render_cached, settings=settings, paths=paths)
                done = spread(rendering, tasks, "writing scenes")
                digests = {name: sha256 for scene in done for name, sha256 in scene.items()}
                _write_tables(paths, listing, selection, tasks, construction)
                _write_recipe(paths.out, recipe, recipe_sha256, selection, digests)
            return _finish(folder, staging, recipe_sha256)


def _open_folder(folder: Path) -> Path:
    """Create the output folder before any work is done."""
    try:
        (folder / ".work").mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise BadInput(
            f"expected a folder to write to at {folder}, but {problem.strerror or problem}; choose another --out"
        ) from None
    return folder


def _describe(construction: Construction, listing: Listing) -> dict[str, Any]:
    """Describe everything that defines a set except for the input images."""
    options = {name: value for name, value in asdict(construction).items() if name != "test_release"}
    tested = sorted(result.id for result in listing.rejected.values() if result.code == "test_release")
    described: dict[str, Any] = {
        "format": 1,
        **options,
        "pictures": f"short side to {int(SIZE / CROP_FRACTION)}, centre crop {SIZE}; JPEG of quality {QUALITY}, "
        f"{SUBSAMPLING}, as the release; masks exact",
        "resize": "nearest pixel" if construction.fidelity == "paper" else "antialiased bilinear; masks nearest pixel",
        "test_release": {"pictures": listing.test_images, "left_out": tested},
    }
    if construction.kind == "in9":
        described |= {
            "grabcut": {"iterations": 5, "attempts": ATTEMPTS, "first_seed": construction.seed * ATTEMPTS},
            "filters": {
                "boxes": 1,
                "most_crop_share_of_box": MOST_CROP_SHARE,
                "least_box_share_in_crop": LEAST_KEPT_SHARE,
                "least_box_share_of_mask": LEAST_BOX_SHARE,
            },
            "cleaning": f"automatic, in place of the authors' cleaning by hand, which cannot be repeated: the mask "
            f"touches the centre of its box and has {LEAST_CONNECTED_SHARE:.0%} in one piece"
            if construction.cleans_masks
            else "none: the authors cleaned their test set only",
        }
    if construction.kind == "in9lb":
        described["subclasses"] = [[imagenet_synsets()[i] for i in group] for group in listing.subclasses]
    return described


def _check_recipe(folder: Path, recipe: dict[str, Any]) -> None:
    """Raise `BadInput` if the folder contains a set with another recipe, or a set without one."""
    results = [name for name in ("bg_challenge", "masks") if (folder / name).exists()]
    remedy = "choose another folder, or move its files away (the results cached in .work are reused)"
    try:
        there = json.loads((folder / "recipe.json").read_bytes())["recipe"]
    except FileNotFoundError:
        finishing = any((folder / ".work").glob("*/set/recipe.json"))
        if results and not finishing:
            raise BadInput(
                f"expected an empty folder or an earlier build in {folder}, got {' and '.join(results)} without a "
                f"recipe.json; {remedy}"
            ) from None
        return
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BadInput(f"expected a recipe in {folder / 'recipe.json'}, got none ({problem!r}); {remedy}") from None
    differing = [name for name in sorted({*there, *recipe}) if there.get(name) != recipe.get(name)]
    if differing:
        raise BadInput(
            f"expected {folder} to contain the requested set, but its recipe differs in {', '.join(differing)}; "
            f"{remedy}"
        )


def _pair(chosen: Sequence[Candidate], construction: Construction) -> list[RenderTask]:
    """Draw the donors of the mixed variants, which are scenes of the set itself."""
    if construction.kind != "in9" or construction.what == "masks":
        return [RenderTask(scene, {}) for scene in chosen]
    ids = [scene.id for scene in chosen]
    labels, lends = np.array([scene.label for scene in chosen]), np.ones(len(chosen), dtype=bool)
    donors = {v: pair_donors(VARIANTS[v], ids, labels, lends, seed=construction.seed) for v in MIXED}
    return [
        RenderTask(scene, {variant: chosen[drawn[i]] for variant, drawn in donors.items() if drawn[i] >= 0})
        for i, scene in enumerate(chosen)
    ]


def _donor_notices(tasks: Sequence[RenderTask], construction: Construction) -> Iterator[str]:
    """Report how many mixed images cannot be made because no other image can be the donor."""
    if construction.kind == "in9" and construction.what == "variants":
        for variant in MIXED:
            missing = sum(variant not in task.donors for task in tasks)
            if missing:
                yield f"{missing} of {len(tasks)} scenes have no {variant}: no other image can be the donor"


def _recipe_sha256(recipe: dict[str, Any], listing: Listing, selection: Selection) -> str:
    """Hash the options and the names, filter codes and contents of all inputs."""
    hashed = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    for candidate in listing.candidates:
        result = selection.results[candidate.file]
        hashed.update(f"\n{candidate.file} {result.code} {result.sha256}".encode())
    return hashed.hexdigest()


def _write_tables(
    paths: BuildPaths,
    listing: Listing,
    selection: Selection,
    tasks: Sequence[RenderTask],
    construction: Construction,
) -> None:
    """Write the manifest, and for IN-9LB the labels at every granularity."""
    boxes = construction.kind == "in9"
    outputs = {r.scene.file: output_names(r, paths.split, boxes=boxes, masks_only=paths.masks_only) for r in tasks}
    header = ("id", "file", "synset", "class", "status", *FilterResult._fields[1:], *_OUTPUTS)
    rows = (_manifest_row(c, selection.results[c.file], outputs.get(c.file, {})) for c in listing.candidates)
    write_atomically(paths.out / "manifest.csv", _csv(header, rows))
    if listing.subclasses:
        labels = [labels_at(listing.subclasses, n) for n in GRANULARITIES]
        lines = (
            (outputs[scene.file]["original"], scene.synset, *(table[synset_index()[scene.synset]] for table in labels))
            for scene in selection.chosen
        )
        write_atomically(
            paths.out / "labels.csv", _csv(("file", "synset", *(f"label_{n}" for n in GRANULARITIES)), lines)
        )


def _manifest_row(candidate: Candidate, result: FilterResult, outputs: dict[str, str]) -> tuple[object, ...]:
    """Make one row of the manifest; file names are relative to the folder of variant and split."""
    short = {variant: "/".join(name.split("/")[-2:]) for variant, name in outputs.items()}
    own = short.get("original", short.get("mask", ""))
    values = (f"{v:.6f}" if isinstance(v, float) else v for v in result[1:])
    name = IN9[candidate.label].name if candidate.label >= 0 else ""
    status = "rejected" if result.code else "accepted"
    mixed = (short.get(variant, "") for variant in MIXED)
    return (candidate.id, candidate.file, candidate.synset, name, status, *values, own, *mixed)


def _csv(header: Sequence[str], rows: Iterator[tuple[object, ...]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _write_recipe(
    out: Path, recipe: dict[str, Any], recipe_sha256: str, selection: Selection, digests: dict[str, str]
) -> None:
    """Write the recipe last, so that a folder that contains it is complete."""
    rejected = Counter(result.code for result in selection.results.values() if result.code)
    content = {
        "recipe": recipe,
        "recipe_sha256": recipe_sha256,
        "inputs": len(selection.results),
        "accepted": len(selection.chosen),
        "per_class": selection.per_class,
        "rejected": {code: rejected[code] for code in CODES if rejected[code]},
        "notices": selection.notices,
        "files": len(digests),
        "outputs_sha256": outputs_sha256(digests),
        "manifest_sha256": hashlib.sha256((out / "manifest.csv").read_bytes()).hexdigest(),
        "versions": versions(),
        "credit": "Made from images of ImageNet: for non-commercial research, not to be passed on.",
    }
    write_atomically(out / "recipe.json", json.dumps(content, indent=1, sort_keys=False).encode() + b"\n")


def outputs_sha256(digests: dict[str, str]) -> str:
    """Compute the SHA-256 of a set from the SHA-256 of each file by name.

    It is the output of ``find bg_challenge -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum``.
    """
    lines = (f"{digests[name]}  {name}\n" for name in sorted(digests, key=os.fsencode))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _finish(folder: Path, staging: Path, recipe_sha256: str) -> Built:
    """Move a complete set to the output folder, the recipe last, and summarise it."""
    ready = staging / "set"
    if (ready / "recipe.json").is_file():
        names = sorted((entry.name for entry in ready.iterdir()), key=lambda name: name == "recipe.json")
        try:
            for name in names:
                (ready / name).rename(folder / name)
        except OSError as problem:
            raise BadInput(
                f"could not move the finished set to {folder} ({problem.strerror or problem}); make room there and run "
                "the same command again"
            ) from None
    there = json.loads((folder / "recipe.json").read_bytes())
    if there["recipe_sha256"] != recipe_sha256:
        raise BadInput(
            f"expected {folder} to contain a set of these images, but it was built from others; choose another folder, "
            "or move its files away (the results cached in .work are reused)"
        )
    shutil.rmtree(staging, ignore_errors=True)  # also what a run left that was killed in this
    return Built(
        folder=folder,
        per_class=there["per_class"],
        accepted=there["accepted"],
        rejected=there["rejected"],
        files=there["files"],
        recipe_sha256=recipe_sha256,
        outputs_sha256=there["outputs_sha256"],
        notices=tuple(there["notices"]),
    )
