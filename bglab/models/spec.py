"""Identity and preprocessing of weights, and the named protocols of how prepared images reach a network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from bglab.errors import BadInput
from bglab.images import CropMode, EvaluationTransform, Interpolation

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# used to train the nine-class networks of Noise or Signal (evaluation tools of its release)
IN9_MEAN, IN9_STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)

#: How prepared images reach a network:
#:
#: - ``as-is``: neither resized nor cropped, normalised by the mean and standard deviation of the weights;
#: - ``reference``: neither resized nor cropped, one mean and standard deviation for all ImageNet networks and one for
#:   all nine-class networks, as in the evaluation code released with Noise or Signal;
#: - ``model``: resized, cropped and normalised as the weights were evaluated by those who published them. Images made
#:   at full resolution always are.
#:
#: A network that accepts one size only has its images resized to it under each protocol.
InputProtocol = Literal["as-is", "reference", "model"]
INPUT_PROTOCOLS: tuple[InputProtocol, ...] = get_args(InputProtocol)

_REFERENCE = {"imagenet": (IMAGENET_MEAN, IMAGENET_STD), "in9": (IN9_MEAN, IN9_STD)}


@dataclass(frozen=True)
class ModelSpec:
    """Identity and preprocessing of one set of weights.

    Attributes:
        source: Scheme of their URI, such as ``timm`` or ``file``; ``own`` for a network that was passed as an object.
        name: Architecture, path of a checkpoint, or the name that was given.
        tag: Tag of the weights among those of the architecture.
        sha256: SHA-256 of the weights' tensors, first 16 hexadecimal digits; "" for a function, which has none.
        mean: Mean per channel, for images in [0, 1].
        std: Standard deviation per channel, for images in [0, 1].
        input_size: Side of the evaluation images in pixels.
        fixed_input_size: Whether the network accepts no other size.
        space: Label space of the logits: ``imagenet``, ``in9``, or the name of another set's classes.
        crop_pct: Fraction of the resized image's short side that the evaluation crop keeps, in (0, 1].
        interpolation: Resampling filter of the evaluation's resize.
        crop_mode: Crop mode of the evaluation, as in timm.
        protocol: How prepared images reach the network, see `InputProtocol`.
        file_sha256: SHA-256 of the checkpoint's file, first 16 hexadecimal digits; "" for weights of a library.
        query: Options of the URI, without which the same weights would not be loaded; "" if there are none.
        code_sha256: SHA-256 of the code of an own network's classes, or of the configuration of one of transformers or
            open_clip, first 16 hexadecimal digits; "" for others.
        outputs_sha256: SHA-256 of the names of its outputs in their order, likewise; "" for a named label space.
    """

    source: str
    name: str
    tag: str
    sha256: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: int
    fixed_input_size: bool
    space: str
    crop_pct: float = 0.875
    interpolation: Interpolation = "bilinear"
    crop_mode: CropMode = "center"
    protocol: InputProtocol = "as-is"
    file_sha256: str = ""
    query: str = ""
    code_sha256: str = ""
    outputs_sha256: str = ""

    @property
    def transform(self) -> EvaluationTransform:
        """Evaluation transform of the weights, without normalisation."""
        return EvaluationTransform(self.input_size, self.crop_pct, self.interpolation, self.crop_mode, self.mean)

    @property
    def prepared_transform(self) -> EvaluationTransform | None:
        """Transform that the protocol applies to prepared images; None if it neither resizes nor crops them."""
        return self.transform if self.protocol == "model" else None

    @property
    def id(self) -> str:
        """URI that `load_classifier` loads these weights by."""
        joint = {"timm": ".", "tv": "/"}.get(self.source, "")
        options = f"?{self.query}" if self.query else ""
        return f"{self.source}:{self.name}{joint}{self.tag if joint else ''}{options}"

    @property
    def conversion_key(self) -> str:
        """Identity under which engines keep conversions on disk; "" for objects, whose code no digest settles."""
        if self.source == "own":
            return ""
        return f"{self.id} {self.sha256} {self.code_sha256} {self.mean} {self.std}"

    def under(self, protocol: InputProtocol) -> ModelSpec:
        """Return the specification under a protocol; ``reference`` replaces mean and standard deviation.

        Raises:
            BadInput: If there is no such protocol.
        """
        if protocol not in INPUT_PROTOCOLS:
            raise BadInput(f"expected the protocol {', '.join(INPUT_PROTOCOLS)}, got '{protocol}'")
        mean, std = self.mean, self.std
        if protocol == "reference":
            mean, std = _REFERENCE.get(self.space, (mean, std))
        return replace(self, protocol=protocol, mean=mean, std=std)
