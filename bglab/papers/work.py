"""What artefacts compute at full size: which networks, on how many images and variants, and which trainings.

An artefact states its work beside the function that makes it, in terms of the same constants. `jobs_of` splits it into
jobs that several artefacts share, as the results of one run are shared; `amount_of` counts what a job takes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bglab.analysis import published
from bglab.catalogue import Catalogue
from bglab.labels import IN9
from bglab.papers.recognition import CALTECH101_SIZE, VALIDATION_SIZE, VOC_SIZES
from bglab.papers.training_runs import TRAINING_RUNS
from bglab.training import FINE_TUNING, PRESETS
from bglab.variants import StreamSettings, expand

#: What a job does: ``predict`` classifies prepared images, ``matrix`` classifies every foreground on every background,
#: ``saliency`` differentiates, ``stream`` makes variants of photographs at full resolution and classifies them,
#: ``prepare`` decodes photographs once for all networks, and ``train`` trains a network.
Kind = Literal["predict", "matrix", "saliency", "stream", "prepare", "train"]

#: Side of prepared images in pixels.
SIDE = 224
_IMAGE_BYTES = 3 * SIDE**2
_SCENE_BYTES = 2 * _IMAGE_BYTES + SIDE**2  # image, background and mask
_PAIR_BYTES = 2
#: Bytes of a prediction in a result file, about: class, confidence, the five best classes and the names, compressed.
PREDICTION_BYTES = 20


class FullSize(NamedTuple):
    """A data set of the papers at its full size.

    Attributes:
        title: What it is, as a noun phrase in the plural.
        images: Number of images.
        photograph_bytes: Mean size of a file in bytes, about; 0 for images that are prepared already.
    """

    title: str
    images: int
    photograph_bytes: int = 0


def _printed_size(place: str) -> int:
    """Return the number of test images that a paper's text prints."""
    return int(published(place).query("quantity == 'pictures' and test == 'val'")["value"].item())


#: Sizes of ImageNet's, VOC2012's and Caltech101's files: those of their archives, divided by the number of images.
_JPEG_BYTES = {"imagenet": 135_000, "voc": 110_000, "caltech101": 14_000}
_TRAINED_PER_CLASS, _CLASSES_OF_CALTECH101 = 30, 101

#: The data sets by name; `Work.data` names one.
FULL_SIZES: Catalogue[FullSize] = Catalogue(
    "data set at full size",
    {
        "in9": FullSize("images of ImageNet-9", _printed_size("nos-text")),
        "imagenet": FullSize("validation images of ImageNet", VALIDATION_SIZE, _JPEG_BYTES["imagenet"]),
        "in9l": FullSize(
            "validation images of ImageNet in the nine classes",
            sum(len(coarse.imagenet) for coarse in IN9) * VALIDATION_SIZE // 1000,
            _JPEG_BYTES["imagenet"],
        ),
        "boxed": FullSize(
            "photographs of ImageNet whose box has a usable size",
            _printed_size("tbc-text"),
            _JPEG_BYTES["imagenet"],
        ),
        "voc": FullSize("photographs of VOC2012's val list, at most", VOC_SIZES["val"], _JPEG_BYTES["voc"]),
        "caltech101": FullSize(
            "test photographs of Caltech101",
            CALTECH101_SIZE - _TRAINED_PER_CLASS * _CLASSES_OF_CALTECH101,
            _JPEG_BYTES["caltech101"],
        ),
    },
)

#: Number of training images of the data sets that networks are fine-tuned on.
FINE_TUNED_ON: Mapping[str, int] = {
    "voc": VOC_SIZES["train"],
    "caltech101": _TRAINED_PER_CLASS * _CLASSES_OF_CALTECH101,
}


class Training(NamedTuple):
    """The training of a network.

    Attributes:
        images: Number of training images.
        epochs: Number of epochs.
        side: Side in pixels of the images that crops are taken from.
    """

    images: int
    epochs: int
    side: int


class PlannedNetwork(NamedTuple):
    """A network that an artefact needs.

    Attributes:
        name: URI of its weights, or name of its training.
        architecture: Name as for `bglab.models.create_network`, which determines its arithmetic.
        training: How it is trained; None for published weights, and where bglab cannot train it.
    """

    name: str
    architecture: str
    training: Training | None = None


def of_imagenet(*uris: str) -> tuple[PlannedNetwork, ...]:
    """Return networks with published weights of timm or torchvision.

    Args:
        *uris: URIs of the weights.

    Example:
        >>> [network.architecture for network in of_imagenet("timm:resnet50.tv_in1k", "tv:vgg16_bn/IMAGENET1K_V1")]
        ['resnet50.tv_in1k', 'tv_vgg16_bn']
    """
    found = []
    for uri in uris:
        source, _, name = uri.partition(":")
        found.append(PlannedNetwork(uri, f"tv_{name.partition('/')[0]}" if source == "tv" else name))
    return tuple(found)


def trained_on(*names: str, architecture: str = "") -> tuple[PlannedNetwork, ...]:
    """Return networks trained by the recipe of Noise or Signal.

    Args:
        *names: Names in `bglab.papers.training_runs`.
        architecture: Name as for `bglab.models.create_network`; "" is the recipe's.

    Raises:
        UnknownName: If there is no such training run.
    """
    found = []
    for name in names:
        run = TRAINING_RUNS[name]
        recipe = run.recipe(PRESETS["paper"], natives=True)
        training = Training(run.images, recipe.epochs, recipe.source_size)
        found.append(PlannedNetwork(name, architecture or recipe.architecture, training if run.trainable else None))
    return tuple(found)


def fine_tuned_on(data: str, runs: int) -> tuple[PlannedNetwork, ...]:
    """Return the networks that Time for a Background Check! fine-tunes.

    Args:
        data: ``voc`` or ``caltech101``.
        runs: Number of runs.
    """
    training = Training(FINE_TUNED_ON[data], FINE_TUNING.epochs, FINE_TUNING.source_size)
    return tuple(PlannedNetwork(f"{data}-run{run}", FINE_TUNING.architecture, training) for run in range(runs))


@dataclass(frozen=True)
class Work:
    """A part of what an artefact computes: some networks on some variants of one data set.

    Attributes:
        kind: What is done.
        networks: The networks.
        variants: Names of the variants; () for `matrix`.
        data: Name of the data set out of `FULL_SIZES`.
        images: Number of images if not all of the data set are used; 0 uses all.
    """

    kind: Literal["predict", "matrix", "saliency", "stream"]
    networks: tuple[PlannedNetwork, ...]
    variants: tuple[str, ...] = ()
    data: str = "in9"
    images: int = 0

    @property
    def text(self) -> str:
        """The work as a phrase, such as ``10 networks × 4 variants × 4,050 images of ImageNet-9``."""
        size = FULL_SIZES[self.data]
        many = f"{len(self.networks)} network{'s' * (len(self.networks) != 1)}"
        if self.kind == "matrix":
            return f"{many} × {size.images:,} foregrounds × {size.images:,} backgrounds"
        count = _versions(self.variants) if self.kind == "stream" else len(self.variants)
        what = f"{many} × {count} {'versions' if self.kind == 'stream' else 'variants'}"
        maps = ", saliency maps" if self.kind == "saliency" else ""
        return f"{what if count > 1 else many} × {self.images or size.images:,} {size.title}{maps}"


class Job(NamedTuple):
    """A piece of work that is done once, however many artefacts need it.

    Attributes:
        kind: What is done.
        network: The network; None if none takes part.
        data: Name of the data set out of `FULL_SIZES`; "" for a training.
        variants: Names of the variants that are made in one pass.
        images: Number of images of one variant.
    """

    kind: Kind
    network: PlannedNetwork | None
    data: str = ""
    variants: tuple[str, ...] = ()
    images: int = 0


class Amount(NamedTuple):
    """What a job takes.

    Attributes:
        forwards: Images that a network classifies, explains, or is trained on, those of every epoch.
        rendered: Photographs that are decoded, changed, resized and cropped, once per version of each.
        bytes_read: Bytes of images that are read.
        bytes_written: Bytes of results and prepared images that are written.
    """

    forwards: int = 0
    rendered: int = 0
    bytes_read: int = 0
    bytes_written: int = 0

    def __add__(self, other: object) -> Amount:
        """Add another amount."""
        if not isinstance(other, Amount):
            return NotImplemented
        return Amount(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def jobs_of(works: Iterable[Work]) -> tuple[Job, ...]:
    """Split work into jobs, each listed once, among them trainings and the preparation of photographs.

    Args:
        works: Work of one or more artefacts.
    """
    found: dict[Job, None] = {}
    for work in works:
        images = work.images or FULL_SIZES[work.data].images
        # variants of prepared images are results of their own; those of a photograph are made in one pass
        passes = [(variant,) for variant in work.variants] if work.kind == "predict" else [work.variants]
        for network in work.networks:
            if network.training is not None:
                found[Job("train", network, images=network.training.images)] = None
            if work.kind == "predict" and FULL_SIZES[work.data].photograph_bytes:
                found[Job("prepare", None, work.data, images=images)] = None
            found |= {Job(work.kind, network, work.data, variants, images): None for variants in passes}
    return tuple(found)


def amount_of(job: Job) -> Amount:
    """Count the forward passes and bytes of a job.

    Example:
        >>> (job,) = jobs_of([Work("matrix", of_imagenet("timm:resnet50.tv_in1k"))])
        >>> amount_of(job).forwards, amount_of(job).bytes_written
        (16402500, 32805000)
    """
    count, file_bytes = job.images, FULL_SIZES[job.data].photograph_bytes if job.data else 0
    if job.kind == "train":
        assert job.network is not None
        assert job.network.training is not None
        images, epochs, side = job.network.training
        return Amount(images * epochs, 0, 3 * side**2 * images * epochs)
    if job.kind == "matrix":
        return Amount(count**2, 0, count * _SCENE_BYTES, count**2 * _PAIR_BYTES)
    if job.kind == "stream":
        versions = count * _versions(job.variants)
        return Amount(versions, versions, count * file_bytes, versions * PREDICTION_BYTES)
    if job.kind == "prepare":
        return Amount(0, count, count * file_bytes, count * _IMAGE_BYTES)
    return Amount(count, 0, count * _IMAGE_BYTES, count * PREDICTION_BYTES if job.kind == "predict" else 0)


@functools.lru_cache(maxsize=64)
def _versions(variants: Sequence[str]) -> int:
    """Count the images that are made of one photograph: one per variant, several per random one."""
    return len(expand(variants, StreamSettings()))
