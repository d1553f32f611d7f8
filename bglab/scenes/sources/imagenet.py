"""``imagenet:PATH``: ImageNet with its box annotations, in the layout of torchvision or of Kaggle."""

from __future__ import annotations

import functools

from bglab.errors import BadInput
from bglab.images import box_of
from bglab.labels import imagenet_names, imagenet_synsets, synset_index
from bglab.scenes.scene import Rejection, Scene, SceneRecord, SceneSet, file_fingerprint
from bglab.scenes.sources._annotations import cut_out, read_annotated, read_annotation
from bglab.scenes.sources._folders import choose, empty_file, read_photograph, walk_files, without_duplicates
from bglab.scenes.sources._imagenet_layout import REMEDY, ImageFile, Layout, find_layout, list_images

#: Number of images per split of ILSVRC 2012.
_SIZES = {"val": 50_000, "train": 1_281_167}


def open_source(path: str, *, uri: str, split: str = "val", masks: str = "grabcut") -> SceneSet:
    """Open a split of ImageNet; annotations and images are read when a scene is accessed.

    Images are in ``{split}/`` (torchvision) or ``ILSVRC/Data/CLS-LOC/{split}/`` (Kaggle), in one folder per WordNet id
    or all in one folder; annotations are in ``Annotations/CLS-LOC/{split}/`` or the same folder below ``ILSVRC/``.
    The labels of images without class folders are read from ``LOC_val_solution.csv``, or else from the annotations.

    The box of a scene is the smallest one around all boxes of its class; ImageNet counts pixels from 0 and boxes
    include both corners. Images without an annotation are no scenes, but variants that need neither mask nor box
    (Original) show them.

    Args:
        path: Folder with this layout.
        uri: The complete URI given by the user.
        split: ``val`` or ``train``.
        masks: ``grabcut`` segments the foreground in the box, as in Noise or Signal; ``box`` fills the union of the
            boxes, as in Time for a Background Check!

    Raises:
        MissingData: If the images or the annotations are not there.
        BadInput: If no image has both a known class and an annotation.
        UnknownName: If an option has an unknown value.
    """
    choose("split", split, tuple(_SIZES))
    choose("masks", masks, ("grabcut", "box"))
    layout = find_layout(path, split)
    candidates = list(list_images(layout))
    index = synset_index()
    reasons = {c: _problem(c, layout) for c in candidates}
    known = [c for c in candidates if c.synset in index and not empty_file(c.image)]
    annotated = [c for c in known if not reasons[c]]
    if not annotated:
        first = next((f"; the first problem: {reason:.500}" for reason in reasons.values() if reason), "")
        raise BadInput(
            f"expected images of ImageNet's classes in {layout.images} with annotations in "
            f"{layout.annotations}, got {len(candidates)} images and none with both; {REMEDY}{first}"
        )

    def record(c: ImageFile) -> SceneRecord:
        files = (c.image,) if c.annotation is None or reasons[c] else (c.image, c.annotation)
        return SceneRecord(c.image.stem, index[c.synset], index[c.synset], files)

    records, duplicates = without_duplicates(record(c) for c in annotated)
    unique, repeated = without_duplicates([*records, *(record(c) for c in known if reasons[c])])
    named = {r.file: r.reason for r in repeated}
    whys = ((c, named.get(str(c.image), reason)) for c, reason in reasons.items())
    rejected = [Rejection(c.image.stem, str(c.image), why) for c, why in whys if why]
    return SceneSet(
        uri=uri,
        name=f"imagenet:{split}",
        space="imagenet",
        classes=imagenet_names(),
        records=tuple(records),
        read=functools.partial(_read, masks),
        fingerprint=file_fingerprint(layout.root, records, split, masks),
        notices=(*_notices(split, candidates, records), *_dangling(layout, candidates)),
        rejected=(*rejected, *duplicates),
        credit="ImageNet, ILSVRC 2012 (Russakovsky et al., 2015): for non-commercial research, not to be passed on.",
        full_resolution=True,
        unmasked=tuple(unique[len(records) :]),
        read_image=read_photograph,
    )


def _problem(candidate: ImageFile, layout: Layout) -> str:
    """Explain why an image cannot be used as a scene; "" if it can."""
    problem = empty_file(candidate.image)
    if problem:
        return problem
    if not candidate.synset and candidate.annotation:
        return empty_file(candidate.annotation) or (
            f"expected one of ImageNet's 1000 WordNet ids as its class in {candidate.annotation}, got none; correct it"
        )
    if candidate.synset not in synset_index():
        got = f"'{candidate.synset}'" if candidate.synset else "none"
        return f"expected one of ImageNet's 1000 WordNet ids as its class, got {got}; rename its folder"
    if candidate.annotation is None:
        return f"expected {candidate.image.stem}.xml with its boxes in {layout.annotations}, got no such file"
    return empty_file(candidate.annotation)


def _dangling(layout: Layout, candidates: list[ImageFile]) -> tuple[str, ...]:
    """Name annotations whose image is missing, in one notice."""
    used = {c.annotation for c in candidates}
    dangling = [file for file in walk_files(layout.annotations, {".xml"}) if file not in used]
    if not dangling:
        return ()
    named = ", ".join(str(file) for file in dangling[:3])
    more = f" and {len(dangling) - 3:,} more" if len(dangling) > 3 else ""
    return (f"{len(dangling):,} annotations have no image and are left out: {named}{more}",)


def _notices(split: str, candidates: list[ImageFile], records: list[SceneRecord]) -> tuple[str, ...]:
    notices: list[str] = []
    classes = len({record.label for record in records})
    if len(candidates) != _SIZES[split] or classes != len(imagenet_synsets()):
        notices.append(
            f"expected {_SIZES[split]:,} images in {len(imagenet_synsets()):,} classes of ImageNet's {split}, "
            f"got {len(candidates):,} in {classes:,}; results are those of this subset"
        )
    without_boxes = sum(c.annotation is None for c in candidates)
    if without_boxes:
        notices.append(
            f"{without_boxes:,} of {len(candidates):,} images have no box annotation; only variants that need neither "
            "mask nor box, such as original, show them"
        )
    unknown = sorted({c.synset for c in candidates if c.synset not in synset_index()})
    if unknown:
        notices.append(f"images of {', '.join(unknown[:3]) or 'no class'} are skipped: not among ImageNet's 1000")
    return tuple(notices)


def _read(masks: str, record: SceneRecord) -> Scene:
    file = record.files[0]
    annotation = read_annotation(record.files[1], file)
    found = read_annotated(file, annotation, imagenet_synsets()[record.native_label], first=0)
    box = box_of(found.inside)
    mask = found.inside if masks == "box" else cut_out(found.image, box, file)
    return Scene.of_decoded(record, found.decoded, mask, box, notices=annotation.notices)
