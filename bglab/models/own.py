"""Classifiers of networks and functions that are passed as objects: `classifier`."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast, get_args, runtime_checkable

import torch
from torch import Tensor, nn

from bglab.errors import BadInput
from bglab.images import Interpolation
from bglab.labels import IN9_NAMES, NAMED_SPACES, class_names
from bglab.models.adapters import Flipped, Function, LogitsOf, LogOf, Reordered, differentiable, find_logits
from bglab.models.classifier import Classifier, build_classifier, load_classifier
from bglab.models.engines import EngineChoice, EngineName
from bglab.models.own_code import code_digest
from bglab.models.own_preprocessing import Preprocessing, read_preprocessing, unwrap
from bglab.models.precision import AmpDtype
from bglab.models.spec import InputProtocol
from bglab.models.weights import Weights

_LOG = logging.getLogger(__name__)


@runtime_checkable
class Labelled(Protocol):
    """Scenes, as far as their classes are concerned."""

    @property
    def space(self) -> str:
        """Label space."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels."""
        ...


#: What the outputs of a network stand for.
Classes = str | Sequence[str] | Labelled


def classifier(
    model: nn.Module | Callable[[Tensor], Any],
    *,
    name: str = "",
    classes: Classes | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    crop: float | None = None,
    interpolation: Interpolation | None = None,
    processor: Any = None,
    engine: EngineName = "auto",
    device: str = "auto",
    amp_dtype: AmpDtype = "none",
    torchcompile: bool = False,
    deterministic: bool = False,
    protocol: InputProtocol = "as-is",
) -> Classifier:
    """Make a classifier of a network of your own, or of any function from images to logits.

    What can be read off the model is read: the preprocessing of timm's networks (``pretrained_cfg``) and of
    transformers' (the processor, and the class names of its configuration). What is neither read nor given is assumed,
    and each assumption is a sentence in the classifier's ``notes``, which is logged, too. The module is copied, so
    that it can be trained further; a classifier never changes.

    Results identify a module by the digests of its weights and of the code of its own classes, and a function or a
    module without weights by its name: give each version of it another one.

    Args:
        model: A module from normalised images ``n 3 h w`` to logits ``n c`` (or to something with ``logits``), or a
            function; a function's result may be an array. Gradient-based saliency needs a module.
        name: Name in tables, figures and result files. Modules have one by default, functions need it.
        classes: What the outputs stand for: ``imagenet`` (its thousand classes in their usual order), ``in9``, class
            names in the order of the outputs, or scenes, whose classes are taken in the order of their labels. By
            default they are read off the model, or 1000 outputs are taken for ImageNet's and 9 for the nine classes.
        mean: Mean per channel of the images that the model was trained with, for images in [0, 1].
        std: Standard deviation per channel, likewise. Functions get images in [0, 1] unless both are given.
        size: Side of the evaluation images in pixels.
        crop: Fraction of the resized image's short side that the evaluation crop keeps, in (0, 1].
        interpolation: Resampling filter of the evaluation's resize.
        processor: Image processor of transformers, if the model does not name its own.
        engine: ``torch``, ``openvino``, or ``auto``: torch on a GPU, and OpenVINO on a CPU if it is installed and
            computes the same logits.
        device: ``auto``, ``cpu``, ``cuda:0``, ``mps``. Functions get their images on this device.
        amp_dtype: ``none`` (IEEE float32), ``tf32``, ``bfloat16`` or ``float16``.
        torchcompile: Whether to compile the network (torch only).
        deterministic: Whether to use only algorithms that return the same bits each time; on CPUs all do.
        protocol: How prepared images reach the network, see `load_classifier`.

    Raises:
        BadInput: If the model does not return logits for such images, they do not fit ``classes``, an argument is out
            of range, or a function has no name.

    Example:
        >>> network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
        >>> own = classifier(network, name="two-way", classes=["cat", "dog"], size=32, engine="torch", device="cpu")
        >>> own.spec.id, own.classes
        ('own:two-way', ('cat', 'dog'))
    """
    _check_model(model)
    given = {"mean": mean, "std": std, "input_size": size, "crop_pct": crop, "interpolation": interpolation}
    if isinstance(model, nn.Module):
        network: nn.Module = _copy(unwrap(model))
        read = read_preprocessing(network, processor)
    else:
        network, read = Function(model, name), Preprocessing.of_function()
    if not name and not network.state_dict():
        raise BadInput(
            f"expected a name for the {'module' if isinstance(model, nn.Module) else 'function'}, got none; it has no "
            "weights to tell its results by, so they are stored by its name: name='my-service-v1'"
        )
    settings = _override(read, given)
    name = _checked_name(name or read.name or type(network).__name__)
    network, count, notes = _adapt(network, settings, name, ordered=classes is None)
    space, names, assumed = _name_classes(classes, settings, count, name)
    assumed = (*settings.assumed, *assumed)
    weights = Weights(
        network=network,
        name=name,
        tag="",
        mean=settings.mean,
        std=settings.std,
        input_size=settings.input_size,
        space=space,
        classes=names,
        crop_pct=settings.crop_pct,
        interpolation=settings.interpolation,
        crop_mode=settings.crop_mode,
        notes=(*settings.notes, *assumed, *notes),
        code_sha256=code_digest(network) if network.state_dict() else "",
    )
    choice = EngineChoice(engine, device, amp_dtype, torchcompile=torchcompile, deterministic=deterministic)
    made = build_classifier("own", weights, choice, protocol)
    for note in made.notes:
        _LOG.log(logging.WARNING if note in assumed else logging.INFO, "%s: %s", made.spec.id, note)
    return made


#: What stands for a classifier wherever one is expected.
ClassifierLike = Classifier | str | Path | nn.Module | Callable[[Tensor], Any]


def as_classifier(model: ClassifierLike) -> Classifier:
    """Return the classifier that something stands for.

    Args:
        model: A classifier; a URI for `load_classifier`; the path of a checkpoint; or a module that says what its
            outputs stand for, or has as many as ImageNet or ImageNet-9 has classes, see `classifier`.

    Raises:
        UnknownName: If a URI names no known source.
        MissingData: If the weights are not on this machine and cannot be downloaded.
        BadInput: If it stands for none.
    """
    if isinstance(model, Classifier):
        return model
    if isinstance(model, Path) or (isinstance(model, str) and Path(model).suffix and Path(model).is_file()):
        return load_classifier(f"file:{model}")
    if isinstance(model, str):
        return load_classifier(model)
    if isinstance(model, (list, tuple)):
        raise BadInput(f"expected one classifier, got {len(model)} in a {type(model).__name__}; call once for each")
    if isinstance(model, Labelled) or not callable(model):
        raise BadInput(
            f"expected a classifier, the URI of one such as 'lite:efficientnet_lite0', the path of a checkpoint or a "
            f"torch module, got {type(model).__name__}"
        )
    return classifier(model)


def as_classifiers(models: ClassifierLike | Sequence[ClassifierLike]) -> list[Classifier]:
    """Return the classifiers that one or several things stand for, see `as_classifier`."""
    if isinstance(models, (list, tuple)):
        return [as_classifier(model) for model in models]
    return [as_classifier(cast(ClassifierLike, models))]


def as_differentiable(model: ClassifierLike) -> Classifier:
    """Return the classifier that something stands for, if gradients flow through it.

    Raises:
        BadInput: If it calls a function, or stands for no classifier.
    """
    found = as_classifier(model)
    if not differentiable(found.network):
        raise BadInput(
            f"expected a torch module for saliency by gradients, but {found.spec.id} calls a function, whose gradients "
            "are not known; use method='occlusion', or give the module: bglab.classifier(network)"
        )
    return found


def _check_model(model: Any) -> None:
    """Refuse what is neither a network nor a function, with what it should be."""
    if isinstance(model, (str, Path)):
        raise BadInput(
            f"expected a module or a function, got '{model}'; weights on disk or from a hub are loaded by "
            "bglab.load_classifier('file:PATH?architecture=NAME'), 'hf:NAME' or 'timm:NAME.TAG'"
        )
    if isinstance(model, dict):
        raise BadInput(
            "expected a module or a function, got a dictionary; if it is a state dict, load it into its network first: "
            "network.load_state_dict(state)"
        )
    if isinstance(model, type):
        raise BadInput(f"expected a module or a function, got the class {model.__name__}; make an object of it")
    if not callable(model):
        raise BadInput(f"expected a module or a function from images to logits, got {type(model).__name__}")


def _copy(network: nn.Module) -> nn.Module:
    """Copy a network to the CPU in float32 and evaluation mode, so that the original can be used further."""
    try:
        copied = copy.deepcopy(network)
    except Exception as problem:  # noqa: BLE001 - whatever a module of somebody else's holds
        reason = str(problem).splitlines()[0][:160] if str(problem) else type(problem).__name__
        raise BadInput(
            f"expected a network that can be copied, but copying {type(network).__name__} failed ({reason}); "
            "load its weights into a new one, or pass a function: lambda images: network(images)"
        ) from None
    return copied.to("cpu", torch.float32).eval().requires_grad_(requires_grad=False)


def _override(read: Preprocessing, given: dict[str, Any]) -> Preprocessing:
    """Replace what was read or assumed by what was given, after checking it."""
    chosen = {field: value for field, value in given.items() if value is not None}
    for field in ("mean", "std"):
        if field in chosen:
            chosen[field] = tuple(float(value) for value in chosen[field])
            if len(chosen[field]) != 3 or (field == "std" and min(chosen[field]) <= 0):
                raise BadInput(f"expected three numbers as {field}, std above 0, got {given[field]!r}")
    if not 0 < chosen.get("crop_pct", 1.0) <= 1:
        raise BadInput(f"expected crop above 0 and up to 1, got {given['crop_pct']}; 0.875 is usual for 224 pixels")
    if chosen.get("input_size", 1) < 1:
        raise BadInput(f"expected a size of at least 1 pixel, got {given['input_size']}")
    known = get_args(Interpolation)
    if chosen.get("interpolation", known[0]) not in known:
        raise BadInput(f"expected the interpolation {' or '.join(known)}, got '{given['interpolation']}'")
    return read.but(chosen)


def _checked_name(name: str) -> str:
    """Return a name without surrounding blanks; refuse one that does not fit on a line."""
    plain = name.strip()
    if not plain or not plain.isprintable():
        raise BadInput(f"expected a printable name, got {name!r}; it is shown in tables and figures")
    return plain


def _probe(network: nn.Module, settings: Preprocessing) -> tuple[Any, Tensor]:
    """Run two noise images, and return what the network returned and the logits in it.

    Raises:
        BadInput: If the network fails on them, or returns something other than finite logits.
    """
    size = settings.input_size
    levels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (settings.mean, settings.std))
    try:
        with torch.inference_mode():
            returned = network((levels - mean) / std)
    except Exception as problem:  # noqa: BLE001 - whatever a model of somebody else's raises
        reason = str(problem).strip().splitlines()[0][:200] if str(problem).strip() else type(problem).__name__
        raise BadInput(
            f"expected logits for images of shape (2, 3, {size}, {size}), but the model raised "
            f"{type(problem).__name__}: {reason}; choose size, or wrap the model in a function that takes such images"
        ) from problem
    logits = find_logits(returned)
    if len(logits) != 2 or not bool(logits.isfinite().all()):
        what = f"shape {tuple(logits.shape)}" if len(logits) != 2 else "numbers that are not finite"
        raise BadInput(f"expected a row of finite logits for each of two images, got {what}; check the model's weights")
    return returned, logits


def _adapt(
    network: nn.Module, settings: Preprocessing, name: str, *, ordered: bool
) -> tuple[nn.Module, int, list[str]]:
    """Wrap a network that takes or returns something else, count its outputs, and say what was done."""
    notes: list[str] = []
    if settings.flips_channels:
        network = Flipped(network)
    returned, logits = _probe(network, settings)
    if not isinstance(returned, Tensor):
        network = LogitsOf(network)
    if logits.shape[1] > 1 and bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones(2), atol=1e-4):
        network = LogOf(network)
        notes.append(f"the outputs of {name} are probabilities; their logarithms are used as logits")
    if ordered and settings.order is not None:
        network = Reordered(network, settings.order)
        return network, len(settings.order), notes
    return network, logits.shape[1], notes


def _name_classes(
    classes: Classes | None, read: Preprocessing, count: int, name: str
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Determine the label space and the names of a number of outputs, and what was assumed for it."""
    if classes is None and read.classes:
        classes = read.classes
    if classes is None:
        space = {1000: "imagenet", 9: "in9"}.get(count)
        if space is None:
            raise BadInput(
                f"expected what the {count} outputs of {name} stand for; give classes=scenes, if they are the classes "
                "of your scenes in that order, or classes=[…] with their names"
            )
        which = "ImageNet's in their usual order" if space == "imagenet" else ", ".join(IN9_NAMES)
        return space, (), (f"its {count} classes are assumed to be {which}",)
    if isinstance(classes, str):
        if classes not in NAMED_SPACES:
            raise BadInput(
                f"expected classes to be {' or '.join(NAMED_SPACES)}, a list of names, or scenes, got '{classes}'; "
                "for scenes by their URI: classes=bglab.open_scenes(…)"
            )
        _check_count(len(class_names(classes)), count, name, classes)
        return classes, (), ()
    if isinstance(classes, Labelled):
        _check_count(len(classes.classes), count, name, classes.space)
        return classes.space, tuple(classes.classes), ()
    names = tuple(str(each) for each in classes)
    _check_count(len(names), count, name, "the list")
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        raise BadInput(f"expected every class once in classes, got twice: {', '.join(twice[:5])}")
    for known in NAMED_SPACES:
        if names == class_names(known):
            return known, (), ()
    return f"own:{name}", names, ()


def _check_count(known: int, count: int, name: str, what: str) -> None:
    if known != count:
        raise BadInput(
            f"expected as many classes as {name} has outputs, {count}, but {what} has {known}; "
            "give the names of its outputs as classes=[…]"
        )
