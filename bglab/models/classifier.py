"""Classifiers take RGB uint8 images and return logits; each carries the identity and preprocessing of its weights."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bglab.errors import BadInput
from bglab.executors import assigned_device
from bglab.labels import NAMED_SPACES, class_names
from bglab.models import sources
from bglab.models.description import Deferred, Description, find_description, keep_description
from bglab.models.engine_check import start_checked
from bglab.models.engines import Engine, EngineChoice, EngineName, Loadable, Normalised, loaded
from bglab.models.precision import AmpDtype
from bglab.models.spec import InputProtocol, ModelSpec
from bglab.models.weights import Weights, state_digest, text_digest
from bglab.seeding import digest

#: Sources of networks of any kind, of which OpenVINO may convert some incorrectly or not at all.
_UNTRIED = frozenset({"own", "hf", "clip"})


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network with its weights, its preprocessing and the engine that runs it.

    Attributes:
        spec: Identity and preprocessing of the weights.
        classes: Names of the classes of its logits.
        loadable: The network, or what loads it when it is first asked for.
        engine: Runs the forward pass.
        choice: Options by which the engine was started.
        notes: What was read off the weights or assumed about them, one sentence each.
    """

    spec: ModelSpec
    classes: tuple[str, ...]
    loadable: Loadable = field(repr=False)
    engine: Engine = field(repr=False)
    choice: EngineChoice = field(default_factory=EngineChoice, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def network(self) -> Normalised:
        """The torch module, which takes uint8 images; saliency methods differentiate it."""
        return loaded(self.loadable)

    def __call__(self, images: Tensor) -> Float[Tensor, "n c"]:
        """Compute logits in float32; images are resized for a network of fixed input size.

        The protocol is not applied, so that images that were resized and cropped already can be classified; see `see`.

        Args:
            images: RGB, uint8, 0-255, shape ``n 3 h w``, of any size.

        Raises:
            BadInput: If the images have another type or shape.
        """
        return self.begin(images)()

    def begin(self, images: Tensor) -> Callable[[], Float[Tensor, "n c"]]:
        """Begin to compute logits, and return a function that waits for them; otherwise as a call.

        Args:
            images: As for a call. They must not be changed until the logits are there.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise BadInput(
                f"expected uint8 images of shape (n, 3, h, w), got {images.dtype} of shape "
                f"{tuple(images.shape)}; classifiers take levels 0 to 255, not normalised floats"
            )
        return self.engine.begin(images)

    def __reduce__(self) -> tuple[Callable[..., Classifier], tuple[Any, ...]]:
        """Pickle for a worker: the network without its engine, which is started there with the same options."""
        engine = (self.engine.name, self.engine.precision, self.engine.device.type)
        parts = (self.spec, self.classes, self.choice, self.notes)
        key = digest([*map(repr, parts), *engine, "" if self.spec.sha256 else str(id(self))])
        return _received, (key, *parts, engine, _packed(self))

    def see(self, images: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 s s"]:
        """Return prepared images as the protocol shows them to the network: resized and cropped, or unchanged."""
        transform = self.spec.prepared_transform
        return images if transform is None else transform.batch(images)


def load_classifier(
    name: str,
    *,
    engine: EngineName = "auto",
    device: str = "auto",
    amp_dtype: AmpDtype = "none",
    torchcompile: bool = False,
    deterministic: bool = False,
    protocol: InputProtocol = "as-is",
) -> Classifier:
    """Load a classifier by the URI of its weights.

    Args:
        name: ``timm:resnet50.tv_in1k`` (with its tag), ``tv:resnet50/IMAGENET1K_V1``, ``hf:microsoft/resnet-50``
            (transformers; a name on the hub or a folder), ``clip:ViT-B-32/laion2b_s34b_b79k`` (open_clip, zero-shot),
            ``lite:efficientnet_lite0`` (weights from pip), or ``file:PATH`` (a checkpoint of ``bglab train``, or
            TorchScript; for a state dict of any trainer, ``file:PATH?architecture=resnet50``, with the options of
            `bglab.models.sources.file.open_weights`).
        engine: ``torch``, ``openvino``, or ``auto``: torch on a GPU and OpenVINO on a CPU if it is installed.
        device: ``auto``, ``cpu``, ``cuda:0``, ``mps``.
        amp_dtype: ``none`` (IEEE float32), ``tf32`` (NVIDIA GPUs only), ``bfloat16`` or ``float16``.
        torchcompile: Whether to compile the network (torch only).
        deterministic: Whether to use only algorithms that return the same bits each time; on CPUs all do.
        protocol: How prepared images reach the network: ``as-is`` (no resize, the weights' own mean and standard
            deviation), ``reference`` (no resize, one mean and standard deviation for all, as in the released code of
            Noise or Signal) or ``model`` (the weights' own resize, crop, mean and standard deviation).

    Raises:
        UnknownName: If source, architecture or tag is unknown; the message lists the known ones.
        MissingData: If the weights are not on this machine and cannot be downloaded.
        BadInput: If a checkpoint cannot be read or does not fit its architecture, or the engine cannot run here.
    """
    choice = EngineChoice(engine, device, amp_dtype, torchcompile=torchcompile, deterministic=deterministic)
    identity = sources.identify(name)
    known = find_description(name, identity) if identity else None
    if known is not None:
        spec = known.spec.under(protocol)
        network = Deferred(lambda: _reloaded(name, spec))
        return Classifier(spec, known.classes, network, choice.start(network, spec.conversion_key), choice, known.notes)
    source, weights = sources.open_weights(name)
    description = _describe(source, weights)
    # read again, since the file may have been replaced while the network was built from it
    if identity and sources.identify(name) == identity:
        keep_description(name, identity, description)
    return _start(description, weights, choice, protocol)


def build_classifier(
    source: str, weights: Weights, choice: EngineChoice | None = None, protocol: InputProtocol = "as-is"
) -> Classifier:
    """Make a classifier of a network: hash its weights, find label space and fixed size, and start its engine.

    Raises:
        BadInput: If the number of logits fits no label space, or there is no such protocol.
    """
    return _start(_describe(source, weights), weights, choice or EngineChoice(), protocol)


def _start(description: Description, weights: Weights, choice: EngineChoice, protocol: InputProtocol) -> Classifier:
    """Start the engine of a network that is described."""
    (spec, classes, notes), network = description, weights.network
    spec = spec.under(protocol)
    wrapped = _normalised(network, spec)
    if spec.source not in _UNTRIED:
        return Classifier(spec, classes, wrapped, choice.start(wrapped, spec.conversion_key), choice, notes)
    engine, choice, why = start_checked(wrapped, choice, spec.conversion_key, spec.input_size)
    return Classifier(spec, classes, wrapped, engine, choice, (*notes, why) if why else notes)


def _reloaded(uri: str, spec: ModelSpec) -> Normalised:
    """Load the network of weights that were described by an earlier run.

    Raises:
        BadInput: If there are other weights by now.
    """
    network = sources.open_weights(uri)[1].network.eval().requires_grad_(requires_grad=False)
    if state_digest(network) != spec.sha256:
        raise BadInput(
            f"expected the weights of {uri} that were there before, sha256 {spec.sha256}, got others; they were "
            "replaced in between: load the classifier again"
        )
    return _normalised(network, spec)


def _normalised(network: nn.Module, spec: ModelSpec) -> Normalised:
    return Normalised(network, spec.mean, spec.std, spec.input_size if spec.fixed_input_size else None).eval()


def _describe(source: str, weights: Weights) -> Description:
    """Hash the weights of a network, and find its label space and whether its size is fixed.

    Raises:
        BadInput: If the number of logits fits no label space.
    """
    network = weights.network.eval().requires_grad_(requires_grad=False)
    size = weights.input_size
    with torch.inference_mode():
        count = network(torch.zeros(1, 3, size, size)).shape[-1]
    space = weights.space or {1000: "imagenet", 9: "in9"}.get(count)
    if space is None:
        raise BadInput(
            f"expected a network with 1000 (ImageNet) or 9 (IN-9) outputs in {source}:{weights.name}, got {count}; "
            f"say what they stand for: file:PATH?classes={_letters(count)} (or ?space=imagenet or in9, if they are "
            "those); in Python, bglab.classifier(network, classes=scenes)"
        )
    classes = weights.classes or class_names(space)
    _check_classes(classes, count, space)
    spec = ModelSpec(
        source=source,
        name=weights.name,
        tag=weights.tag,
        sha256=state_digest(network) if network.state_dict() else "",
        mean=weights.mean,
        std=weights.std,
        input_size=size,
        fixed_input_size=not _accepts(network, size + 32),
        space=space,
        crop_pct=weights.crop_pct,
        interpolation=weights.interpolation,
        crop_mode=weights.crop_mode,
        file_sha256=weights.file_sha256,
        query=weights.query,
        code_sha256=weights.code_sha256,
        outputs_sha256="" if space in NAMED_SPACES else text_digest("\n".join(weights.classes)),
    )
    return Description(spec, classes, weights.notes)


def _letters(count: int) -> str:
    """Write an example of the option ``classes`` for a number of outputs."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ",".join(letters[:count]) if count <= 6 else f"a,b,…,{count} names"


def _check_classes(classes: Sequence[str], count: int, space: str) -> None:
    """Check that there is one class name per logit, and none twice."""
    if len(classes) != count:
        raise BadInput(f"expected {count} class names for {count} outputs, got {len(classes)} of the space {space}")
    twice = sorted(name for name, times in Counter(classes).items() if times > 1)
    # ImageNet itself has two cranes and two maillots
    if twice and space != "imagenet":
        raise BadInput(f"expected every class name once, got twice: {', '.join(twice[:5])}")


def _accepts(network: nn.Module, size: int) -> bool:
    """Check whether a network accepts images of a given size (transformers often accept only one)."""
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, size, size))
    except Exception:  # noqa: BLE001 - every architecture raises its own type
        return False
    return True


# a worker keeps the last one, since several jobs in a row use the same
_RECEIVED: dict[str, Classifier] = {}
_PACKED: WeakKeyDictionary[Classifier, UInt8[np.ndarray, " n"] | None] = WeakKeyDictionary()


def _packed(classifier: Classifier) -> UInt8[np.ndarray, " n"] | None:
    """Pickle a network; None if that is not possible, so that workers load it by its URI."""
    if classifier not in _PACKED:
        import cloudpickle

        try:
            # on the CPU, which every worker has
            content = np.frombuffer(cloudpickle.dumps(copy.deepcopy(classifier.network).cpu()), dtype=np.uint8)
        except (RuntimeError, TypeError, AttributeError, pickle.PicklingError):  # such as TorchScript
            content = None
        _PACKED[classifier] = content
    return _PACKED[classifier]


def _received(
    key: str,
    spec: ModelSpec,
    classes: tuple[str, ...],
    choice: EngineChoice,
    notes: tuple[str, ...],
    engine: tuple[str, str, str],
    packed: UInt8[np.ndarray, " n"] | None,
) -> Classifier:
    """Make a classifier that another process has sent.

    Raises:
        BadInput: If its engine would be another one here.
    """
    if key in _RECEIVED:
        return _RECEIVED[key]

    def load() -> Normalised:
        # sent by the process that this one works for
        return _reloaded(spec.id, spec) if packed is None else pickle.loads(packed.data)  # noqa: S301

    choice = replace(choice, device=assigned_device() or choice.device)
    network = Deferred(load)
    found = Classifier(spec, classes, network, choice.start(network, spec.conversion_key), choice, notes)
    here = (found.engine.name, found.engine.precision, found.engine.device.type)
    if here != engine:
        raise BadInput(
            f"expected {' '.join(engine)} as in the process that shares out the work, got {' '.join(here)}; install "
            "the same packages, and give workers the same device"
        )
    _RECEIVED.clear()
    _RECEIVED[key] = found
    return found
