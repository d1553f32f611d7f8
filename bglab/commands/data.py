"""`bglab data`: list, fetch, prepare and check data."""

from __future__ import annotations

import argparse
from collections import Counter

from bglab.commands import rebuild
from bglab.commands._options import command, positive, print_error, report_notices, report_rejections, watched
from bglab.errors import BadInput, MissingData
from bglab.names import python_literal

#: Packs whose images come from pip or apt packages or are generated.
PACKS = ("sample", "cutouts", "synthetic9")


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `data` and its subcommands."""
    data = verbs.add_parser("data", help="List, fetch, prepare and check data.")
    kinds = data.add_commands()
    command(kinds, "list", run_data_list)
    prepare = command(kinds, "prepare", run_data_prepare)
    prepare.add_argument("packs", nargs="*", metavar="PACK", help=f"{', '.join(PACKS)} (default: all)")
    prepare.add_argument("--size", type=positive, default=224, help="side in pixels (default: %(default)s)")
    fetch = command(kinds, "fetch", run_data_fetch)
    fetch.add_argument("name", metavar="NAME", help="name of an archive, see bglab data list")
    check = command(kinds, "check", run_data_check)
    check.add_argument("scenes", metavar="SCENES", help="for example in9:PATH")
    check.add_argument("--size", type=positive, default=224, help="side in pixels (default: %(default)s)")
    cut = command(kinds, "cut", run_data_cut)
    cut.add_argument("path", metavar="PATH", help="folder that holds images/, and boxes.csv if there are boxes")
    cut.add_argument("--out", default="masks", help="folder of the masks, relative to PATH (default: %(default)s)")
    cut.add_argument("--method", default="grabcut", help="grabcut, rembg or sam (default: %(default)s)")
    cut.add_argument("--seed", type=int, default=0, help="seed for GrabCut (default: %(default)s)")
    cut.add_argument("--force", action="store_true", help="replace masks that are there already")
    rebuild.add(kinds)


def run_data_list(options: argparse.Namespace) -> int:
    """List packs and archives, and whether they have been downloaded."""
    from bglab.scenes import archives, schemes

    print("Scenes open as", ", ".join(f"{scheme}:" for scheme in schemes()))
    print("\nPacks without a download (bglab data prepare):", ", ".join(PACKS))
    print("\nArchives (bglab data fetch NAME):")
    for archive in archives().values():
        state = f"here, {archive.path}" if archive.is_here else "not here"
        print(f"  {archive.name}: {archive.title}\n    {state}; licence: {archive.licence}")
    return 0


def run_data_fetch(options: argparse.Namespace) -> int:
    """Download, check and unpack one archive."""
    from bglab.scenes import fetch

    print(fetch(options.name))
    return 0


def run_data_prepare(options: argparse.Namespace) -> int:
    """Fetch and decode the images of packs; without names all packs, skipping those that cannot be fetched."""
    from bglab.scenes import open_scenes, prepare

    skipped, packs = [], options.packs or PACKS
    for pack in packs:
        try:
            _fetch_pack(pack)
            prepared = prepare(open_scenes(pack), options.size, progress=watched())
        except (MissingData, BadInput) as problem:
            print_error(f"skipping {pack}: {problem}")
            skipped.append(pack)
            continue
        print(f"{pack}: {len(prepared)} scenes at {prepared.size} px")
        report_rejections(prepared.rejected)
    if not options.packs or not skipped:
        return 0  # of all packs, those that cannot be fetched here are not missed
    return 2 if len(skipped) == len(packs) else 1


def _fetch_pack(pack: str) -> None:
    """Fetch the archives of a pack; without those whose name is not the pack's own, it opens all the same.

    Raises:
        MissingData: If the pack's own archive cannot be fetched.
    """
    from bglab.scenes import archives, fetch

    for archive in archives().values():
        if archive.pack != pack:
            continue
        try:
            fetch(archive.name)
        except (MissingData, BadInput) as problem:
            if archive.name == pack:
                raise
            print_error(f"going on without {archive.name}: {problem}")


def run_data_check(options: argparse.Namespace) -> int:
    """Read every scene of a set; count classes, and list unusable scenes."""
    from bglab.scenes import (
        area_census,
        content_digest,
        open_scenes,
        prepare,
        prepare_photographs,
        recognise_release,
        release_root,
    )
    from bglab.variants import VARIANTS

    scenes = open_scenes(options.scenes)
    if scenes.space == "imagenet":
        # reading the boxes takes seconds, cutting out all objects much longer
        print(f"boxes: {area_census(scenes).text} (5 to 70 % of the image; the paper keeps 31,801 of 50,000)")
    prepared = prepare(scenes, options.size, progress=watched())
    report_notices(prepared.scenes)
    counts = Counter(prepared.scenes.labels.tolist())
    print(f"{scenes.name}: {len(prepared)} usable scenes of {len(scenes) + len(scenes.rejected)}")
    for label, count in sorted(counts.items()):
        print(f"  {scenes.classes[label] if label >= 0 else '(outside)'}: {count}")
    print(f"  without background to tile: {int((~prepared.has_plate).sum())}")
    print(f"  foreground: {100 * prepared.masks.mean():.1f} % of the pixels on average")
    if scenes.read_image is not None:
        photographs = prepare_photographs(scenes, options.size, progress=watched())
        unneeding = ", ".join(name for name, variant in VARIANTS.items() if not variant.needs_mask)
        total = len(photographs) + len(photographs.rejected)
        print(f"  images for variants that need neither mask nor box ({unneeding}): {len(photographs)} of {total}")
    report_rejections(prepared.rejected, at_most=None)
    root = release_root(scenes)
    if root is not None:
        print(f"  content: sha256 {content_digest(root)}")
        print(f"  the release of Noise or Signal: {_STATES[recognise_release(scenes).state]}")
    return 0


def run_data_cut(options: argparse.Namespace) -> int:
    """Propose masks for a folder of images that has none; run again to continue."""
    from bglab.scenes import propose_masks

    proposed = propose_masks(
        options.path,
        method=options.method,
        out=options.out,
        seed=options.seed,
        force=options.force,
        progress=watched(),
    )
    for notice in proposed.notices:
        print_error(f"notice: {notice}")
    report_rejections(proposed.failed, at_most=None)
    print(proposed.text)
    uri = f"folder:{options.path.removeprefix('folder:')}"
    print(
        "look at them, since some will be wrong: explorer = "
        f"bglab.explore({python_literal(uri)}, classifier); the brush mends a mask, and "
        "explorer.save_mask() stores it"
    )
    return 1 if proposed.failed else 0


_STATES = {"recognised": "yes", "unverified": "its file names, but content that cannot be verified", "other": "no"}
