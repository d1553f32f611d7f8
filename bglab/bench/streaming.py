"""The streaming contenders of the benchmark: photographs in JPEG files to logits, and to crops alone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bglab.bench.contenders import Contender, Workload, repeat
from bglab.evaluation import stream_logits
from bglab.images import EvaluationTransform, from_levels, open_image
from bglab.models import MANY
from bglab.parallel import thread_map, usable_cores
from bglab.scenes import Scene, SceneRecord, SceneSet
from bglab.search import start_batching
from bglab.seeding import digest
from bglab.variants import FullScenes, StreamSettings, expand, open_full, stream

#: Number of photographs; those of the workload are repeated.
_PHOTOGRAPHS = 64
#: Width and height in pixels of ImageNet's most common photographs.
_WIDTH, _HEIGHT = 500, 375
#: JPEG quality, which with chroma halved both ways gives files of about the size of ImageNet's.
_QUALITY = 90


def streaming_contenders(workload: Workload, folder: Path) -> list[Contender]:
    """List streaming from JPEG files, and decoding, resizing and cropping them alone, by bglab and as it is usual.

    Args:
        workload: Workload whose original images are written as JPEG files of ImageNet's usual sizes.
        folder: Existing folder for the files.
    """
    full = _photographs(workload, folder)
    classifier, count = workload.classifier, len(full.by_box)
    batch_size, transform = start_batching(classifier, "auto").size, classifier.spec.transform
    variants = expand(["original"], full.settings)

    def run() -> None:
        for _ in stream_logits(classifier, full, variants, batch_size):
            pass

    def decode() -> None:
        for _ in stream(full, variants, transform):
            pass

    def decode_by_pillow() -> None:
        workers = usable_cores()
        records = full.by_box.records
        for _ in thread_map(functools.partial(_by_pillow, transform), records, workers=workers, pending=3 * workers):
            pass

    side = transform.size
    classifier.engine.get_ready(side, side, MANY)
    works: dict[str, tuple[str, Callable[[], None]]] = {
        "stream": (f"streaming {count} JPEG files of {_WIDTH} × {_HEIGHT} pixels", run),
        "decode": ("decoding, resizing and cropping them alone", decode),
        "pillow": ("the same by Pillow and timm's transform", decode_by_pillow),
    }
    return [
        Contender(name, title, lambda _, work=work: repeat(workload, count, work), baseline="bare")
        for name, (title, work) in works.items()
    ]


def _by_pillow(transform: EvaluationTransform, record: SceneRecord) -> UInt8[np.ndarray, "3 s s"]:
    """Decode, resize and crop a photograph as evaluation scripts do."""
    with Image.open(record.files[0]) as image:
        return transform.by_timm(image.convert("RGB"))


def _photographs(workload: Workload, folder: Path) -> FullScenes:
    """Write the workload's images as photographs, lying and standing, and open them at full resolution."""
    prepared = workload.evaluator.prepared
    records: list[SceneRecord] = []
    for number in range(_PHOTOGRAPHS):
        row = number % len(prepared.scenes)
        image = from_levels(np.asarray(prepared.images[row]))
        file = folder / f"photograph-{number:03d}.jpg"
        size = (_WIDTH, _HEIGHT) if number % 4 else (_HEIGHT, _WIDTH)
        image.resize(size, Image.Resampling.BICUBIC).save(file, quality=_QUALITY, subsampling="4:2:0")
        of = prepared.scenes.records[row]
        records.append(SceneRecord(f"{number:03d}", of.label, of.native_label, (file,)))
    scenes = SceneSet(
        uri=f"photographs of {prepared.scenes.uri}",
        name="photographs",
        space=prepared.scenes.space,
        classes=prepared.scenes.classes,
        records=tuple(records),
        read=_read,
        fingerprint=digest([prepared.digest, "photographs"]),
    )
    return open_full(scenes, StreamSettings(), progress=False)


def _read(record: SceneRecord) -> Scene:
    """Read a photograph; its foreground is the middle."""
    image = open_image(record.files[0])
    width, height = image.size
    box = (width // 4, height // 4, width - width // 4, height - height // 4)
    mask = np.zeros((height, width), dtype=bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return Scene.of_decoded(record, image, mask, box)
