"""A cache of decoded scenes: memory-mapped arrays of one image size that load in milliseconds.

A cache entry is a folder with raw arrays and an index. It is built in a temporary folder and renamed when complete, so
an interrupted run leaves no partial entry.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image
from tqdm.auto import tqdm

from bglab.errors import BadInput
from bglab.files import data_root, writable_folder
from bglab.images import Box, crop_box, open_image, resize_crop
from bglab.parallel import thread_map
from bglab.scenes.scene import PublishedImage, Rejection, Scene, SceneSet
from bglab.scenes.sources import open_scenes
from bglab.seeding import digest

# incremented whenever the pixels of prepared scenes change
_VERSION = 1


class _Entry(NamedTuple):
    """Arrays of one prepared scene or image by name, and its row of the index."""

    arrays: dict[str, np.ndarray]
    row: dict[str, object]


@dataclass(frozen=True, eq=False)
class PreparedScenes:
    """Decoded scenes of one size; row i of every array belongs to scene i of ``scenes``.

    Attributes:
        scenes: The scene set, without the scenes that could not be used.
        size: Side of the images in pixels.
        images: RGB images with values in [0, 255].
        masks: Foreground masks, True for the foreground.
        plates: Backgrounds without a foreground: tiled as in Only-BG-T, or provided by the source.
        boxes: Foreground boxes ``(x0, y0, x1, y1)``, half-open, in pixels of this size.
        has_plate: Whether the scene has a plate. If its box leaves no background to tile, the plate is black and
            never used.
        rejected: All scenes of the set that could not be used, with reasons.
        digest: Hexadecimal digest of all arrays, for provenance.
    """

    scenes: SceneSet
    size: int
    images: UInt8[np.ndarray, "n 3 s s"]
    masks: Bool[np.ndarray, "n s s"]
    plates: UInt8[np.ndarray, "n 3 s s"]
    boxes: Int[np.ndarray, "n 4"]
    has_plate: Bool[np.ndarray, " n"]
    rejected: tuple[Rejection, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.scenes)


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """Decoded images of one variant as published with a release, of one size.

    Attributes:
        published: The published image in each row of ``images``.
        images: RGB images with values in [0, 255].
        rejected: Images that could not be read, with reasons.
        digest: Hexadecimal digest of all pixels.
    """

    published: tuple[PublishedImage, ...]
    images: UInt8[np.ndarray, "n 3 s s"]
    rejected: tuple[Rejection, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.published)


def as_scenes(scenes: SceneSet | str) -> SceneSet:
    """Return a set as it is, or open it if a URI is given (see `open_scenes`)."""
    return open_scenes(scenes) if isinstance(scenes, str) else scenes


def as_prepared(scenes: SceneSet | PreparedScenes | str, size: int = 224, *, progress: bool = True) -> PreparedScenes:
    """Return prepared scenes as they are; open and prepare a URI or a set.

    Args:
        scenes: A set, its prepared form, or a URI for `open_scenes`.
        size: Side of the prepared images in pixels; ignored for prepared scenes, which have one.
        progress: Show a progress bar while scenes are decoded for the first time.

    Raises:
        BadInput: If no scene can be used, or the cache cannot be written.
    """
    return scenes if isinstance(scenes, PreparedScenes) else prepare(as_scenes(scenes), size, progress=progress)


def prepare(scenes: SceneSet, size: int = 224, *, progress: bool = True) -> PreparedScenes:
    """Decode all scenes, or load them from the ``cache`` folder of the data folder.

    Images are resized so that the short side is ``size / crop_fraction``, and centre-cropped; masks are resized by
    nearest pixel; backgrounds are tiled at full resolution and then resized (Noise or Signal, Appendix A). A scene
    that cannot be used is listed in ``rejected``, never replaced.

    Args:
        scenes: Scenes to prepare.
        size: Side of the prepared images in pixels.
        progress: Whether to show a progress bar while decoding.

    Raises:
        BadInput: If no scene can be used, or the cache cannot be written.
    """
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "images": ((3, size, size), np.uint8),
        "masks": ((size, size), np.bool_),
        "plates": ((3, size, size), np.uint8),
        "boxes": ((4,), np.int32),
        "has_plate": ((), np.bool_),
    }

    def build(position: int) -> _Entry:
        scene = scenes[position]
        return _Entry(_prepare_scene(scene, size, scenes.crop_fraction), {"id": scene.id})

    files = [file for record in scenes.records for file in record.files]
    items = [(i, record.id, str(record.files[0]) if record.files else "") for i, record in enumerate(scenes.records)]
    store = _Store(f"{scenes.fingerprint}-{size}", _stamp(files), shapes)
    arrays, index = store.load_or_build(items, build, f"preparing {scenes.name}" if progress else None)
    rejected = (*scenes.rejected, *(Rejection(*r) for r in index["rejected"]))
    kept = [scenes.positions[row["id"]] for row in index["rows"]]
    if not kept:
        raise BadInput(f"expected usable scenes in {scenes.name}, but all were rejected; the first: {_first(rejected)}")
    usable = replace(scenes, records=tuple(scenes.records[i] for i in kept))
    return PreparedScenes(scenes=usable, size=size, rejected=rejected, digest=index["digest"], **arrays)


def prepare_published(scenes: SceneSet, variant: str, size: int = 224, *, progress: bool = True) -> PreparedImages:
    """Decode the published images of one variant of a release, or load them from the cache.

    Args:
        scenes: Scenes of a release, from ``in9:PATH``.
        variant: Name of a published variant, such as ``mixed_rand``.
        size: Side of the prepared images in pixels.
        progress: Whether to show a progress bar while decoding.

    Raises:
        BadInput: If the set has no published images, or none can be read.
        MissingData: If the release on disk does not contain the variant.
        UnknownName: If the release has no such variant.
    """
    if scenes.published is None:
        raise BadInput(
            f"expected a release with published images, but {scenes.name} has scenes only; "
            "leave out --published to compose the variants"
        )
    published = scenes.published(variant)

    def build(position: int) -> _Entry:
        image = open_image(published[position].file)
        return _Entry({"images": _square(image, size, scenes.crop_fraction)}, {"position": position})

    name = digest([scenes.fingerprint, variant, *(p.file.name for p in published)])
    store = _Store(f"{name}-{size}", _stamp([p.file for p in published]), {"images": ((3, size, size), np.uint8)})
    items = [(i, p.scene, str(p.file)) for i, p in enumerate(published)]
    arrays, index = store.load_or_build(items, build, f"reading {variant}" if progress else None)
    rejected = tuple(Rejection(*r) for r in index["rejected"])
    if not index["rows"]:
        raise BadInput(f"expected readable images of {variant} in {scenes.name}, got none; {_first(rejected)}")
    kept = tuple(published[row["position"]] for row in index["rows"])
    return PreparedImages(kept, arrays["images"], rejected, index["digest"])


def _prepare_scene(scene: Scene, size: int, crop_fraction: float) -> dict[str, np.ndarray]:
    """Resize and crop one scene; raise `BadInput` if the crop contains no foreground."""
    height, width = scene.mask.shape
    whole = _as_image(scene.image)
    mask = resize_crop(Image.fromarray(scene.mask), size, crop_fraction, smooth=False)
    box = crop_box(scene.box, width, height, size, crop_fraction)
    if box[0] >= box[2] or box[1] >= box[3] or not np.asarray(mask).any():
        raise BadInput(
            f"expected the foreground of scene {scene.id} within the centre crop, but it lies outside; "
            "the scene is skipped"
        )
    plate, has_plate = _plate(scene)
    return {
        "images": _square(whole, size, crop_fraction),
        "masks": np.asarray(mask),
        "plates": _square(_as_image(plate), size, crop_fraction),
        "boxes": np.array(box, dtype=np.int32),
        "has_plate": np.array(has_plate),
    }


def _plate(scene: Scene) -> tuple[UInt8[np.ndarray, "3 h w"], bool]:
    """Compute the scene's background at full resolution, and whether it has one (otherwise it is black)."""
    if scene.plate is not None:
        return scene.plate, True
    import torch  # imported here because it takes seconds, and cached scenes load without it

    from bglab.images import tile_box

    box: Box = scene.box
    try:
        return tile_box(torch.from_numpy(scene.image), box).numpy(), True
    except BadInput:
        return np.zeros_like(scene.image), False


def _as_image(image: UInt8[np.ndarray, "3 h w"]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))


def _square(image: Image.Image, size: int, crop_fraction: float) -> UInt8[np.ndarray, "3 s s"]:
    return np.asarray(resize_crop(image, size, crop_fraction)).transpose(2, 0, 1)


def _first(rejected: Sequence[Rejection]) -> str:
    return f"{rejected[0].scene}: {rejected[0].reason}" if rejected else "there were no files"


def _stamp(files: Iterable[Path]) -> str:
    """Hash sizes and modification times, so that a file edited in place invalidates the cache."""
    parts: list[str] = [f"version {_VERSION}"]
    for file in files:
        status = file.stat()
        parts.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
    return digest(parts)


@dataclass(frozen=True)
class _Store:
    """A cache entry: a folder with raw arrays of fixed shapes per row, and an index."""

    name: str
    stamp: str
    shapes: dict[str, tuple[tuple[int, ...], type]] = field(hash=False)

    def load_or_build(
        self, items: list[tuple[int, str, str]], build: Callable[[int], _Entry], title: str | None
    ) -> tuple[dict[str, np.ndarray], dict]:
        folder = data_root() / "cache" / self.name
        index = self._read_index(folder)
        if index is None:
            self._build(folder, items, build, title)
            index = self._read_index(folder)
            assert index is not None
        return self._map(folder, len(index["rows"])), index

    def _read_index(self, folder: Path) -> dict | None:
        try:
            index = json.loads((folder / "index.json").read_text())
        except (OSError, json.JSONDecodeError):
            return None
        return index if index.get("stamp") == self.stamp else None

    def _map(self, folder: Path, count: int) -> dict[str, np.ndarray]:
        def one(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
            if count == 0:
                return np.zeros((0, *shape), dtype)
            # copy-on-write: torch warns about read-only memory, and writes never reach the file
            return np.memmap(folder / f"{name}.raw", dtype=dtype, mode="c", shape=(count, *shape))

        return {name: one(name, shape, dtype) for name, (shape, dtype) in self.shapes.items()}

    def _build(
        self,
        folder: Path,
        items: list[tuple[int, str, str]],
        build: Callable[[int], _Entry],
        title: str | None,
    ) -> None:
        scratch = writable_folder(folder.parent) / f".{self.name}-{os.getpid()}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            self._fill(scratch, items, build, title)
            # another run may have completed the same folder first, and be reading it; its arrays are identical
            if self._read_index(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
                scratch.rename(folder)
        except OSError as problem:
            if self._read_index(folder) is None:
                raise BadInput(
                    f"could not write prepared scenes to {folder} ({problem.strerror or problem}); free some "
                    "space, or set BGLAB_DATA to a folder you can write to"
                ) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _fill(
        self,
        scratch: Path,
        items: list[tuple[int, str, str]],
        build: Callable[[int], _Entry],
        title: str | None,
    ) -> None:
        files = {name: (scratch / f"{name}.raw").open("wb") for name in self.shapes}
        rows: list[dict[str, object]] = []
        rejected: list[Rejection] = []
        hashed = hashlib.blake2b(digest_size=8)
        try:
            bar = tqdm(total=len(items), desc=title, disable=title is None, unit="scene")
            for (_, scene, file), outcome in zip(items, _build_in_order(build, len(items)), strict=True):
                bar.update()
                if isinstance(outcome, BadInput):
                    rejected.append(Rejection(scene, file, str(outcome)))
                    continue
                for name, (_, dtype) in self.shapes.items():
                    block = np.ascontiguousarray(outcome.arrays[name], dtype=dtype).tobytes()
                    files[name].write(block)
                    hashed.update(block)
                rows.append(outcome.row)
            bar.close()
        finally:
            for file in files.values():
                file.close()
        index = {"stamp": self.stamp, "digest": hashed.hexdigest(), "rows": rows, "rejected": rejected}
        (scratch / "index.json").write_text(json.dumps(index))


def _build_in_order(build: Callable[[int], _Entry], count: int) -> Iterator[_Entry | BadInput]:
    """Build entries with a few threads; an unusable scene yields the exception that says why."""

    def attempt(position: int) -> _Entry | BadInput:
        try:
            return build(position)
        except BadInput as problem:
            return problem

    workers = min(8, os.cpu_count() or 1)
    return thread_map(attempt, range(count), workers=workers, pending=4 * workers, name="bglab-decode")


def memory_bytes(count: int, size: int) -> int:
    """Compute the size in bytes of the images, masks and plates of prepared scenes, on disk or on a device.

    Args:
        count: Number of scenes.
        size: Side of the images in pixels.

    Example:
        >>> round(memory_bytes(4050, 224) / 1e9, 2)
        1.42
    """
    return count * (2 * 3 * math.prod((size, size)) + size * size)
