"""Rebuild the lost sets of ImageNet-9 from ImageNet: IN-9, IN-9L and IN-9LB, with a manifest and a recipe.

The same images and options give the same bytes, on any number of processes, in one run or after interruptions:
every draw is keyed by the image, and every verdict and every finished scene is kept in ``.work`` in the output
folder. The set itself appears at the end, whole.
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
    Rules,
    Verdict,
    judge_kept,
    write_whole,
)
from bglab.rebuild.render import MIXED, QUALITY, SUBSAMPLING, Places, RenderTask, output_names, render_kept
from bglab.results import versions
from bglab.scenes import choose
from bglab.variants import VARIANTS, pair_donors

What = Literal["variants", "masks"]

#: Columns of the manifest after those of a verdict: where an image's files are, below the variant's folder.
_OUTPUTS = ("output", *MIXED)


@dataclass(frozen=True)
class Construction:
    """What is built.

    Attributes:
        kind: ``in9``; ``in9l`` (every image of the 370 classes, originals only); ``in9lb`` (16 sub-classes each).
        split: ``val`` is the authors' test set, ``train`` their training set.
        per_class: Images a class; None takes as many as the smallest class has.
        seed: Of GrabCut, of the balance and of the donors.
        what: All variants as images, or only masks at full size.
        fidelity: ``clean``, or ``paper`` for the authors' generator to the letter.
        test_release: A release whose images are kept out: ``in9:PATH``, or a file with one name a line; "" for none.
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
            raise BadInput(f"expected a seed of at least 0 and 1 a class or more, got {self.seed} and {self.per_class}")

    @property
    def cleans(self) -> bool:
        """Whether masks are cleaned: the authors cleaned their test set only."""
        return self.kind == "in9" and (self.split == "val" or self.fidelity == "clean")


class Built(NamedTuple):
    """What was built.

    Attributes:
        folder: Where it lies.
        per_class: Images of each class that has any.
        accepted: Images in the set.
        rejected: Code → number of images that take no part.
        files: Files of the set.
        recipe_sha256: Of options and inputs; equal recipes give equal outputs.
        outputs_sha256: Of all files of the set.
        notices: What was unusual, one sentence each.
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
    """Build a set from ImageNet.

    Args:
        imagenet: ImageNet's folder, as torchvision or as Kaggle lays it out.
        out: Where the set goes: images or masks, ``manifest.csv`` with every image of the split, ``recipe.json``.
        construction: What to build.
        workers: Processes; the result does not depend on it.
        progress: Show bars.

    Raises:
        MissingData: If ImageNet's images or annotations are not there.
        BadInput: If the output folder holds something else, or no image can be accepted.
    """
    folder = _open_folder(Path(out))
    listing = list_candidates(
        imagenet, construction.kind, construction.split, seed=construction.seed, test_release=construction.test_release
    )
    recipe = _describe(construction, listing)
    _refuse_other(folder, recipe)
    boxes = construction.kind == "in9"
    rules = Rules(str(listing.root), boxes, construction.fidelity, construction.cleans, construction.seed)
    judged = folder / ".work" / f"judged-{rules.key}"
    judging = functools.partial(judge_kept, rules=rules, folder=judged)
    with WorkerPool(workers, progress=progress) as pool:
        selection = select(
            listing,
            lambda items: pool.in_order(judging, items, "judging images"),
            per_class=construction.per_class,
            seed=construction.seed,
        )
        tasks = _pair(selection.chosen, construction)
        selection.notices.extend(_donor_notices(tasks, construction))
        recipe_sha256 = _recipe_sha256(recipe, listing, selection)
        staging = folder / ".work" / recipe_sha256[:16]
        places = Places(judged, staging / "set", staging / "done", construction.split, construction.what == "masks")
        if not (places.out / "recipe.json").is_file() and not (folder / "recipe.json").is_file():
            rendering = functools.partial(render_kept, rules=rules, places=places)
            done = pool.in_order(rendering, tasks, "writing scenes")
            digests = {name: sha256 for scene in done for name, sha256 in scene.items()}
            _write_tables(places, listing, selection, tasks, construction)
            _write_recipe(places.out, recipe, recipe_sha256, selection, digests)
    return _finish(folder, staging, recipe_sha256)


def _open_folder(folder: Path) -> Path:
    """Create the output folder before any work is done for it."""
    try:
        (folder / ".work").mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise BadInput(
            f"expected a folder to write to at {folder}, but {problem.strerror or problem}; choose another --out"
        ) from None
    return folder


def _describe(construction: Construction, listing: Listing) -> dict[str, Any]:
    """Write down everything that defines a set besides the images it is made from."""
    options = {name: value for name, value in asdict(construction).items() if name != "test_release"}
    tested = sorted(verdict.id for verdict in listing.refused.values() if verdict.code == "test_release")
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
            if construction.cleans
            else "none: the authors cleaned their test set only",
        }
    if construction.kind == "in9lb":
        described["subclasses"] = [[imagenet_synsets()[i] for i in group] for group in listing.subclasses]
    return described


def _refuse_other(folder: Path, recipe: dict[str, Any]) -> None:
    """Refuse a folder that holds a set of another recipe, or one that was not built here."""
    results = [name for name in ("bg_challenge", "masks") if (folder / name).exists()]
    remedy = "choose another folder, or move its files away (what is kept in .work is used again)"
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
            f"expected {folder} to hold the set that was asked for, but its recipe differs in {', '.join(differing)}; "
            f"{remedy}"
        )


def _pair(chosen: Sequence[Candidate], construction: Construction) -> list[RenderTask]:
    """Draw whose background each mixed image shows; donors are scenes of the set itself."""
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
    """Say how many mixed images there cannot be, because nobody can lend a background."""
    if construction.kind == "in9" and construction.what == "variants":
        for variant in MIXED:
            lacking = sum(variant not in task.donors for task in tasks)
            if lacking:
                yield f"{lacking} of {len(tasks)} scenes have no {variant}: no other image can lend a background"


def _recipe_sha256(recipe: dict[str, Any], listing: Listing, selection: Selection) -> str:
    """Digest the options and the names, verdicts and contents of all inputs."""
    hashed = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    for candidate in listing.candidates:
        verdict = selection.verdicts[candidate.file]
        hashed.update(f"\n{candidate.file} {verdict.code} {verdict.sha256}".encode())
    return hashed.hexdigest()


def _write_tables(
    places: Places,
    listing: Listing,
    selection: Selection,
    tasks: Sequence[RenderTask],
    construction: Construction,
) -> None:
    """Write the manifest, and the labels of IN-9LB at every granularity."""
    boxes = construction.kind == "in9"
    outputs = {r.scene.file: output_names(r, places.split, boxes=boxes, masks_only=places.masks_only) for r in tasks}
    header = ("id", "file", "synset", "class", "status", *Verdict._fields[1:], *_OUTPUTS)
    rows = (_manifest_row(c, selection.verdicts[c.file], outputs.get(c.file, {})) for c in listing.candidates)
    write_whole(places.out / "manifest.csv", _csv(header, rows))
    if listing.subclasses:
        labels = [labels_at(listing.subclasses, n) for n in GRANULARITIES]
        lines = (
            (outputs[scene.file]["original"], scene.synset, *(table[synset_index()[scene.synset]] for table in labels))
            for scene in selection.chosen
        )
        write_whole(places.out / "labels.csv", _csv(("file", "synset", *(f"label_{n}" for n in GRANULARITIES)), lines))


def _manifest_row(candidate: Candidate, verdict: Verdict, outputs: dict[str, str]) -> tuple[object, ...]:
    """Give one image's row; names of outputs are those below the folder of variant and split."""
    short = {variant: "/".join(name.split("/")[-2:]) for variant, name in outputs.items()}
    own = short.get("original", short.get("mask", ""))
    values = (f"{v:.6f}" if isinstance(v, float) else v for v in verdict[1:])
    name = IN9[candidate.label].name if candidate.label >= 0 else ""
    status = "rejected" if verdict.code else "accepted"
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
    """Write the recipe last: a folder that has it is whole."""
    rejected = Counter(verdict.code for verdict in selection.verdicts.values() if verdict.code)
    content = {
        "recipe": recipe,
        "recipe_sha256": recipe_sha256,
        "inputs": len(selection.verdicts),
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
    write_whole(out / "recipe.json", json.dumps(content, indent=1, sort_keys=False).encode() + b"\n")


def outputs_sha256(digests: dict[str, str]) -> str:
    """Digest all files of a set, given name → sha256.

    It is what ``find bg_challenge -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum`` prints.
    """
    lines = (f"{digests[name]}  {name}\n" for name in sorted(digests, key=os.fsencode))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _finish(folder: Path, staging: Path, recipe_sha256: str) -> Built:
    """Bring a whole set to its place, the recipe last, and say what it is."""
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
        shutil.rmtree(staging, ignore_errors=True)
    there = json.loads((folder / "recipe.json").read_bytes())
    if there["recipe_sha256"] != recipe_sha256:
        raise BadInput(
            f"expected {folder} to hold a set of these images, but it was built from others; choose another folder, "
            "or move its files away (what is kept in .work is used again)"
        )
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
